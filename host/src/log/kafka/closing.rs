//! A consumer that is closed without holding up whoever had it.
//!
//! Closing waits for the group's last words, and librdkafka may wait for ever: where the client has gone as far as its end, nobody
//! answers the call with which a rebalance is answered. So it is done by a thread of its own, which is waited for
//! a while and then left behind.

use std::ops::Deref;
use std::sync::mpsc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, ConsumerContext};

/// How long the closing of a member is waited for, so that one that joins again mostly finds itself gone.
const CLOSING: Duration = Duration::from_secs(5);

/// A consumer, open until it is dropped.
pub(super) struct OpenConsumer<C: ConsumerContext + 'static> {
    consumer: Option<BaseConsumer<C>>,
    /// How long its closing is waited for.
    patience: Duration,
}

impl<C: ConsumerContext + 'static> OpenConsumer<C> {
    /// A member of a group.
    pub(super) fn member(consumer: BaseConsumer<C>) -> Self {
        Self {
            consumer: Some(consumer),
            patience: CLOSING,
        }
    }

    /// One of no group. Closing takes it a tenth of a second all the same, for which nobody need wait.
    pub(super) fn outsider(consumer: BaseConsumer<C>) -> Self {
        Self {
            consumer: Some(consumer),
            patience: Duration::ZERO,
        }
    }
}

impl<C: ConsumerContext + 'static> Deref for OpenConsumer<C> {
    type Target = BaseConsumer<C>;

    fn deref(&self) -> &BaseConsumer<C> {
        let consumer = self.consumer.as_ref();
        consumer.expect("it is there until it is dropped")
    }
}

impl<C: ConsumerContext + 'static> Drop for OpenConsumer<C> {
    fn drop(&mut self) {
        let consumer = self.consumer.take();
        if !within(self.patience, move || drop(consumer)) && !self.patience.is_zero() {
            tracing::warn!("a consumer takes long to close; going on without it");
        }
    }
}

/// Does something on a thread of its own, and waits for it for so long at most. Returns whether it is done.
fn within(time: Duration, work: impl FnOnce() + Send + 'static) -> bool {
    let (done, is_done) = mpsc::channel();
    let spawned = std::thread::Builder::new()
        .name("closing".to_owned())
        .spawn(move || {
            work();
            // Nobody may be waiting any more.
            let _ = done.send(());
        });
    if let Err(error) = spawned {
        tracing::warn!(%error, "a consumer could not be closed");
        return false;
    }
    is_done.recv_timeout(time).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_left_behind() {
        let (hold, held) = mpsc::channel::<()>();
        let never = move || {
            let _ = held.recv();
        };
        assert!(!within(Duration::ZERO, never));
        drop(hold);
        assert!(within(Duration::from_secs(60), || {}));
    }
}
