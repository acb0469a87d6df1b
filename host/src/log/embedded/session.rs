//! A session: a worker's part in a group of the embedded log.
//!
//! A session is **fenced** as soon as another joins under its transactional id: it has left the group, its polls and
//! commits fail for good. It is **behind** when its group has been dealt anew since its last poll: its commits are
//! refused with [`CommitError::Aborted`], and its next poll says [`Polled::Reassigned`] and puts it at the group's
//! committed offsets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::group::{Generation, SessionId};
use super::position::{Position, Positions};
use super::shared::{Shared, State};
use super::store::NewGroupOffset;
use crate::log::{
    CommitError, Fetched, GroupOffset, LogError, Membership, Offset, Outbox, Polled, Session,
    TopicPartition,
};

const MAX_METADATA_BYTES: usize = 4_096;

/// A worker's part in a group. Dropping it leaves the group.
pub struct EmbeddedSession {
    shared: Arc<Shared>,
    id: SessionId,
    membership: Membership,
    /// The generation that `positions` belong to.
    generation: Generation,
    positions: Positions,
}

/// How a session stands in its group.
enum Standing {
    Fenced,
    Behind,
    Current,
}

impl EmbeddedSession {
    pub(super) fn join(shared: &Arc<Shared>, membership: &Membership) -> Result<Self, LogError> {
        Ok(Self {
            shared: Arc::clone(shared),
            id: shared.join(membership)?,
            membership: membership.clone(),
            generation: Generation::default(),
            positions: Positions::default(),
        })
    }

    fn standing(&self, state: &State) -> Standing {
        if state.is_fenced(self.id, &self.membership) {
            return Standing::Fenced;
        }
        let group = state.group(&self.membership.group);
        match group.is_some_and(|group| group.generation() == self.generation) {
            true => Standing::Current,
            false => Standing::Behind,
        }
    }

    fn fenced(&self) -> String {
        let id = &self.membership.transactional_id;
        format!("another session has joined as {id}")
    }

    /// Takes over the partitions dealt in the current generation, each from the group's offset on.
    fn catch_up(&mut self) -> Result<(), LogError> {
        let (generation, assigned) = {
            let state = self.shared.state();
            let group = state.group(&self.membership.group);
            let (generation, assigned) = group
                .map(|group| (group.generation(), group.assignment(self.id)))
                .unwrap_or_default();
            let with_id = |at| state.partition_id(&at).map(|id| (at, id));
            let assigned = assigned.into_iter().map(with_id);
            (generation, assigned.collect::<Result<Vec<_>, _>>()?)
        };
        // No commit of the generation before is under way any more: a new one begins only when it is nobody's turn.
        let positions = assigned.into_iter().map(|(at, id)| {
            let committed = self.shared.store.group_offset(&self.membership.group, id)?;
            let next = committed.map_or(Offset(0), |(offset, _)| offset);
            Ok(Position { at, id, next })
        });
        self.positions = Positions::new(positions.collect::<Result<_, LogError>>()?);
        self.generation = generation;
        Ok(())
    }

    /// The offsets as they will be stored. Of two for one partition the later counts.
    fn check<'a>(
        &'a self,
        offsets: &'a [GroupOffset],
    ) -> Result<Vec<NewGroupOffset<'a>>, CommitError> {
        let mut checked = BTreeMap::new();
        for offset in offsets {
            let refuse = |why: String| Err(CommitError::Refused(format!("{}: {why}", offset.at)));
            let Some(position) = self.positions.get(&offset.at) else {
                return refuse(
                    "an offset is committed, but the partition is not assigned".to_owned(),
                );
            };
            if offset.offset < Offset(0) {
                return refuse(format!("offset {} is below 0", offset.offset));
            }
            if offset.metadata.len() > MAX_METADATA_BYTES {
                let bytes = offset.metadata.len();
                return refuse(format!(
                    "metadata of {bytes} bytes, of which {MAX_METADATA_BYTES} are allowed"
                ));
            }
            let group = &self.membership.group;
            let at = position.id;
            checked.insert(at, NewGroupOffset { group, at, offset });
        }
        Ok(checked.into_values().collect())
    }
}

impl Session for EmbeddedSession {
    fn poll(&mut self, into: &mut Fetched, wait: Duration) -> Result<Polled, LogError> {
        into.clear();
        let state = self.shared.state_when(wait, |state| {
            !matches!(self.standing(state), Standing::Current) || self.positions.has_news(state)
        });
        let standing = self.standing(&state);
        let ends = self.positions.ends(&state);
        drop(state);
        match standing {
            Standing::Fenced => Err(LogError::Fenced(self.fenced())),
            Standing::Behind => self.catch_up().map(|()| Polled::Reassigned),
            Standing::Current => {
                let store = &self.shared.store;
                self.positions.read(store, &ends, false, into)?;
                Ok(Polled::Records)
            }
        }
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        self.positions.iter().map(|p| p.at.clone()).collect()
    }

    fn committed(&mut self) -> Result<Vec<GroupOffset>, LogError> {
        let _turn = self.shared.turn();
        let mut committed = Vec::new();
        for Position { at, id, .. } in self.positions.iter() {
            let stored = self
                .shared
                .store
                .group_offset(&self.membership.group, *id)?;
            committed.extend(stored.map(|(offset, metadata)| GroupOffset {
                at: at.clone(),
                offset,
                metadata,
            }));
        }
        Ok(committed)
    }

    fn seek(&mut self, to: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        to.iter()
            .try_for_each(|(at, offset)| self.positions.seek(at, *offset))
    }

    fn commit(&mut self, outbox: &Outbox, offsets: &[GroupOffset]) -> Result<(), CommitError> {
        let turn = self.shared.turn();
        let standing = self.standing(&self.shared.state());
        match standing {
            Standing::Fenced => return Err(CommitError::Fenced(self.fenced())),
            Standing::Behind => {
                return Err(CommitError::Aborted(format!(
                    "the partitions of group {} have been dealt anew: poll to learn which are left",
                    self.membership.group
                )));
            }
            Standing::Current => {}
        }
        let offsets = self.check(offsets)?;
        let plan = self
            .shared
            .plan(&turn, outbox)
            .map_err(|error| match error {
                LogError::Refused(why) => CommitError::Refused(why),
                other => CommitError::Refused(other.to_string()),
            })?;
        if plan.blocks.is_empty() && offsets.is_empty() {
            return Ok(());
        }
        self.shared
            .write(&turn, plan, &offsets)
            .map_err(|error| CommitError::Unknown(error.to_string()))
    }
}

impl Drop for EmbeddedSession {
    fn drop(&mut self) {
        self.shared.leave(self.id, &self.membership);
    }
}
