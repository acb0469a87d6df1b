//! A consumer that is closed without holding up whoever had it.
//!
//! Closing waits for the group's last words, and librdkafka may wait for ever: where the client has gone as far as its end, nobody
//! answers the call with which a rebalance is answered. So it is done by a thread of its own, which is waited for
//! a while and then left behind.

use std::ops::Deref;
use std::sync::mpsc;
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;

use super::contexts::Group;

/// How long closing is waited for, so that a member that joins again mostly finds itself gone.
const CLOSING: Duration = Duration::from_secs(5);

/// A consumer, open until it is dropped.
pub(super) struct OpenConsumer(Option<BaseConsumer<Group>>);

impl OpenConsumer {
    pub(super) fn new(consumer: BaseConsumer<Group>) -> Self {
        Self(Some(consumer))
    }
}

impl Deref for OpenConsumer {
    type Target = BaseConsumer<Group>;

    fn deref(&self) -> &BaseConsumer<Group> {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for OpenConsumer {
    fn drop(&mut self) {
        let consumer = self.0.take();
        within(CLOSING, move || drop(consumer));
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
    let is_closed = is_done.recv_timeout(time).is_ok();
    if !is_closed {
        tracing::warn!("a consumer takes long to close; going on without it");
    }
    is_closed
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
