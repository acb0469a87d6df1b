//! The records of partitions, taken in batches, each from the partition's own queue.
//!
//! librdkafka hands out a message at a time from a consumer's queue, with a look at the clock and an event around each; from the queue of
//! a partition it hands out as many as are there. So the queue of each partition that is read is parted from the consumer's,
//! which then has only what the group and the client say. The safe crate has no call for that. What librdkafka promises
//! is in its `rdkafka.h`: queues may be used from any thread, a queue that was asked for belongs to who asked until it is destroyed, and
//! messages of a partition that was sought in or given up since are not handed out.
//!
//! What it does not promise is that a message is handed out once. At each change of an assignment it stops all partitions for a moment,
//! and goes on from what it has noted as taken; it notes that only at the end of a call for a batch, so that a change in the middle
//! of one makes all of it come again. So the place of each partition is kept here, and what comes again is passed over.

#![expect(
    unsafe_code,
    reason = "librdkafka hands out batches through its C interface only"
)]

use std::ffi::{CString, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::thread::Thread;

use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use super::place::Place;
use crate::log::{Fetched, Offset, RecordBatch, TopicPartition};
use crate::time::Timestamp;

/// The most messages that one call takes.
const MOST: usize = 4_096;
/// The fewest that are asked for, however large they are.
const FEWEST: usize = 16;

/// The queues of the partitions that are read.
pub(super) struct Queues {
    partitions: Vec<Partition>,
    /// The consumer's own, of which nothing is taken here, and which wakes whoever waits.
    own: Option<Queue>,
    /// Whose turn it is.
    next: usize,
    /// How many bytes a message has had lately.
    bytes_each: usize,
    messages: Vec<*mut native::rd_kafka_message_t>,
}

// SAFETY: the pointers among the messages are used within one call only, and are of no thread; see `Queue` for the others.
unsafe impl Send for Queues {}

impl Queues {
    /// None yet, for a consumer whose own queue wakes the thread that calls this.
    pub(super) fn new<C: ClientContext>(client: &Client<C>) -> Self {
        // SAFETY: the client is alive.
        let own = unsafe { native::rd_kafka_queue_get_consumer(client.native_ptr()) };
        let own = NonNull::new(own).map(Queue::waking_this_thread);
        Self {
            partitions: Vec::new(),
            own,
            next: 0,
            bytes_each: 256,
            messages: vec![ptr::null_mut(); MOST],
        }
    }

    /// Parts the queue of a partition from the consumer's, before the partition is assigned from an offset on. The thread that calls
    /// this is woken when something has come.
    ///
    /// # Errors
    /// If librdkafka has no queue for it.
    pub(super) fn open<C: ClientContext>(
        &mut self,
        client: &Client<C>,
        at: &TopicPartition,
        from: Offset,
    ) -> Result<(), KafkaError> {
        let topic = CString::new(&*at.topic)?;
        // SAFETY: the client is alive, and the name ends with a zero byte.
        let queue = unsafe {
            native::rd_kafka_queue_get_partition(client.native_ptr(), topic.as_ptr(), at.partition)
        };
        let queue = NonNull::new(queue).ok_or(KafkaError::MessageConsumption(
            RDKafkaErrorCode::UnknownPartition,
        ))?;
        // SAFETY: the queue was just got. It stays parted even when the partition is assigned anew.
        unsafe { native::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut()) };
        self.close(at);
        self.partitions.push(Partition {
            at: at.clone(),
            queue: Queue::waking_this_thread(queue),
            place: Place::at(from),
        });
        Ok(())
    }

    /// Whether the consumer's own queue is empty.
    pub(super) fn is_all_said(&self) -> bool {
        self.own.as_ref().is_none_or(Queue::is_empty)
    }

    /// Takes note that a partition was sought in.
    pub(super) fn seek(&mut self, at: &TopicPartition, to: Offset) {
        let sought = self.partitions.iter_mut().find(|open| open.at == *at);
        if let Some(partition) = sought {
            partition.place = Place::at(to);
        }
    }

    /// Lets go of the queue of a partition.
    pub(super) fn close(&mut self, at: &TopicPartition) {
        self.partitions.retain(|open| open.at != *at);
    }

    /// Takes what is there, up to so many records and about so many bytes, of each partition in turn. Returns how many of both are left of
    /// that.
    ///
    /// # Errors
    /// If the queue of a partition told of one. What was taken is then of no use: a record may be missing where the error stood.
    pub(super) fn take(
        &mut self,
        into: &mut Fetched,
        (mut records, mut bytes): (usize, usize),
    ) -> Result<(usize, usize), KafkaError> {
        let count = self.partitions.len();
        for turn in 0..count {
            let most = (bytes / self.bytes_each).max(FEWEST).min(records);
            let Partition { at, queue, place } = &mut self.partitions[(self.next + turn) % count];
            let messages = &mut self.messages[..most.min(MOST)];
            let taken = queue.take(messages);
            if taken == 0 {
                continue;
            }
            let batch = into.batch_mut(&at.topic, at.partition);
            let (had, error) = append(&messages[..taken], place, batch);
            self.bytes_each = (had / taken).max(1);
            if let Some(error) = error {
                return Err(error);
            }
            (records, bytes) = (records - taken, bytes.saturating_sub(had));
            if records == 0 || bytes == 0 {
                self.next = (self.next + turn + 1) % count;
                break;
            }
        }
        Ok((records, bytes))
    }
}

