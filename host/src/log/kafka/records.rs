//! Records on their way into librdkafka and out of it.

use rdkafka::Message;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;

use crate::log::{Fetched, Offset, OutboxRecord};
use crate::time::Timestamp;

/// A staged record as librdkafka takes it.
pub(super) fn native_record<'a>(record: &OutboxRecord<'a>) -> BaseRecord<'a, [u8], [u8]> {
    // Kafka has no timestamps before 1970, and librdkafka takes 0 for the time now.
    let mut native = BaseRecord::to(record.topic()).timestamp(record.timestamp().0.max(1));
    if let Some(partition) = record.partition() {
        native = native.partition(partition);
    }
    if let Some(key) = record.key() {
        native = native.key(key);
    }
    if let Some(value) = record.value() {
        native = native.payload(value);
    }
    if record.headers().len() > 0 {
        let mut headers = OwnedHeaders::new_with_capacity(record.headers().len());
        for header in record.headers() {
            headers = headers.insert(Header {
                key: header.name,
                value: Some(header.value),
            });
        }
        native = native.headers(headers);
    }
    native
}

/// Appends a message to the batch of its partition.
pub(super) fn append(message: &impl Message, into: &mut Fetched) -> usize {
    let batch = into.batch_mut(message.topic(), message.partition());
    let timestamp = Timestamp(message.timestamp().to_millis().unwrap_or(-1));
    let (key, value) = (message.key(), message.payload());
    batch.push(Offset(message.offset()), timestamp, key, value);
    key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len)
}
