//! A worker's part in its group, with all that can happen to it: records that come late and in pieces, partitions that are taken
//! away, commits that fail in every way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use millstream::log::embedded::EmbeddedSession;
use millstream::log::{
    CommitError, Fetched, GroupOffset, Log, LogError, Membership, Offset, Outbox, Polled, Session,
    TopicPartition, Written,
};
use millstream::state::{StateKey, Write};
use rand::RngExt;

use crate::baton::{Id, State, World, crash};
use crate::clock::millis;
use crate::faults::{Call, Fault, When};
use crate::mutations::{Mutation, append, rewrite, write_outside};
use crate::scenario::CHANGELOG;
use crate::sim_log::{Row, SimLog, gate};

/// See the opening of this file.
pub(crate) struct SimSession {
    log: SimLog,
    world: Arc<World>,
    me: Id,
    /// The name under which it commits.
    name: String,
    /// `None` only while it is dropped.
    inner: Option<EmbeddedSession>,
    /// What has been fetched and not handed out.
    pending: BTreeMap<TopicPartition, VecDeque<Row>>,
    fetched: Fetched,
}

/// What becomes of a commit.
enum Fate {
    /// It is made.
    Made,
    Aborted,
    /// The answer is lost, on its way there or back.
    Unknown {
        made: bool,
    },
    /// The same, and readers don't know for a while either.
    Undecided {
        made: bool,
        crashes: bool,
    },
}

impl Fate {
    fn draw(state: &mut State) -> Self {
        let odds = state.odds.clone();
        if state.draw(odds.aborted) {
            Fate::Aborted
        } else if state.draw(odds.done_unknown) {
            Fate::Unknown { made: true }
        } else if state.draw(odds.lost_unknown) {
            Fate::Unknown { made: false }
        } else if state.draw(odds.undecided) {
            let (made, crashes) = (state.draw(0.5), state.draw(0.5));
            Fate::Undecided { made, crashes }
        } else {
            Fate::Made
        }
    }
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