/// A partition that is read.
struct Partition {
    at: TopicPartition,
    queue: Queue,
    place: Place,
}

/// Copies messages that have not been handed out into a batch, and gives all back. Returns how many bytes they had, and the error among
/// them, if there is one.
fn append(
    messages: &[*mut native::rd_kafka_message_t],
    place: &mut Place,
    into: &mut RecordBatch,
) -> (usize, Option<KafkaError>) {
    let (mut bytes, mut error) = (0, None);
    place.begin_batch();
    for message in messages {
        // SAFETY: librdkafka has filled this pointer; the message and what it points to live until it is destroyed below.
        let (code, offset, timestamp, key, value) = unsafe {
            let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
            let timestamp = native::rd_kafka_message_timestamp(*message, &mut kind);
            let message = &**message;
            let key = bytes_at(message.key, message.key_len);
            let value = bytes_at(message.payload, message.len);
            (message.err, message.offset, timestamp, key, value)
        };
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            error = Some(KafkaError::MessageConsumption(code.into()));
        } else if place.is_new(offset) {
            into.push(Offset(offset), Timestamp(timestamp), key, value);
            bytes += key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        }
        // SAFETY: destroyed once, and nothing of it is used any more.
        unsafe { native::rd_kafka_message_destroy(*message) };
    }
    (bytes, error)
}

/// What a message points to, if to anything.
///
/// # Safety
/// There are so many bytes at the pointer for as long as the caller uses them, or it is null.
unsafe fn bytes_at<'a>(at: *const c_void, len: usize) -> Option<&'a [u8]> {
    match at.is_null() {
        true => None,
        // SAFETY: as the caller promises.
        false => Some(unsafe { slice::from_raw_parts(at.cast(), len) }),
    }
}

/// A queue of librdkafka's that wakes a thread.
pub(super) struct Queue {
    queue: NonNull<native::rd_kafka_queue_t>,
    /// What the queue's callback has a pointer to.
    _wakes: Box<Thread>,
}

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl Send for Queue {}

impl Queue {
    /// Takes over a queue that was asked for.
    pub(super) fn waking_this_thread(queue: NonNull<native::rd_kafka_queue_t>) -> Self {
        let wakes = Box::new(std::thread::current());
        let thread: *const Thread = &*wakes;
        // SAFETY: the box stays where it is until the callback has been taken off; see `drop`.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(
                queue.as_ptr(),
                Some(wake),
                thread.cast_mut().cast(),
            );
        }
        Self {
            queue,
            _wakes: wakes,
        }
    }

    /// For calls while this lives.
    pub(super) fn as_ptr(&self) -> *mut native::rd_kafka_queue_t {
        self.queue.as_ptr()
    }

    fn is_empty(&self) -> bool {
        // SAFETY: the queue is alive.
        let length = unsafe { native::rd_kafka_queue_length(self.queue.as_ptr()) };
        length == 0
    }

    /// Fills pointers with messages that are there; returns how many. The caller destroys them.
    fn take(&self, messages: &mut [*mut native::rd_kafka_message_t]) -> usize {
        // SAFETY: the queue is alive, and the array has room for so many.
        let taken = unsafe {
            native::rd_kafka_consume_batch_queue(
                self.queue.as_ptr(),
                0,
                messages.as_mut_ptr(),
                messages.len(),
            )
        };
        // A failure is told as -1, and never is one: librdkafka has no case for it.
        usize::try_from(taken).unwrap_or(0)
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
unsafe extern "C" fn wake(_: *mut native::rd_kafka_t, thread: *mut c_void) {
    // SAFETY: the pointer is that of the box in `Queue`, which outlives the callback.
    let thread = unsafe { &*thread.cast::<Thread>() };
    thread.unpark();
}
