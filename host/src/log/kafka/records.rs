//! Records on their way out of librdkafka, one by one.

use rdkafka::Message;

use crate::log::{Fetched, Offset};
use crate::time::Timestamp;

/// Appends a message to the batch of its partition.
pub(super) fn append(message: &impl Message, into: &mut Fetched) -> usize {
    let batch = into.batch_mut(message.topic(), message.partition());
    let timestamp = Timestamp(message.timestamp().to_millis().unwrap_or(-1));
    let (key, value) = (message.key(), message.payload());
    batch.push(Offset(message.offset()), timestamp, key, value);
    key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len)
}
