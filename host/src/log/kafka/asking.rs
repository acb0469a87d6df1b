//! Commits of offsets that are asked for and not waited for; the answers come by a queue.
//!
//! The safe crate has a commit that does not wait, and never tells what became of it: it takes answers as events, and librdkafka makes events
//! only of those that a callback or a queue was named for.

#![expect(
    unsafe_code,
    reason = "librdkafka has the call through its C interface only"
)]

use std::ffi::CStr;
use std::ptr;
use std::slice;
use std::sync::Arc;

use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::bell::Bell;
use super::queue::Queue;
use crate::log::TopicPartition;

/// The queue by which answers come.
pub(super) struct Asking(Queue);

/// What has become of a request.
pub(super) struct Answer {
    /// The partitions whose offsets are committed.
    pub(super) committed: Vec<TopicPartition>,
    /// Why all or the first of the others are not.
    pub(super) error: Option<KafkaError>,
}

impl Asking {
    /// For a consumer; let go of before it. The bell is rung when an answer has come.
    pub(super) fn new<C: ClientContext>(client: &Client<C>, bell: &Arc<Bell>) -> Self {
        Self(Queue::new(client, bell))
    }

    /// Asks for a commit as a member of the client's group.
    ///
    /// # Errors
    /// If it could not even be asked for.
    pub(super) fn ask<C: ClientContext>(
        &self,
        client: &Client<C>,
        offsets: &TopicPartitionList,
    ) -> Result<(), KafkaError> {
        // SAFETY: client, list and queue are alive; the list is copied by the call.
        let code = unsafe {
            native::rd_kafka_commit_queue(
                client.native_ptr(),
                offsets.ptr(),
                self.0.as_ptr(),
                None,
                ptr::null_mut(),
            )
        };
        error_of(code).map_or(Ok(()), Err)
    }

    /// An answer, if one has come.
    pub(super) fn answer(&self) -> Option<Answer> {
        // SAFETY: the queue is alive. The event is ours until it is destroyed at the end; list and names in it live as long, and are copied
        // before. A list has as many elements as it says, each with the name of a topic that ends with a null byte.
        unsafe {
            let event = native::rd_kafka_queue_poll(self.0.as_ptr(), 0);
            if event.is_null() {
                return None;
            }
            let mut error = error_of(native::rd_kafka_event_error(event));
            let mut committed = Vec::new();
            let list = native::rd_kafka_event_topic_partition_list(event);
            if error.is_none() && !list.is_null() && (*list).cnt > 0 {
                let count = usize::try_from((*list).cnt).unwrap_or(0);
                for element in slice::from_raw_parts((*list).elems, count) {
                    match error_of(element.err) {
                        None => {
                            let topic = CStr::from_ptr(element.topic).to_string_lossy();
                            committed.push(TopicPartition::new(&*topic, element.partition));
                        }
                        Some(of_one) => error = error.or(Some(of_one)),
                    }
                }
            }
            native::rd_kafka_event_destroy(event);
            Some(Answer { committed, error })
        }
    }
}

fn error_of(code: RDKafkaRespErr) -> Option<KafkaError> {
    let is_error = code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
    is_error.then(|| KafkaError::ConsumerCommit(code.into()))
}
