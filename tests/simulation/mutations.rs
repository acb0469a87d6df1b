//! The simulator's teeth: ways to break the protocol, each done in the wrappers, so that the worker under test is the real
//! one. For each, the judge must complain.

use std::sync::Arc;

use millstream::log::{CommitError, GroupOffset, Log, Outbox, OutboxRecord, RecordParts, Writer};
use millstream::state::{Mark, StateKey, TaskState, Write};
use millstream::time::Timestamp;

use crate::scenario::{CHANGELOG, DEAD, LATE, REPARTITION};
use crate::sim_log::SimLog;

/// A way to break the protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mutation {
    /// Offsets are committed before the records, and not with them.
    OffsetsOutside,
    /// Dead letters and late rows are written before the transaction.
    DeadLettersOutside,
    /// Partials are.
    PartialsOutside,
    /// Changes of state are.
    ChangelogOutside,
    /// The store has the changes before they are committed.
    StoreFirst,
    /// Watermarks stand neither beside offsets nor in the state.
    WatermarksForgotten,
    /// What a former owner commits is written all the same.
    NoFencing,
    /// A transaction that was aborted counts as done.
    AbortIsSuccess,
    /// A commit of which the answer was lost is made again.
    DoubtRepeated,
    /// What is undecided counts as aborted.
    UndecidedIgnored,
    /// A restore ends before the end of the changelog.
    RestoreStopsShort,
    /// What has left a window is not said in the changelog.
    NoTombstones,
    /// Deltas are not written.
    NoDeltas,
    /// Nor is what was published of windows that may be published again.
    PublicationsForgotten,
    /// Nor is how many rows of a key there were.
    CountersForgotten,
    /// After an abort reading goes on where it was.
    NoSeek,
    /// What was fetched before a seek is handed out after it.
    StaleAfterSeek,
    /// The store says that it has changes which it does not have.
    StoreWithoutChanges,
    /// What is staged when a worker goes over to another version is not committed.
    SwapWithoutCommit,
    /// A version that is put back gets a number that is not above that of the one which is taken back.
    NumberNotRaised,
    /// A version that is bad is not on trial.
    BadUntried,
    /// Nothing comes of what workers report.
    NobodyHeeds,
}

/// All of them, each with the first seed that catches it: found by running
/// `cargo test -p millstream --test simulation hunt -- --ignored --nocapture`.
pub(crate) const MUTATIONS: [(Mutation, u64); 22] = [
    (Mutation::OffsetsOutside, 13),
    (Mutation::DeadLettersOutside, 10),
    (Mutation::PartialsOutside, 10),
    (Mutation::ChangelogOutside, 3),
    (Mutation::StoreFirst, 13),
    (Mutation::WatermarksForgotten, 3),
    (Mutation::NoFencing, 21),
    (Mutation::AbortIsSuccess, 10),
    (Mutation::DoubtRepeated, 6),
    (Mutation::UndecidedIgnored, 21),
    (Mutation::RestoreStopsShort, 3),
    (Mutation::NoTombstones, 7),
    (Mutation::NoDeltas, 7),
    (Mutation::PublicationsForgotten, 28),
    (Mutation::CountersForgotten, 44),
    (Mutation::NoSeek, 4),
    (Mutation::StaleAfterSeek, 4),
    (Mutation::StoreWithoutChanges, 2),
    (Mutation::SwapWithoutCommit, 2),
    (Mutation::NumberNotRaised, 17),
    (Mutation::BadUntried, 4),
    (Mutation::NobodyHeeds, 26),
];

