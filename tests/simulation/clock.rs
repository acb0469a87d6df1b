//! The clock of a run. It goes on only by the steps of the schedule and by what somebody waits.

use std::sync::Arc;
use std::time::Duration;

use millstream::time::{Clock, Timestamp};

use crate::baton::{Id, World};

/// When runs begin: 2026-01-01T00:00:00Z.
pub(crate) const BEGIN: i64 = 1_767_225_600_000;

/// The clock, as one worker reads it.
#[derive(Clone)]
pub(crate) struct SimClock {
    pub(crate) world: Arc<World>,
    pub(crate) me: Id,
}

/// A duration as steps of the simulated clock.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("simulated waits are short")
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let now = self.world.with(|state| state.now);
        Timestamp(BEGIN + i64::try_from(now).expect("a run takes minutes"))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.world.with(|state| state.now))
    }

    fn pause(&self, duration: Duration) {
        self.world.pass(self.me, millis(duration));
    }
}
