//! Whether a run has come out right: what was written against the oracle, the log against the ledger, each local store against
//! its changelog.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use millstream::log::embedded::EmbeddedLog;
use millstream::log::{Fetched, Log, Offset, Reader, TopicPartition};
use millstream::state::{Mark, MemoryStore, Origin, Stage, StateKey, Store, TaskId};

use millstream::window::Pane;

use crate::broker::Broker;
use crate::oracle::{Expected, Place, Published};
use crate::pipelines::{Function, Time, WINDOW};
use crate::scenario::{CHANGELOG, DEAD, GROUP, LATE, REPARTITION, SINK, SOURCE, Scenario};
use crate::sim_store::Disk;
use crate::support::{Record, read_all};

/// Looks at what a run has written for others.
///
/// # Errors
/// The first thing that is not as it must be.
pub(crate) fn output(
    scenario: &Scenario,
    expected: &Expected,
    log: &EmbeddedLog,
) -> Result<(), String> {
    results(scenario.kind.function, expected, &read_all(log, SINK))?;
    places("dead letters", &expected.dead, &read_all(log, DEAD))?;
    places("late rows", &expected.late, &read_all(log, LATE))
}

/// Looks at what a run has left for itself.
///
/// # Errors
/// The first thing that is not as it must be.
pub(crate) fn innards(
    scenario: &Scenario,
    expected: &Expected,
    log: &EmbeddedLog,
    broker: &Broker,
    disks: &[Disk],
) -> Result<(), String> {
    broker.balance(SOURCE)?;
    stores(scenario, expected, log, disks)
}

/// The revisions of a window and key, each with its rows.
type Revisions = Vec<(i64, Vec<String>)>;

fn results(function: Function, expected: &Expected, written: &[Record]) -> Result<(), String> {
    // In the order in which they came.
    let mut found: BTreeMap<(i64, String), Revisions> = BTreeMap::new();
    for record in written {
        let json = record.json();
        let start = json["window_start_ms"]
            .as_i64()
            .ok_or("a result without a window")?;
        let key = json["key"].as_str().unwrap_or_default().to_owned();
        let revision = json["revision"]
            .as_i64()
            .ok_or("a result without a revision")?;
        let text = match function {
            Function::Visitors | Function::VisitorsByRows => json["unique_visitors"].to_string(),
            Function::Pages => format!(
                "{}={}",
                json["page"].as_str().unwrap_or_default(),
                json["views"]
            ),
            Function::Sum => json["sum"].to_string(),
            Function::Transcript => json["text"].as_str().unwrap_or_default().to_owned(),
        };
        let revisions = found.entry((start, key)).or_default();
        match revisions.last_mut().filter(|(last, _)| *last == revision) {
            Some((_, rows)) => rows.push(text),
            None => revisions.push((revision, vec![text])),
        }
    }
    for ((start, key), wanted) in &expected.results {
        let at = format!("window {start} of key {key:?}");
        let Published {
            revisions: count,
            rows: wanted,
        } = wanted;
        let Some(mut revisions) = found.remove(&(*start, key.clone())) else {
            return Err(format!("{at} is lost: it should be {wanted:?}"));
        };
        if !revisions
            .iter()
            .map(|(revision, _)| *revision)
            .eq((0..).take(*count))
        {
            return Err(format!(
                "{at} should have {count} revisions in order, and has {revisions:?}"
            ));
        }
        let Some((_, rows)) = revisions.last_mut() else {
            continue;
        };
        rows.sort_unstable();
        if rows != wanted {
            return Err(format!("{at} is {rows:?}, and should be {wanted:?}"));
        }
    }
    match found.into_iter().next() {
        None => Ok(()),
        Some(((start, key), rows)) => Err(format!(
            "window {start} of key {key:?} should not have fired: {rows:?}"
        )),
    }
}