    fn inner(&mut self) -> &mut EmbeddedSession {
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

    /// Commits for real, and enters it into the ledger.
    fn carry_out(
        &mut self,
        outbox: &Outbox,
        offsets: &[GroupOffset],
    ) -> Result<Written, CommitError> {
        let mutation = self.world.mutation;
        write_outside(&self.log, outbox)?;
        if mutation == Some(Mutation::OffsetsOutside) {
            self.inner().commit(&Outbox::new(), offsets)?;
            self.world.may_crash(self.me, Call::Commit, When::After);
        }
        let mutated = rewrite(mutation, outbox, offsets);
        let (outbox, offsets) = match &mutated {
            Some((outbox, offsets)) => (outbox, offsets.as_slice()),
            None => (outbox, offsets),
        };
        match self.inner().commit(outbox, offsets) {
            Err(CommitError::Aborted(_) | CommitError::Fenced(_))
                if mutation == Some(Mutation::NoFencing) =>
            {
                append(&self.log, outbox)?;
                Ok(Written::default())
            }
            Err(error) => {
                let fault = match error {
                    CommitError::Fenced(_) => Fault::Fenced,
                    _ => Fault::ZombieRefused,
                };
                self.world.with(|state| state.tally.count(fault));
                Err(error)
            }
            Ok(written) => {
                let entered = self.world.with(|state| {
                    let now = state.now;
                    count_layout(outbox, state);
                    state.broker.committed(self.me, outbox, offsets, now)
                });
                if let Err(why) = entered
                    && mutation.is_none()
                {
                    self.world.fail(why);
                }
                Ok(written)
            }
        }
    }

    /// Commits or not, but nobody knows for a while.
    fn leave_undecided(
        &mut self,
        outbox: &Outbox,
        offsets: &[GroupOffset],
        made: bool,
    ) -> Result<(), CommitError> {
        let ends = |log: &SimLog, at: &TopicPartition| {
            let bounds = log.inner.bounds(&at.topic).unwrap();
            bounds[usize::try_from(at.partition).unwrap()].end
        };
        let explicit = outbox.records().filter_map(|record| {
            let at = TopicPartition::new(record.topic(), record.partition()?);
            Some((at.clone(), ends(&self.log, &at)))
        });
        let hidden: BTreeMap<TopicPartition, Offset> = explicit.collect();
        let partitions: Vec<TopicPartition> =
            offsets.iter().map(|offset| offset.at.clone()).collect();
        let committed = self.inner().committed(&partitions).unwrap();
        let before = partitions.into_iter().map(|at| {
            let before = committed.iter().find(|offset| offset.at == at).cloned();
            (at, before)
        });
        let before = before.collect();
        if made {
            self.carry_out(outbox, offsets)?;
        }
        self.world.with(|state| {
            let now = state.now;
            state.broker.hide(&self.name, hidden, before, now);
            state.tally.count(if made {
                Fault::CommitDoneUndecided
            } else {
                Fault::CommitLostUndecided
            });
        });
        Ok(())
    }

    /// What a broken protocol does before it commits.
    fn break_before(&mut self, outbox: &Outbox) {
        if self.world.mutation == Some(Mutation::StoreFirst) {
            let me = self.me;
            self.world.with(|state| {
                let changes: Vec<_> = outbox
                    .records()
                    .filter(|record| record.topic() == CHANGELOG)
                    .collect();
                if let Some(disk) = state.disks.iter_mut().find(|disk| disk.user == Some(me)) {
                    disk.apply_early(&changes);
                }
            });
        }
    }

    /// What a broken protocol makes of an abort.
    fn abort(&mut self, outbox: &Outbox, offsets: &[GroupOffset]) -> Result<Written, CommitError> {
        self.world
            .with(|state| state.tally.count(Fault::CommitAborted));
        write_outside(&self.log, outbox)?;
        match self.world.mutation {
            Some(Mutation::OffsetsOutside) => _ = self.inner().commit(&Outbox::new(), offsets)?,
            Some(Mutation::AbortIsSuccess) => return Ok(Written::default()),
            _ => {}
        }
        Err(CommitError::Aborted("by the dice".to_owned()))
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
        self.world.may_crash(self.me, Call::Commit, When::Before);
        self.break_before(outbox);
        self.world.pass(self.me, 0);
        let unknown = || CommitError::Unknown("the answer was lost".to_owned());
        let answer = match self.world.with(Fate::draw) {
            Fate::Made => self.carry_out(outbox, offsets),
            Fate::Aborted => self.abort(outbox, offsets),
            Fate::Unknown { made } => {
                if made {
                    self.carry_out(outbox, offsets)?;
                }
                let fault = if made {
                    Fault::CommitDoneUnknown
                } else {
                    Fault::CommitLostUnknown
                };
                self.world.with(|state| state.tally.count(fault));
                match self.world.mutation {
                    Some(Mutation::DoubtRepeated) => self.carry_out(outbox, offsets),
                    _ => Err(unknown()),
                }
            }
            Fate::Undecided { made, crashes } => {
                self.leave_undecided(outbox, offsets, made)?;
                if crashes {
                    self.world
                        .with(|state| state.tally.count(Fault::Crash(When::After, Call::Commit)));
                    crash();
                }
                Err(unknown())
            }
        };
        self.world.note(self.me, || {
            let at = |offset: &GroupOffset| format!("{}@{}", offset.at, offset.offset);
            let offsets = offsets.iter().map(at).collect::<Vec<_>>().join(" ");
            let answer = answer.as_ref().map(drop);
            format!("commits {} records, {offsets}: {answer:?}", outbox.len())
        });
        self.world.may_crash(self.me, Call::Commit, When::After);
        answer
    }
}

/// Counts in which ways contents were written.
fn count_layout(outbox: &Outbox, state: &mut State) {
    let mut bases = std::collections::BTreeSet::new();
    for record in outbox
        .records()
        .filter(|record| record.topic() == CHANGELOG)
    {
        let Some(Ok(StateKey::Part {
            window,
            key,
            write,
            chunk,
        })) = record.key().map(StateKey::decode)
        else {
            continue;
        };
        let is_base = write == Write::BASE;
        match record.value() {
            Some(_) if chunk > 0 => state.tally.count(Fault::Chunked),
            Some(_) if is_base => _ = bases.insert((window, key)),
            Some(_) => state.tally.count(Fault::Delta),
            None if !is_base && bases.contains(&(window, key)) => state.tally.count(Fault::Folded),
            None => {}
        }
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