/// What is committed, after a mutation of it.
pub(crate) fn rewrite(
    mutation: Option<Mutation>,
    outbox: &Outbox,
    offsets: &[GroupOffset],
) -> Option<(Outbox, Vec<GroupOffset>)> {
    let outside = mutation.map(outside).unwrap_or_default();
    let mut offsets = offsets.to_vec();
    let without = |is_one: fn(StateKey) -> bool| {
        let stays = |record: &OutboxRecord<'_>| !state_key(record).is_some_and(is_one);
        only(outbox, stays, false)
    };
    let outbox = match mutation? {
        Mutation::WatermarksForgotten => {
            for offset in &mut offsets {
                if let Ok(mut mark) = Mark::parse(&offset.metadata) {
                    mark.watermark = Timestamp::MIN;
                    offset.metadata = mark.to_json();
                }
            }
            only(outbox, |_| true, true)
        }
        Mutation::NoTombstones => only(
            outbox,
            |record| record.topic() != CHANGELOG || record.value().is_some(),
            false,
        ),
        Mutation::NoDeltas => only(outbox, |record| !is_delta(record), false),
        Mutation::PublicationsForgotten => without(|key| matches!(key, StateKey::Published { .. })),
        Mutation::CountersForgotten => without(|key| matches!(key, StateKey::Counter { .. })),
        Mutation::OffsetsOutside => {
            offsets.clear();
            outbox.clone()
        }
        _ if !outside.is_empty() => {
            only(outbox, |record| !outside.contains(&record.topic()), false)
        }
        _ => return None,
    };
    Some((outbox, offsets))
}

/// What is written before the transaction, if anything.
///
/// # Errors
/// If the log refuses.
pub(crate) fn write_outside(log: &SimLog, outbox: &Outbox) -> Result<(), CommitError> {
    let topics = log.world.mutation.map(outside).unwrap_or_default();
    let outbox = only(outbox, |record| topics.contains(&record.topic()), false);
    append(log, &outbox)
}

/// Writes records outside of any transaction.
///
/// # Errors
/// If the log refuses.
pub(crate) fn append(log: &SimLog, outbox: &Outbox) -> Result<(), CommitError> {
    let refused = |error: millstream::log::LogError| CommitError::Refused(error.to_string());
    let mut writer = log.inner.writer().map_err(refused)?;
    writer.append(outbox).map_err(refused)
}

fn outside(mutation: Mutation) -> Vec<&'static str> {
    match mutation {
        Mutation::DeadLettersOutside => vec![DEAD, LATE],
        Mutation::PartialsOutside => vec![REPARTITION],
        Mutation::ChangelogOutside => vec![CHANGELOG],
        _ => Vec::new(),
    }
}

/// What a record of the changelog is about.
fn state_key(record: &OutboxRecord<'_>) -> Option<StateKey> {
    let key = record.key().filter(|_| record.topic() == CHANGELOG)?;
    StateKey::decode(key).ok()
}

fn is_delta(record: &OutboxRecord<'_>) -> bool {
    let is_delta = |key| matches!(key, StateKey::Part { write, .. } if write != Write::BASE);
    record.value().is_some() && state_key(record).is_some_and(is_delta)
}

/// Some of the records; without the watermarks in states of tasks where they are to be forgotten.
fn only(outbox: &Outbox, wanted: impl Fn(&OutboxRecord<'_>) -> bool, forget: bool) -> Outbox {
    let mut some = Outbox::new();
    for record in outbox.records().filter(|record| wanted(record)) {
        let topic: Arc<str> = record.topic().into();
        let headers: Vec<(&'static str, &[u8])> = record
            .headers()
            .map(|header| (known(header.name), header.value))
            .collect();
        let mut value = record.value().map(<[u8]>::to_vec);
        let is_state = state_key(&record) == Some(StateKey::Task);
        if forget
            && is_state
            && let Some(bytes) = &mut value
            && let Ok(mut state) = TaskState::decode(bytes)
        {
            state.watermarks.clear();
            bytes.clear();
            state.encode(bytes);
        }
        let parts = RecordParts {
            partition: record.partition(),
            timestamp: record.timestamp(),
            key: record.key(),
            value: value.as_deref(),
            headers: &headers,
        };
        some.push(&topic, parts);
    }
    some
}

/// The names of headers are fixed texts.
fn known(name: &str) -> &'static str {
    const NAMES: [&str; 12] = [
        "millstream.pipeline",
        "millstream.topic",
        "millstream.partition",
        "millstream.offset",
        "millstream.reason",
        "millstream.step",
        "millstream.plugin",
        "millstream.digest",
        "millstream.window_start",
        "millstream.window_end",
        "millstream.late_by_ms",
        "millstream.generation",
    ];
    NAMES
        .into_iter()
        .find(|known| *known == name)
        .unwrap_or("other")
}
