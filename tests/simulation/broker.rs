//! What a broker knows and a worker does not: who is dead, who has been expelled, which transactions are undecided; and a ledger
//! of all that was ever committed, against which the log is held in the end.

use std::collections::BTreeMap;

use millstream::log::embedded::{EmbeddedLog, EmbeddedSession};
use millstream::log::{Bounds, GroupOffset, Log, LogError, Offset, Outbox, TopicPartition};
use millstream::state::Mark;

use crate::baton::Id;
use crate::scenario::{GROUP, SOURCE};
use crate::sim_log::Cleaned;

/// How long a member may be silent before its partitions are dealt to others.
pub(crate) const SESSION_TIMEOUT: u64 = 3_000;
/// How long a transaction of the dead stays undecided if nobody ends it.
const TRANSACTION_TIMEOUT: u64 = 5_000;

/// A session whose worker has crashed.
struct Dead {
    /// Dropping it leaves the group.
    session: EmbeddedSession,
    who: Id,
    name: String,
    until: u64,
}

/// A member that has not been heard of, and when it is expelled.
struct Silent {
    who: Id,
    name: String,
    until: u64,
}

/// A transaction of which nobody knows yet how it ends.
struct Undecided {
    name: String,
    until: u64,
    /// Where its records would begin: what stands behind is not shown to readers of committed records.
    hidden: BTreeMap<TopicPartition, Offset>,
    /// The offsets that it commits, as they stood before.
    before: BTreeMap<TopicPartition, Option<GroupOffset>>,
}

/// See the opening of this file.
pub(crate) struct Broker {
    log: EmbeddedLog,
    owners: BTreeMap<TopicPartition, Id>,
    /// Who has begun to read each partition.
    readers: BTreeMap<TopicPartition, Id>,
    /// Who joined last under each name.
    members: BTreeMap<String, Id>,
    dead: Vec<Dead>,
    silent: Vec<Silent>,
    undecided: Vec<Undecided>,
    /// How far the group has come, by the commits that were seen.
    reached: BTreeMap<TopicPartition, Offset>,
    /// The watermarks that were committed beside them, by partition of the source.
    pub(crate) marks: BTreeMap<i32, Vec<(i64, i64)>>,
    /// The generation that has committed each partition last.
    generations: BTreeMap<TopicPartition, u64>,
    /// How many records were committed, by topic.
    ledger: BTreeMap<String, i64>,
    /// What the log's cleaner has done, by partition of the changelog.
    cleaned: BTreeMap<TopicPartition, Cleaned>,
    /// When something was committed or begun last.
    pub(crate) changed_at: u64,
}

impl Broker {
    pub(crate) fn new(log: EmbeddedLog) -> Self {
        Self {
            log,
            owners: BTreeMap::new(),
            readers: BTreeMap::new(),
            members: BTreeMap::new(),
            dead: Vec::new(),
            silent: Vec::new(),
            undecided: Vec::new(),
            reached: BTreeMap::new(),
            marks: BTreeMap::new(),
            generations: BTreeMap::new(),
            ledger: BTreeMap::new(),
            cleaned: BTreeMap::new(),
            changed_at: 0,
        }
    }

    /// What happens by itself as time goes on.
    pub(crate) fn keep_house(&mut self, now: u64) {
        let (gone, dead) = std::mem::take(&mut self.dead)
            .into_iter()
            .partition(|dead| dead.until <= now);
        self.dead = dead;
        for dead in gone {
            self.left(dead.who);
            drop(dead.session);
        }
        let (late, silent) = std::mem::take(&mut self.silent)
            .into_iter()
            .partition(|silent| silent.until <= now);
        self.silent = silent;
        for Silent { who, name, .. } in late {
            if self.members.get(&name) == Some(&who) {
                self.left(who);
                self.log.expel(GROUP, &name);
            }
        }
        self.undecided.retain(|undecided| undecided.until > now);
    }

    /// Takes note that `who` has joined under `name`: a transaction of its former self is decided by that.
    pub(crate) fn joined(&mut self, who: Id, name: &str) {
        self.undecided.retain(|undecided| undecided.name != name);
        if let Some(former) = self.members.insert(name.to_owned(), who) {
            self.left(former);
        }
        self.dead.retain(|dead| dead.name != name);
    }

