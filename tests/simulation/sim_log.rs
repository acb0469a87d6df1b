//! The log as a simulated worker sees it: the embedded one in memory, behind a network that fails and a broker that has opinions
//! (`broker`). What a worker does as a member of its group is in `sim_session`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use millstream::log::embedded::{EmbeddedLog, EmbeddedReader, EmbeddedWriter};
use millstream::log::{
    Bounds, Fetched, GroupOffset, Log, LogError, Membership, Offset, Reader, RecordBatch,
    TopicInfo, TopicPartition, TopicSpec,
};
use millstream::time::Timestamp;
use rand::RngExt;

use crate::baton::{Id, World};
use crate::clock::millis;
use crate::faults::{Call, Fault, When};
use crate::mutations::Mutation;
use crate::scenario::{CHANGELOG, REPARTITION};
use crate::sim_session::SimSession;

/// How long Kafka keeps a tombstone where nothing else is said.
const DAY: u64 = 86_400_000;

/// What the topics of a run are like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Topics {
    /// The largest record of the host's own topics; `None` leaves it at the log's.
    pub(crate) most: Option<usize>,
    /// How long a tombstone stays in the changelog; `None` if it says nothing of that.
    pub(crate) tombstones: Option<u64>,
}

/// See the opening of this file. Each worker has its own.
#[derive(Clone)]
pub(crate) struct SimLog {
    pub(crate) world: Arc<World>,
    pub(crate) me: Id,
    pub(crate) inner: EmbeddedLog,
    pub(crate) topics: Topics,
}

impl SimLog {
    /// One call to the log, with all that can happen to it.
    fn call<T>(
        &self,
        call: Call,
        work: impl FnOnce() -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        gate(&self.world, self.me, call)?;
        let result = work();
        self.world.may_crash(self.me, call, When::After);
        result
    }
}

/// Before a call: a crash, others who come first, a log that is away.
pub(crate) fn gate(world: &World, me: Id, call: Call) -> Result<(), LogError> {
    world.may_crash(me, call, When::Before);
    world.pass(me, 0);
    let is_away = world.with(|state| {
        let odds = state.odds.away;
        state.away_until > state.now || state.happens(odds, Fault::Away)
    });
    if is_away {
        world.note(me, || format!("{call:?}: the log is away"));
        return Err(LogError::Unavailable("away for a while".to_owned()));
    }
    Ok(())
}

impl Log for SimLog {
    type Session = SimSession;
    type Reader = SimReader;
    type Writer = EmbeddedWriter;

    fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        self.call(Call::Ask, || self.inner.topics())
    }

    fn create_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        self.call(Call::Ask, || self.inner.create_topic(spec))
    }

    fn delete_topics(&self, names: &[String]) -> Result<(), LogError> {
        self.call(Call::Ask, || self.inner.delete_topics(names))
    }

    fn bounds(&self, topic: &str) -> Result<Vec<Bounds>, LogError> {
        self.call(Call::Ask, || {
            let bounds = self.inner.bounds(topic)?;
            let mut bounds = self.world.with(|state| state.broker.bounds(topic, bounds));
            if self.world.mutation == Some(Mutation::UndecidedIgnored) {
                bounds
                    .iter_mut()
                    .for_each(|bounds| bounds.written = bounds.end);
            }
            Ok(bounds)
        })
    }

    fn max_record_bytes(&self, topic: &str) -> Result<usize, LogError> {
        self.call(Call::Ask, || {
            let all = self.inner.max_record_bytes(topic)?;
            let is_own = topic == CHANGELOG || topic == REPARTITION;
            Ok(self.topics.most.filter(|_| is_own).unwrap_or(all))
        })
    }

    fn join(&self, membership: &Membership) -> Result<SimSession, LogError> {
        let session = self.call(Call::Join, || SimSession::join(self, membership));
        self.world.note(self.me, || {
            format!("joins: {:?}", session.as_ref().map(drop))
        });
        session
    }

    fn reader(&self, topic: &str, from: &[(i32, Offset)]) -> Result<SimReader, LogError> {
        self.call(Call::Ask, || {
            let inner = self.inner.reader(topic, from)?;
            Ok(SimReader::new(self, inner, BTreeSet::new()))
        })
    }

    fn partition_reader(&self, at: &TopicPartition, from: Offset) -> Result<SimReader, LogError> {
        self.call(Call::Ask, || {
            let removed = if *at.topic == *CHANGELOG {
                self.compact(at)?
            } else {
                BTreeSet::new()
            };
            let mut reader = SimReader::new(self, self.inner.partition_reader(at, from)?, removed);
            if self.world.mutation == Some(Mutation::RestoreStopsShort) {
                let end = self.inner.bounds(&at.topic)?[usize::try_from(at.partition).unwrap()].end;
                reader.stops_at = Some(Offset(end.0 - (end.0 - from.0) / 3));
            }
            Ok(reader)
        })
    }

    fn topic_settings(&self, topic: &str) -> Result<BTreeMap<String, String>, LogError> {
        self.call(Call::Ask, || {
            let mut settings = self.inner.topic_settings(topic)?;
            if topic == CHANGELOG
                && let Some(kept) = self.topics.tombstones
            {
                settings.insert("delete.retention.ms".to_owned(), kept.to_string());
            }
            Ok(settings)
        })
    }

    fn offsets_at(&self, topic: &str, at: Timestamp) -> Result<Vec<Offset>, LogError> {
        self.call(Call::Ask, || self.inner.offsets_at(topic, at))
    }

    fn members(&self, group: &str) -> Result<Vec<String>, LogError> {
        self.call(Call::Ask, || self.inner.members(group))
    }

    fn group_offsets(
        &self,
        group: &str,
        of: &[TopicPartition],
    ) -> Result<Vec<GroupOffset>, LogError> {
        self.call(Call::Ask, || {
            self.world.with(|state| state.broker.check_decided(of))?;
            self.inner.group_offsets(group, of)
        })
    }

    fn set_group_offsets(&self, group: &str, offsets: &[GroupOffset]) -> Result<(), LogError> {
        self.call(Call::Ask, || self.inner.set_group_offsets(group, offsets))
    }

    fn end_transactions(&self, _: &str, dead: &dyn Fn(&str) -> bool) -> Result<usize, LogError> {
        self.call(Call::Ask, || {
            let ended = self.world.with(|state| {
                let ended = state.broker.end(dead);
                (0..ended).for_each(|_| state.tally.count(Fault::EndedForTheDead));
                ended
            });
            Ok(ended)
        })
    }

    fn writer(&self) -> Result<EmbeddedWriter, LogError> {
        self.inner.writer()
    }
}

impl SimLog {
    /// Lets the log's cleaner run over a changelog partition, if the dice say so. Returns what has been removed by now.
    fn compact(&self, at: &TopicPartition) -> Result<BTreeSet<Offset>, LogError> {
        let kept = self.topics.tombstones.unwrap_or(DAY);
        let runs = self.world.with(|state| {
            let odds = state.odds.compacted;
            let share = state.rng.random_range(30..100);
            state.draw(odds).then_some((share, state.now))
        });
        if let Some((share, now)) = runs {
            let end = self.inner.bounds(&at.topic)?[usize::try_from(at.partition).unwrap()].end;
            // What was written last is never cleaned.
            let up_to = Offset(end.0 * share / 100);
            let mut reader = self.inner.partition_reader(at, Offset(0))?;
            let mut fetched = Fetched::new();
            let mut rows = Vec::new();
            loop {
                reader.poll(&mut fetched, Duration::ZERO)?;
                if fetched.is_empty() {
                    break;
                }
                rows.extend(
                    fetched
                        .batches()
                        .flat_map(Row::of)
                        .filter(|row| row.offset < up_to),
                );
            }
            self.world.with(|state| {
                let cleaned = state.broker.cleaned(at);
                let before = cleaned.removed.len();
                cleaned.run(&rows, now, kept);
                if cleaned.removed.len() > before {
                    state.tally.count(Fault::Compacted);
                }
            });
        }
        Ok(self
            .world
            .with(|state| state.broker.cleaned(at).removed.clone()))
    }
}