fn places(what: &str, wanted: &[Place], written: &[Record]) -> Result<(), String> {
    let mut found: Vec<Place> = written.iter().map(Record::origin).collect();
    found.sort_unstable();
    if found == wanted {
        return Ok(());
    }
    let lost = wanted.iter().find(|place| !found.contains(place));
    let twice = found.windows(2).find(|pair| pair[0] == pair[1]);
    let wrong = found.iter().find(|place| !wanted.contains(place));
    let reason = |place: &Place| {
        let record = written.iter().find(|record| record.origin() == *place);
        record.map(|record| record.header("millstream.reason").to_owned())
    };
    let reason = wrong.and_then(reason);
    Err(format!(
        "{what}: lost {lost:?}, twice {twice:?}, wrong {wrong:?} ({reason:?})"
    ))
}

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// Each local store, once more brought up to its changelog, has what the changelog alone gives.
fn stores(
    scenario: &Scenario,
    expected: &Expected,
    log: &EmbeddedLog,
    disks: &[Disk],
) -> Result<(), String> {
    let bounds = log.bounds(CHANGELOG).map_err(|error| error.to_string())?;
    for (partition, bounds) in (0..).zip(&bounds) {
        let at = TopicPartition::new(CHANGELOG, partition);
        let Some((stage, origin)) = origin(log, partition)? else {
            continue;
        };
        let task = TaskId { stage, partition };
        let mut rebuilt = Entries::new();
        replay(log, &at, origin.base, &mut rebuilt);
        only_open_windows(scenario.kind.time, expected, task, &rebuilt)?;
        for (number, disk) in disks.iter().enumerate() {
            let position = disk
                .store
                .position(task)
                .map_err(|error| error.to_string())?;
            let is_usable = |next: Offset| (origin.base..=bounds.end).contains(&next);
            let Some(position) =
                position.filter(|it| it.lineage == origin.lineage && is_usable(it.next))
            else {
                continue;
            };
            let mut entries = contents(&disk.store, task);
            replay(log, &at, position.next, &mut entries);
            if entries != rebuilt {
                let (has, wants) = (keys(&entries, &rebuilt), keys(&rebuilt, &entries));
                return Err(format!(
                    "disk {number}: the store of {task} is not what its changelog gives from {} on: it has {has}, the changelog {wants}",
                    position.next
                ));
            }
        }
    }
    Ok(())
}

/// What stands beside the committed offset of the task that has a changelog partition.
fn origin(log: &EmbeddedLog, partition: i32) -> Result<Option<(Stage, Origin)>, String> {
    for (topic, stage) in [(REPARTITION, Stage::Final), (SOURCE, Stage::Source)] {
        let at = TopicPartition::new(topic, partition);
        let Ok(committed) = log.group_offsets(GROUP, &[at]) else {
            continue;
        };
        for offset in committed {
            let mark = Mark::parse(&offset.metadata).map_err(|error| error.to_string())?;
            if let Some(origin) = mark.state {
                return Ok(Some((stage, origin)));
            }
        }
    }
    Ok(None)
}

/// When nothing of a pane may be left. A pane does not tell how far its session has grown.
fn over_at(time: Time, pane: Pane) -> i64 {
    match time {
        Time::Session => i64::MAX,
        _ if pane.is_pending() => pane.since.0,
        _ => {
            let last = time.starts(pane.span.start.0).pop().unwrap_or_default();
            last + WINDOW + time.lateness()
        }
    }
}

/// A window that is over leaves only tombstones.
fn only_open_windows(
    time: Time,
    expected: &Expected,
    task: TaskId,
    entries: &Entries,
) -> Result<(), String> {
    for key in entries.keys() {
        let key = StateKey::decode(key).map_err(|error| error.to_string())?;
        let watermark = expected.watermarks[usize::try_from(task.partition).unwrap()];
        if let StateKey::Part { pane, .. } = key
            && watermark.is_some_and(|watermark| over_at(time, pane) <= watermark)
        {
            return Err(format!(
                "{task} still has something of {}, which has fired",
                pane.span
            ));
        }
    }
    Ok(())
}

fn replay(log: &EmbeddedLog, at: &TopicPartition, from: Offset, entries: &mut Entries) {
    let mut reader = log.partition_reader(at, from).unwrap();
    let mut fetched = Fetched::new();
    loop {
        reader.poll(&mut fetched, Duration::ZERO).unwrap();
        if fetched.is_empty() {
            return;
        }
        for batch in fetched.batches() {
            for row in 0..batch.len() {
                let key = batch.key(row).unwrap_or_default().to_vec();
                match batch.value(row) {
                    Some(value) => _ = entries.insert(key, value.to_vec()),
                    None => _ = entries.remove(&key),
                }
            }
        }
    }
}

fn contents(store: &MemoryStore, task: TaskId) -> Entries {
    let mut entries = Entries::new();
    let to = [0xff; 16];
    let visit = &mut |key: &[u8], value: &[u8]| {
        entries.insert(key.to_vec(), value.to_vec());
        ControlFlow::Continue(())
    };
    store.scan(task, &[], &to, visit).unwrap();
    entries
}

/// The first key that one has differently from the other.
fn keys(one: &Entries, other: &Entries) -> String {
    let first = one
        .iter()
        .find(|(key, value)| other.get(*key) != Some(value));
    first.map_or("nothing".to_owned(), |(key, _)| {
        format!("{:?}", StateKey::decode(key))
    })
}
