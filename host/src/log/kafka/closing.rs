//! Consumers that are closed without holding up whoever had them.
//!
//! Closing a member waits for the group's last words, and librdkafka may wait for ever: where the client has gone as far as its end, nobody
//! answers the call with which a rebalance is answered. So it is done by a thread of its own, which is waited for
//! a while and then left behind.
//!
//! Closing one that is in no group takes a tenth of a second all the same, since the safe crate looks that seldom whether it is done. That
//! is waited for only when the log itself is let go of.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;

use super::contexts::{Group, Messages};

/// How long closing is waited for, so that a member that joins again mostly finds itself gone.
const CLOSING: Duration = Duration::from_secs(5);

/// A member of a group, open until it is dropped.
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

/// A consumer in no group, open until it is dropped.
pub(super) struct Outsider {
    consumer: Option<BaseConsumer<Messages>>,
    leavers: Arc<Leavers>,
}

impl Outsider {
    pub(super) fn new(consumer: BaseConsumer<Messages>, leavers: &Arc<Leavers>) -> Self {
        Self {
            consumer: Some(consumer),
            leavers: Arc::clone(leavers),
        }
    }
}

impl Deref for Outsider {
    type Target = BaseConsumer<Messages>;

    fn deref(&self) -> &BaseConsumer<Messages> {
        let consumer = self.consumer.as_ref();
        consumer.expect("it is there until it is dropped")
    }
}

impl Drop for Outsider {
    fn drop(&mut self) {
        let consumer = self.consumer.take();
        self.leavers.add(move || drop(consumer));
    }
}

/// Threads that close outsiders. Who drops them waits until all have: a process must not end in the middle.
#[derive(Default)]
pub(super) struct Leavers(Mutex<Vec<JoinHandle<()>>>);

impl Leavers {
    fn add(&self, work: impl FnOnce() + Send + 'static) {
        // Where there is no thread to be had the work is dropped here, and is done with that.
        match Builder::new().name("leaving".to_owned()).spawn(work) {
            Ok(thread) => {
                let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                threads.retain(|thread| !thread.is_finished());
                threads.push(thread);
            }
            Err(error) => tracing::debug!(%error, "a thread that closes a consumer"),
        }
    }
}

impl Drop for Leavers {
    fn drop(&mut self) {
        let threads = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // One that has panicked has let go of its consumer too.
            let _ = thread.join();
        }
    }
}

/// Does something on a thread of its own, and waits for it for so long at most. Returns whether it is done.
fn within(time: Duration, work: impl FnOnce() + Send + 'static) -> bool {
    let (done, is_done) = mpsc::channel();
    let spawned = Builder::new().name("closing".to_owned()).spawn(move || {
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
    use std::sync::atomic::{AtomicBool, Ordering};

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

    #[test]
    fn those_that_leave_have_left_in_the_end() {
        let leavers = Leavers::default();
        let (hold, held) = mpsc::channel::<()>();
        let has_left = Arc::new(AtomicBool::new(false));
        let leaves = Arc::clone(&has_left);
        leavers.add(move || {
            let _ = held.recv();
            leaves.store(true, Ordering::Relaxed);
        });
        assert!(!has_left.load(Ordering::Relaxed));
        drop(hold);
        drop(leavers);
        assert!(has_left.load(Ordering::Relaxed));
    }
}