/// What the cleaner has done to a partition. It removes a record that a later one replaces, and a tombstone once it has come
/// across it so long ago that whoever read the record before has had the time to read it.
#[derive(Default)]
pub(crate) struct Cleaned {
    pub(crate) removed: BTreeSet<Offset>,
    /// When a tombstone may go.
    horizon: BTreeMap<Offset, u64>,
}

impl Cleaned {
    fn run(&mut self, rows: &[Row], now: u64, kept: u64) {
        let mut latest: BTreeMap<Option<&[u8]>, &Row> = BTreeMap::new();
        for row in rows {
            let before = latest.insert(row.key.as_deref(), row);
            self.removed.extend(before.map(|before| before.offset));
        }
        for row in latest.values().filter(|row| row.value.is_none()) {
            if *self.horizon.entry(row.offset).or_insert(now + kept) <= now {
                self.removed.insert(row.offset);
            }
        }
    }
}

/// A record on its way.
pub(crate) struct Row {
    pub(crate) offset: Offset,
    timestamp: Timestamp,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
}

impl Row {
    /// All records of a batch.
    pub(crate) fn of(batch: &RecordBatch) -> impl Iterator<Item = Row> + '_ {
        (0..batch.len()).map(|row| Row {
            offset: batch.offset(row),
            timestamp: batch.timestamp(row),
            key: batch.key(row).map(<[u8]>::to_vec),
            value: batch.value(row).map(<[u8]>::to_vec),
        })
    }

    /// Hands it out.
    pub(crate) fn push_to(&self, batch: &mut RecordBatch) {
        batch.push(
            self.offset,
            self.timestamp,
            self.key.as_deref(),
            self.value.as_deref(),
        );
    }
}

/// Reads a partition in pieces.
pub(crate) struct SimReader {
    world: Arc<World>,
    me: Id,
    inner: EmbeddedReader,
    removed: BTreeSet<Offset>,
    stops_at: Option<Offset>,
    pending: VecDeque<(TopicPartition, Row)>,
}

impl SimReader {
    fn new(log: &SimLog, inner: EmbeddedReader, removed: BTreeSet<Offset>) -> Self {
        Self {
            world: Arc::clone(&log.world),
            me: log.me,
            inner,
            removed,
            stops_at: None,
            pending: VecDeque::new(),
        }
    }
}

impl Reader for SimReader {
    fn poll(&mut self, into: &mut Fetched, wait: Duration) -> Result<(), LogError> {
        into.clear();
        gate(&self.world, self.me, Call::Restore)?;
        let mut fetched = Fetched::new();
        self.inner.poll(&mut fetched, Duration::ZERO)?;
        for batch in fetched.batches() {
            let rows = Row::of(batch).filter(|row| {
                !self.removed.contains(&row.offset)
                    && self.stops_at.is_none_or(|end| row.offset < end)
            });
            self.pending
                .extend(rows.map(|row| (batch.partition().clone(), row)));
        }
        let count = self.world.with(|state| {
            let odds = state.odds.partial;
            match self.pending.len() {
                0 => 0,
                all if state.draw(odds) => state.rng.random_range(1..=all),
                all => all,
            }
        });
        if count == 0 {
            self.world.pass(self.me, millis(wait));
        } else {
            self.world.with(|state| state.tally.count(Fault::Restored));
        }
        for (at, row) in self.pending.drain(..count) {
            row.push_to(into.batch_mut(&at.topic, at.partition));
        }
        self.world.may_crash(self.me, Call::Restore, When::After);
        Ok(())
    }

    fn at_end(&self) -> Vec<i32> {
        match self.pending.is_empty() {
            true => self.inner.at_end(),
            false => Vec::new(),
        }
    }
}
