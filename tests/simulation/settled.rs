//! When a run has come to rest: everything has been read and committed, and whoever could still do something has had the time.

use millstream::log::embedded::EmbeddedLog;
use millstream::log::{Log, TopicPartition};

use crate::baton::World;
use crate::scenario::{GROUP, REPARTITION, SOURCE};

/// How long nothing must have been committed or taken over.
const QUIET: u64 = 700;

/// Whether a run has come to rest.
pub(crate) fn is_settled(world: &World, log: &EmbeddedLog) -> bool {
    let is_quiet = world
        .with(|state| state.now > state.broker.changed_at + QUIET && !state.broker.is_undecided());
    is_quiet && behind(world, log).is_empty()
}

/// The partitions that have not been read to their ends, or that nobody reads.
pub(crate) fn behind(world: &World, log: &EmbeddedLog) -> Vec<String> {
    let mut behind = Vec::new();
    for topic in [SOURCE, REPARTITION] {
        let Ok(bounds) = log.bounds(topic) else {
            continue;
        };
        for (partition, bounds) in (0..).zip(bounds) {
            let at = TopicPartition::new(topic, partition);
            let committed = log.group_offsets(GROUP, std::slice::from_ref(&at)).unwrap();
            let committed = committed.first().map(|offset| offset.offset);
            let is_read = world.with(|state| {
                let reader = state.broker.reader(&at).map(|reader| &state.actors[reader]);
                reader.is_some_and(|it| it.end.is_none() && it.frozen_until + QUIET < state.now)
            });
            if committed != Some(bounds.end) || !is_read {
                behind.push(format!(
                    "{at} at {committed:?} of {}, read: {is_read}",
                    bounds.end
                ));
            }
        }
    }
    behind
}
