//! Queues of librdkafka's that ring a bell.

#![expect(
    unsafe_code,
    reason = "librdkafka tells what has come into a queue through its C interface only"
)]

use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};

use super::bell::Bell;

/// A queue of librdkafka's. Let go of before the client that it belongs to.
pub(super) struct Queue {
    queue: NonNull<native::rd_kafka_queue_t>,
    /// What the queue's callback has a pointer to.
    _rings: Arc<Bell>,
}

// SAFETY: librdkafka's queues may be used from any thread, and so may a bell.
unsafe impl Send for Queue {}

impl Queue {
    /// A consumer's own queue, in which is what its group and the client have to say.
    pub(super) fn of_consumer<C: ClientContext>(
        client: &Client<C>,
        bell: &Arc<Bell>,
    ) -> Option<Self> {
        // SAFETY: the client is alive.
        let queue = unsafe { native::rd_kafka_queue_get_consumer(client.native_ptr()) };
        NonNull::new(queue).map(|queue| Self::ringing(queue, bell))
    }

    /// A new queue, for answers.
    pub(super) fn new<C: ClientContext>(client: &Client<C>, bell: &Arc<Bell>) -> Self {
        // SAFETY: the client is alive. The call has no failure.
        let queue = unsafe { native::rd_kafka_queue_new(client.native_ptr()) };
        let queue = NonNull::new(queue).expect("librdkafka makes queues without fail");
        Self::ringing(queue, bell)
    }

    /// Takes over a queue that was asked for.
    fn ringing(queue: NonNull<native::rd_kafka_queue_t>, bell: &Arc<Bell>) -> Self {
        let rings = Arc::clone(bell);
        // SAFETY: the bell is there until the callback has been taken off; see `drop`.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(
                queue.as_ptr(),
                Some(ring),
                Arc::as_ptr(&rings).cast_mut().cast(),
            );
        }
        Self {
            queue,
            _rings: rings,
        }
    }

    /// For calls while this lives.
    pub(super) fn as_ptr(&self) -> *mut native::rd_kafka_queue_t {
        self.queue.as_ptr()
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        // SAFETY: the queue is alive.
        let length = unsafe { native::rd_kafka_queue_length(self.queue.as_ptr()) };
        length == 0
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the queue is alive until the second call. The first waits for a callback that is under way, by the queue's lock, so
        // that none comes after it.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            native::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// Called by librdkafka's threads when something has come into a queue that was empty.
unsafe extern "C" fn ring(_: *mut native::rd_kafka_t, bell: *mut c_void) {
    // SAFETY: the pointer is that of the bell in `Queue`, which outlives the callback.
    let bell = unsafe { &*bell.cast::<Bell>() };
    bell.ring();
}