    /// Takes note that partitions were given to `who`.
    ///
    /// # Errors
    /// If one of them is another's.
    pub(crate) fn assigned(
        &mut self,
        who: Id,
        partitions: &[TopicPartition],
    ) -> Result<(), String> {
        for at in partitions {
            match self.owners.insert(at.clone(), who) {
                Some(other) if other != who => {
                    return Err(format!("{at} was given to {who} while {other} had it"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes note that partitions are being read.
    pub(crate) fn begun(&mut self, who: Id, from: &[(TopicPartition, Offset)], now: u64) {
        self.changed_at = now;
        // A worker that does not know yet that it has lost them begins them too.
        let owned = from
            .iter()
            .filter(|(at, _)| self.owners.get(at) == Some(&who));
        self.readers.extend(owned.map(|(at, _)| (at.clone(), who)));
    }

    /// Takes note of the generation that has committed a partition. Returns the one before.
    pub(crate) fn generation(&mut self, at: &TopicPartition, now: u64) -> Option<u64> {
        self.generations.insert(at.clone(), now)
    }

    /// Who has a partition, and reads it.
    pub(crate) fn reader(&self, at: &TopicPartition) -> Option<Id> {
        let owner = self.owners.get(at);
        owner
            .filter(|owner| self.readers.get(at) == Some(owner))
            .copied()
    }

    /// Takes note that partitions were given up.
    pub(crate) fn released(&mut self, who: Id, partitions: &[TopicPartition]) {
        self.owners
            .retain(|at, owner| *owner != who || !partitions.contains(at));
    }

    /// Takes note that a worker has none any more.
    pub(crate) fn left(&mut self, who: Id) {
        self.owners.retain(|_, owner| *owner != who);
    }

    /// A worker has crashed. Its session stays in the group until the broker notices.
    pub(crate) fn died(&mut self, who: Id, name: String, session: EmbeddedSession, now: u64) {
        let until = now + SESSION_TIMEOUT;
        self.dead.push(Dead {
            session,
            who,
            name,
            until,
        });
    }

    /// A worker stands still from now on.
    pub(crate) fn fell_silent(&mut self, who: Id, now: u64) {
        let name = self
            .members
            .iter()
            .find_map(|(name, member)| (*member == who).then(|| name.clone()));
        if let Some(name) = name {
            let until = now + SESSION_TIMEOUT;
            self.silent.push(Silent { who, name, until });
        }
    }

    /// The transaction of `name` is undecided from now on.
    pub(crate) fn hide(
        &mut self,
        name: &str,
        hidden: BTreeMap<TopicPartition, Offset>,
        before: BTreeMap<TopicPartition, Option<GroupOffset>>,
        now: u64,
    ) {
        self.undecided.push(Undecided {
            name: name.to_owned(),
            until: now + TRANSACTION_TIMEOUT,
            hidden,
            before,
        });
    }

    /// Decides the transactions of those that `dead` says so of; returns how many there were.
    pub(crate) fn end(&mut self, dead: &dyn Fn(&str) -> bool) -> usize {
        let count = self.undecided.len();
        self.undecided.retain(|undecided| !dead(&undecided.name));
        count - self.undecided.len()
    }

    /// What the log's cleaner has done to a partition.
    pub(crate) fn cleaned(&mut self, at: &TopicPartition) -> &mut Cleaned {
        self.cleaned.entry(at.clone()).or_default()
    }

    /// Whether anything is undecided.
    pub(crate) fn is_undecided(&self) -> bool {
        !self.undecided.is_empty()
    }

    /// Where readers of committed records come to an end in a partition, if something is undecided there.
    pub(crate) fn hidden_from(&self, at: &TopicPartition) -> Option<Offset> {
        self.undecided
            .iter()
            .filter_map(|undecided| undecided.hidden.get(at))
            .min()
            .copied()
    }

    /// Bounds as readers of committed records see them.
    pub(crate) fn bounds(&self, topic: &str, mut bounds: Vec<Bounds>) -> Vec<Bounds> {
        for (partition, bounds) in (0..).zip(&mut bounds) {
            if let Some(hidden) = self.hidden_from(&TopicPartition::new(topic, partition)) {
                bounds.end = hidden;
                bounds.written = bounds.written.max(hidden.next());
            }
        }
        bounds
    }

    /// Refuses to tell offsets that an undecided transaction may change.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] if there is one.
    pub(crate) fn check_decided(&self, of: &[TopicPartition]) -> Result<(), LogError> {
        let undecided = self
            .undecided
            .iter()
            .flat_map(|undecided| undecided.before.keys());
        match undecided.into_iter().find(|at| of.contains(at)) {
            None => Ok(()),
            Some(at) => Err(LogError::Unavailable(format!(
                "the offset of {at} is undecided"
            ))),
        }
    }

    /// Offsets as they stood before what is undecided.
    pub(crate) fn before_undecided(&self, committed: Vec<GroupOffset>) -> Vec<GroupOffset> {
        let before = |offset: GroupOffset| {
            let mut all = self.undecided.iter();
            match all.find_map(|undecided| undecided.before.get(&offset.at)) {
                Some(before) => before.clone(),
                None => Some(offset),
            }
        };
        committed.into_iter().filter_map(before).collect()
    }

    /// Enters a commit into the ledger.
    ///
    /// # Errors
    /// If it went back, or was not its committer's to make.
    pub(crate) fn committed(
        &mut self,
        who: Id,
        outbox: &Outbox,
        offsets: &[GroupOffset],
        now: u64,
    ) -> Result<(), String> {
        self.changed_at = now;
        for record in outbox.records() {
            *self.ledger.entry(record.topic().to_owned()).or_default() += 1;
        }
        for GroupOffset {
            at,
            offset,
            metadata,
        } in offsets
        {
            if self.owners.get(at) != Some(&who) {
                let owner = self.owners.get(at);
                return Err(format!(
                    "{who} committed for {at}, which belongs to {owner:?}"
                ));
            }
            if *at.topic == *SOURCE
                && let Ok(mark) = Mark::parse(metadata)
            {
                let marks = self.marks.entry(at.partition).or_default();
                marks.push((offset.0, mark.watermark.0));
            }
            let before = self.reached.insert(at.clone(), *offset);
            if let Some(before) = before.filter(|before| before > offset) {
                return Err(format!(
                    "the offset of {at} went back from {before} to {offset}"
                ));
            }
        }
        Ok(())
    }

    /// Whether the log holds what the ledger says.
    ///
    /// # Errors
    /// What it holds beyond that, or less.
    pub(crate) fn balance(&self, source: &str) -> Result<(), String> {
        let topics = self.log.topics().map_err(|error| error.to_string())?;
        for topic in topics.iter().filter(|topic| topic.name != source) {
            let bounds = self
                .log
                .bounds(&topic.name)
                .map_err(|error| error.to_string())?;
            let held: i64 = bounds.iter().map(|bounds| bounds.end.0).sum();
            let entered = self.ledger.get(&topic.name).copied().unwrap_or_default();
            if held != entered {
                let name = &topic.name;
                return Err(format!(
                    "topic {name} holds {held} records, of which {entered} were committed"
                ));
            }
        }
        Ok(())
    }
}
