//! A worker's part in its group, with all that can happen to it: records that come late and in pieces, partitions that are taken
//! away. What becomes of its commits is in `sim_commit`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use millstream::log::embedded::EmbeddedSession;
use millstream::log::{
    CommitError, Fetched, GroupOffset, Log, LogError, Membership, Offset, Outbox, Polled, Session,
    TopicPartition, Written,
};
use millstream::state::Mark;
use rand::RngExt;

use crate::baton::{Id, World};
use crate::clock::millis;
use crate::faults::{Call, Fault, When};
use crate::mutations::Mutation;
use crate::sim_log::{Row, SimLog, gate};

/// See the opening of this file.
pub(crate) struct SimSession {
    pub(crate) log: SimLog,
    pub(crate) world: Arc<World>,
    pub(crate) me: Id,
    /// The name under which it commits.
    pub(crate) name: String,
    /// `None` only while it is dropped.
    inner: Option<EmbeddedSession>,
    /// What has been fetched and not handed out.
    pending: BTreeMap<TopicPartition, VecDeque<Row>>,
    fetched: Fetched,
}

impl SimSession {
    pub(crate) fn join(log: &SimLog, membership: &Membership) -> Result<Self, LogError> {
        let inner = log.inner.join(membership)?;
        let name = membership.transactional_id();
        log.world.with(|state| state.broker.joined(log.me, &name));
        Ok(Self {
            log: log.clone(),
            world: Arc::clone(&log.world),
            me: log.me,
            name,
            inner: Some(inner),
            pending: BTreeMap::new(),
            fetched: Fetched::new(),
        })
    }

    pub(crate) fn inner(&mut self) -> &mut EmbeddedSession {
        self.inner
            .as_mut()
            .expect("it is taken only when the session is dropped")
    }

    fn call<T>(
        &mut self,
        call: Call,
        work: impl FnOnce(&mut Self) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        gate(&self.world, self.me, call)?;
        let result = work(self);
        self.world.may_crash(self.me, call, When::After);
        result
    }

    /// Takes note of what was committed by a version of which this worker has not heard.
    fn note_unheard(&self, committed: &[GroupOffset]) {
        let marks = committed.iter().flat_map(|it| Mark::parse(&it.metadata));
        let newest = marks.map(|mark| mark.generation).max();
        self.world.with(|state| {
            if newest > state.heard.get(&self.me).copied() {
                state.tally.count(Fault::Unheard);
            }
        });
    }

    /// Takes note of what the group tells.
    fn take_note(&mut self, polled: &Polled) {
        self.world.note(self.me, || format!("polls {polled:?}"));
        match polled {
            Polled::Records => {}
            Polled::Assigned(partitions) => {
                let assigned = self
                    .world
                    .with(|state| state.broker.assigned(self.me, partitions));
                if let Err(why) = assigned {
                    self.world.fail(why);
                }
            }
            Polled::Revoked(partitions) => self.drop_pending(partitions),
            Polled::Lost(partitions) => {
                self.world.with(|state| {
                    state.tally.count(Fault::Lost);
                    state.broker.released(self.me, partitions);
                });
                self.drop_pending(partitions);
            }
        }
    }

    fn drop_pending(&mut self, partitions: &[TopicPartition]) {
        self.pending.retain(|at, _| !partitions.contains(at));
    }

    /// Hands out some of what is there: not every partition's, and of one perhaps only the first records.
    fn hand_out(&mut self, into: &mut Fetched) {
        self.world.with(|state| {
            for (at, rows) in &mut self.pending {
                let hidden = state.broker.hidden_from(at);
                let is_visible = |row: &&Row| hidden.is_none_or(|hidden| row.offset < hidden);
                let mut count = rows.iter().take_while(is_visible).count();
                let odds = (state.odds.withheld, state.odds.partial);
                if count == 0 || state.happens(odds.0, Fault::Withheld) {
                    continue;
                }
                if count > 1 && state.happens(odds.1, Fault::PartialBatch) {
                    count = state.rng.random_range(1..count);
                }
                let batch = into.batch_mut(&at.topic, at.partition);
                rows.drain(..count).for_each(|row| row.push_to(batch));
            }
        });
        self.pending.retain(|_, rows| !rows.is_empty());
    }
}

