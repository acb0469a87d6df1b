//! Whether a run has come out right: what was written against the oracle, the log against the ledger, each local store against
//! its changelog.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use millstream::log::embedded::EmbeddedLog;
use millstream::log::{Fetched, Log, Offset, Reader, TopicPartition};
use millstream::state::{Mark, MemoryStore, Origin, Stage, StateKey, Store, TaskId};
use millstream::time::Timestamp;
use millstream::window::Pane;
use serde_json::Value;

use crate::broker::Broker;
use crate::oracle::{BOUNDLESS, Expected, Place, Shown, sum_and_rows};
use crate::pipelines::{Function, Kind, Time};
use crate::reading::{Publication, Seen};
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
    results(scenario.kind, expected, &read_all(log, SINK))?;
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
    marks(scenario.kind, expected, broker)?;
    stores(scenario, expected, log, disks)
}

/// What was committed of watermarks is what the rows say; or, of a partition that is silent, no more than others had come to.
fn marks(kind: &Kind, expected: &Expected, broker: &Broker) -> Result<(), String> {
    for (partition, marks) in &broker.marks {
        let natural = &expected.natural[usize::try_from(*partition).unwrap()];
        let others = (0..)
            .zip(&expected.natural)
            .filter(|(other, _)| other != partition);
        let furthest = others.filter_map(|(_, natural)| natural.last()).max();
        let mut promised = i64::MIN;
        for (offset, mark) in marks {
            let own = natural[usize::try_from(*offset).unwrap()].max(promised);
            let is_promise = kind.idle && own < *mark && furthest.is_some_and(|it| mark <= it);
            if *mark != own && !is_promise {
                return Err(format!(
                    "partition {partition} was at {mark} before {offset}, and should be at {own}"
                ));
            }
            promised = *mark;
        }
    }
    Ok(())
}

/// What was written of each window and key, in the order in which it came; each with the last instant or row that it shows.
type Written = BTreeMap<(Shown, String), Vec<(i64, Publication)>>;

fn results(kind: &Kind, expected: &Expected, records: &[Record]) -> Result<(), String> {
    let mut written = Written::new();
    for record in records {
        let (at, until, one) =
            publication(kind, &record.json()).ok_or_else(|| format!("no result: {record:?}"))?;
        let all = written.entry(at).or_default();
        // Only one function has several results; one that is there already belongs to another publication.
        let is_same = |last: &&mut (i64, Publication)| {
            let of = |it: &Publication| (it.revision, it.is_early, it.is_retraction);
            kind.function == Function::Pages
                && last.0 == until
                && of(&last.1) == of(&one)
                && !last.1.rows.contains(&one.rows[0])
        };
        match all.last_mut().filter(is_same) {
            Some((_, last)) => last.rows.extend(one.rows),
            None => all.push((until, one)),
        }
    }
    for ((shown, key), published) in &expected.results {
        let at = format!("window {shown:?} of key {key:?}");
        let Some(all) = written.remove(&(*shown, key.clone())) else {
            return Err(format!("{at} is lost: it should be {published:?}"));
        };
        let told = |why: &str| Err(format!("{at}: {why}: {all:?}, and should be {published:?}"));
        let until = all.last().map(|(until, _)| *until);
        let seen = match seen(kind, all.clone()) {
            Ok(seen) => seen,
            Err(why) => return told(why),
        };
        let is_final = |now: &Publication| !now.is_early && now.rows == published.rows;
        if !seen.now.as_ref().is_some_and(is_final) || until != Some(published.until) {
            return told("it is not the last");
        }
        let is_wrong = |count| seen.finals.len() != count;
        if published.revisions.is_some_and(is_wrong) {
            return told("it was published more often, or less");
        }
    }
    let lowest = expected.watermarks.iter().copied().min().flatten();
    for ((shown, key), all) in written {
        let at = format!("window {shown:?} of key {key:?}");
        let seen = seen(kind, all.clone()).map_err(|why| format!("{at}: {why}: {all:?}"))?;
        let is_open = |now: &Publication| now.is_early && lowest.is_none_or(|now| now <= shown.1);
        if !seen.now.as_ref().is_none_or(is_open) {
            return Err(format!("{at} should not have fired: {all:?}"));
        }
    }
    Ok(())
}

/// What somebody sees who has read all that was written of a window and key.
fn seen(kind: &Kind, all: Vec<(i64, Publication)>) -> Result<Seen, &'static str> {
    let mut seen = Seen::default();
    for (_, mut publication) in all {
        publication.rows.sort_unstable();
        seen.read(publication, kind.updates)?;
    }
    Ok(seen)
}

/// A result: its window and key, the last that it shows, and what it says.
fn publication(kind: &Kind, json: &Value) -> Option<((Shown, String), i64, Publication)> {
    let number = |name: &str, other: &str| json[name].as_i64().or_else(|| json[other].as_i64());
    let until = number("window_end_ms", "last_row")?;
    let shown = match kind.time {
        Time::GlobalRows | Time::GlobalEvery => BOUNDLESS,
        _ => (number("window_start_ms", "first_row")?, until),
    };
    let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
    let row = match kind.function {
        Function::Visitors | Function::VisitorsByRows => {
            format!("visitors={}", json["unique_visitors"])
        }
        Function::Pages => format!("{}={}", text("page"), json["views"]),
        Function::Sum => format!("sum={}", json["sum"]),
        Function::Transcript => text("text"),
        Function::Marked => {
            // Each row by one version.
            let by = |name: &str| json[name].as_i64();
            let rows = ["by0", "by1", "by2", "by3"].into_iter().filter_map(by);
            sum_and_rows(json["sum"].as_i64()?, rows.sum())
        }
    };
    let is_final = json["final"].as_bool();
    let publication = Publication {
        revision: json["revision"].as_i64()?,
        is_early: is_final == Some(false),
        is_retraction: json["retraction"].as_bool().unwrap_or_default(),
        rows: vec![row],
    };
    (is_final.is_some() == kind.is_early()).then(|| ((shown, text("key")), until, publication))
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
        only_open_windows(scenario.kind, expected, task, &rebuilt)?;
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

/// When nothing of a pane may be left. One of a session does not tell how far that has grown, and all rows of a key are never over.
fn over_at(kind: &Kind, pane: Pane) -> i64 {
    if matches!(kind.time, Time::Session) || pane.span.end == Timestamp::MAX {
        return i64::MAX;
    }
    if pane.is_pending() {
        return pane.since.0;
    }
    let last = kind.time.holding(pane.span.start.0).pop();
    last.map_or(i64::MAX, |last| last.end + kind.lateness())
}

/// A window that is over leaves only tombstones.
fn only_open_windows(
    kind: &Kind,
    expected: &Expected,
    task: TaskId,
    entries: &Entries,
) -> Result<(), String> {
    for key in entries.keys() {
        let key = StateKey::decode(key).map_err(|error| error.to_string())?;
        let (window, over_at) = match key {
            StateKey::Part { pane, .. } => (pane.span, over_at(kind, pane)),
            // Where other windows still have the rows, what was published goes some time later.
            StateKey::Published { window, .. } if kind.ends_when_fired() => (window, window.end.0),
            _ => continue,
        };
        let watermark = expected.watermarks[usize::try_from(task.partition).unwrap()];
        if watermark.is_some_and(|watermark| over_at <= watermark) {
            return Err(format!(
                "{task} still has something of {window}, which has fired"
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
