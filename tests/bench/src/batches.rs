//! Messages of librdkafka taken in batches from the queues of partitions, which the safe crate does not offer.

#![expect(
    unsafe_code,
    reason = "librdkafka hands out batches through its C interface only"
)]

use std::ffi::CString;
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// How many messages one call takes.
const MOST: usize = 4_096;

/// Some partitions of a topic, read from their beginnings.
pub(crate) struct Batches {
    /// Released before the consumer, which they belong to.
    queues: Vec<Queue>,
    messages: Vec<*mut native::rd_kafka_message_t>,
    consumer: BaseConsumer,
}

/// The queue of a partition.
struct Queue {
    partition: i32,
    queue: NonNull<native::rd_kafka_queue_t>,
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the queue was got from librdkafka, is released once, and the consumer is still there.
        unsafe { native::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

impl Batches {
    pub(crate) fn new(consumer: BaseConsumer, topic: &str, partitions: i32) -> Result<Self> {
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&list)?;
        let name = CString::new(topic)?;
        let queue = |partition| {
            let client = consumer.client().native_ptr();
            // SAFETY: the client is alive, and the name ends with a zero byte.
            let queue =
                unsafe { native::rd_kafka_queue_get_partition(client, name.as_ptr(), partition) };
            let queue = NonNull::new(queue).context("librdkafka has no queue of the partition")?;
            // SAFETY: the queue was just got; from now on its messages are not forwarded to the consumer's own.
            unsafe { native::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut()) };
            anyhow::Ok(Queue { partition, queue })
        };
        Ok(Self {
            queues: (0..partitions).map(queue).collect::<Result<_>>()?,
            messages: vec![ptr::null_mut(); MOST],
            consumer,
        })
    }

    /// Hands over what has come in each partition, and waits a little where nothing has.
    pub(crate) fn take(&mut self, mut each: impl FnMut(i32, &[u8]) -> Result<()>) -> Result<()> {
        // Errors and statistics come on the consumer's own queue.
        if let Some(message) = self.consumer.poll(Duration::ZERO) {
            message?;
        }
        let wait = if self.queues.len() == 1 { 5 } else { 1 };
        for Queue { partition, queue } in &self.queues {
            // SAFETY: the array has room for so many pointers, and each that is filled is destroyed below.
            let taken = unsafe {
                native::rd_kafka_consume_batch_queue(
                    queue.as_ptr(),
                    wait,
                    self.messages.as_mut_ptr(),
                    MOST,
                )
            };
            let taken = usize::try_from(taken).context("librdkafka refused a batch")?;
            let mut result = Ok(());
            for message in &self.messages[..taken] {
                // SAFETY: librdkafka has filled this pointer, and the message lives until it is destroyed two lines below.
                let (error, value) = unsafe {
                    let message = &**message;
                    let value = match message.payload.is_null() {
                        true => None,
                        false => Some(slice::from_raw_parts(message.payload.cast(), message.len)),
                    };
                    (message.err, value)
                };
                if result.is_ok() {
                    result = match (error, value) {
                        (native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR, Some(value)) => {
                            each(*partition, value)
                        }
                        (error, _) => Err(anyhow::anyhow!("no click in a message: {error:?}")),
                    };
                }
                // SAFETY: a message of ours, destroyed once; `value` is not used any more.
                unsafe { native::rd_kafka_message_destroy(*message) };
            }
            result?;
        }
        Ok(())
    }
}

/// Refuses a number of partitions that is none.
pub(crate) fn count(partitions: u32) -> Result<i32> {
    match i32::try_from(partitions) {
        Ok(partitions) if partitions > 0 => Ok(partitions),
        _ => bail!("{partitions} partitions can't be read"),
    }
}