impl Session for SimSession {
    fn poll(&mut self, into: &mut Fetched, wait: Duration) -> Result<Polled, LogError> {
        into.clear();
        gate(&self.world, self.me, Call::Poll)
            .inspect_err(|_| self.world.pass(self.me, millis(wait)))?;
        let mut fetched = std::mem::take(&mut self.fetched);
        let polled = self.inner().poll(&mut fetched, Duration::ZERO);
        for batch in fetched.batches() {
            let pending = self.pending.entry(batch.partition().clone()).or_default();
            pending.extend(Row::of(batch));
        }
        self.fetched = fetched;
        let polled = polled.inspect_err(|error| {
            self.world.note(self.me, || format!("polls: {error}"));
            if matches!(error, LogError::Fenced(_)) {
                self.world.with(|state| state.tally.count(Fault::Fenced));
            }
        })?;
        if polled == Polled::Records {
            self.hand_out(into);
            if into.is_empty() {
                self.world.pass(self.me, millis(wait));
            } else {
                self.world.note(self.me, || {
                    let of = |batch: &millstream::log::RecordBatch| {
                        format!("{}@{}+{}", batch.partition(), batch.offset(0), batch.len())
                    };
                    format!(
                        "polls {}",
                        into.batches().map(of).collect::<Vec<_>>().join(" ")
                    )
                });
                let fails = self.world.with(|state| {
                    let odds = state.odds.away;
                    state.happens(odds, Fault::BesideAnError)
                });
                if fails {
                    self.world
                        .note(self.me, || "and an error beside them".to_owned());
                    let why = "something may lack among them".to_owned();
                    return Err(LogError::Unavailable(why));
                }
            }
        } else {
            self.take_note(&polled);
        }
        self.world.may_crash(self.me, Call::Poll, When::After);
        Ok(polled)
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        self.inner
            .as_ref()
            .map(Session::assignment)
            .unwrap_or_default()
    }

    fn committed(&mut self, of: &[TopicPartition]) -> Result<Vec<GroupOffset>, LogError> {
        self.call(Call::Committed, |session| {
            let ignores = session.world.mutation == Some(Mutation::UndecidedIgnored);
            if !ignores {
                session.world.with(|state| state.broker.check_decided(of))?;
            }
            let committed = session.inner().committed(of)?;
            session.note_unheard(&committed);
            Ok(match ignores {
                true => session
                    .world
                    .with(|state| state.broker.before_undecided(committed)),
                false => committed,
            })
        })
    }

    fn begin(&mut self, from: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.world.note(self.me, || format!("begins {from:?}"));
        self.call(Call::Begin, |session| {
            session.inner().begin(from)?;
            session
                .world
                .with(|state| state.broker.begun(session.me, from, state.now));
            Ok(())
        })
    }

    fn seek(&mut self, to: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.world.note(self.me, || format!("seeks {to:?}"));
        self.call(Call::Seek, |session| {
            let mutation = session.world.mutation;
            if mutation == Some(Mutation::NoSeek) {
                return Ok(());
            }
            if mutation != Some(Mutation::StaleAfterSeek) {
                let partitions: Vec<_> = to.iter().map(|(at, _)| at.clone()).collect();
                session.drop_pending(&partitions);
            }
            session.inner().seek(to)
        })
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.world
            .note(self.me, || format!("pauses {partitions:?}"));
        self.call(Call::Seek, |session| {
            session.drop_pending(partitions);
            session.world.with(|state| state.tally.count(Fault::Paused));
            session.inner().pause(partitions)
        })
    }

    fn resume(&mut self, from: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.world.note(self.me, || format!("resumes {from:?}"));
        self.call(Call::Seek, |session| session.inner().resume(from))
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.world
            .note(self.me, || format!("releases {partitions:?}"));
        self.call(Call::Release, |session| {
            session.inner().release(partitions)?;
            session.drop_pending(partitions);
            session
                .world
                .with(|state| state.broker.released(session.me, partitions));
            Ok(())
        })
    }

    fn commit(&mut self, outbox: &Outbox, offsets: &[GroupOffset]) -> Result<Written, CommitError> {
        self.commit_or_not(outbox, offsets)
    }
}

impl Drop for SimSession {
    /// A worker that ends leaves its group; of one that has crashed the broker does not know.
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else {
            return;
        };
        self.world.with(|state| {
            if std::thread::panicking() {
                let now = state.now;
                state.broker.died(self.me, self.name.clone(), inner, now);
            } else {
                drop(inner);
                state.broker.left(self.me);
            }
        });
    }
}
