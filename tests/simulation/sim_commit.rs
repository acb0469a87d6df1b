//! A commit of a simulated worker, with all that can become of it.

use std::collections::{BTreeMap, BTreeSet};

use millstream::log::{
    CommitError, GroupOffset, Log, Offset, Outbox, Session, TopicPartition, Written,
};
use millstream::state::{Mark, StateKey, Write};

use crate::baton::{State, crash};
use crate::faults::{Call, Fault, When};
use crate::mutations::{Mutation, append, rewrite, write_outside};
use crate::scenario::{CHANGELOG, SINK};
use crate::sim_log::SimLog;
use crate::sim_session::SimSession;

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
    /// Commits, or fails to, as the dice say.
    pub(super) fn commit_or_not(
        &mut self,
        outbox: &Outbox,
        offsets: &[GroupOffset],
    ) -> Result<Written, CommitError> {
        self.world.may_crash(self.me, Call::Commit, When::Before);
        let swaps = self.world.with(|state| state.swapping.remove(&self.me));
        if swaps && self.world.mutation == Some(Mutation::SwapWithoutCommit) {
            return Ok(Written::default());
        }
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
                    count_versions(offsets, state);
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

/// Counts what was committed by one version after another, and by two together.
fn count_versions(offsets: &[GroupOffset], state: &mut State) {
    let mut now = BTreeSet::new();
    for offset in offsets {
        let Ok(mark) = Mark::parse(&offset.metadata) else {
            continue;
        };
        now.insert(mark.generation);
        let before = state.broker.generation(&offset.at, mark.generation);
        if before.is_some_and(|before| before != mark.generation) {
            state.tally.count(Fault::WentOver);
        }
    }
    if now.len() > 1 {
        state.tally.count(Fault::TwoAtOnce);
    }
}

/// Counts in which ways results and contents were written.
fn count_layout(outbox: &Outbox, state: &mut State) {
    for record in outbox.records().filter(|record| record.topic() == SINK) {
        let says = |what: &str| {
            let value = record.value().unwrap_or_default();
            value.windows(what.len()).any(|it| it == what.as_bytes())
        };
        if says("\"final\":false") {
            state.tally.count(Fault::Early);
        }
        if says("\"retraction\":true") {
            state.tally.count(Fault::Retracted);
        }
    }
    let mut bases = BTreeSet::new();
    for record in outbox
        .records()
        .filter(|record| record.topic() == CHANGELOG)
    {
        let Some(Ok(StateKey::Part {
            pane,
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
            Some(_) if is_base => _ = bases.insert((pane, key)),
            Some(_) => state.tally.count(Fault::Delta),
            None if !is_base && bases.contains(&(pane, key)) => state.tally.count(Fault::Folded),
            None => {}
        }
    }
}
