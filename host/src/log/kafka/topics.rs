//! Handing records to librdkafka.
//!
//! The safe crate names the topic with each record: it copies the name, and librdkafka looks for the topic by it, under a lock. Here a topic
//! is looked for once for all records of an outbox. What librdkafka promises is in its `rdkafka.h`: a topic that was asked for is there until
//! it is given back, everything may be called from any thread, and of what a record points to it has its own copy when the call
//! returns, but for the headers, which are its own if it took the record.

#![expect(
    unsafe_code,
    reason = "librdkafka takes records for a topic that was looked for before through its C interface only"
)]

use std::ffi::{CString, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{IsError as _, KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use crate::log::OutboxRecord;

/// librdkafka chooses the partition (`RD_KAFKA_PARTITION_UA`).
const UNASSIGNED: i32 = -1;

/// The topics of an outbox, as a producer knows them.
pub(super) struct Topics<'a> {
    producer: *mut native::rd_kafka_t,
    known: Vec<(&'a str, NonNull<native::rd_kafka_topic_t>)>,
    /// The producer outlives this.
    _producer: PhantomData<&'a ()>,
}

impl<'a> Topics<'a> {
    /// None yet.
    pub(super) fn new<C: ClientContext>(producer: &'a Client<C>) -> Self {
        Self {
            producer: producer.native_ptr(),
            known: Vec::new(),
            _producer: PhantomData,
        }
    }

    /// Hands over a record.
    ///
    /// # Errors
    /// If librdkafka did not take it; [`RDKafkaErrorCode::QueueFull`] where it would take it later.
    pub(super) fn send(&mut self, record: &OutboxRecord<'a>) -> Result<(), KafkaError> {
        let topic = self.topic(record.topic())?;
        let (value, value_len) = pointer(record.value());
        let (key, key_len) = pointer(record.key());
        let headers = Headers::of(record)?;
        use native::rd_kafka_vtype_t as is;
        // SAFETY: the producer and the topic are alive. Each value has the type that `rdkafka.h` gives to what stands before it. Key and
        // value are there until the call returns, and are copied in it.
        let taken = unsafe {
            native::rd_kafka_producev(
                self.producer,
                is::RD_KAFKA_VTYPE_RKT,
                topic.as_ptr(),
                is::RD_KAFKA_VTYPE_PARTITION,
                record.partition().unwrap_or(UNASSIGNED),
                is::RD_KAFKA_VTYPE_MSGFLAGS,
                native::RD_KAFKA_MSG_F_COPY,
                is::RD_KAFKA_VTYPE_VALUE,
                value,
                value_len,
                is::RD_KAFKA_VTYPE_KEY,
                key,
                key_len,
                is::RD_KAFKA_VTYPE_TIMESTAMP,
                // Kafka has no timestamps before 1970, and librdkafka takes 0 for the time now.
                record.timestamp().0.max(1),
                is::RD_KAFKA_VTYPE_HEADERS,
                headers.0,
                is::RD_KAFKA_VTYPE_END,
            )
        };
        if taken.is_error() {
            return Err(KafkaError::MessageProduction(taken.into()));
        }
        headers.were_taken();
        Ok(())
    }

    fn topic(&mut self, name: &'a str) -> Result<NonNull<native::rd_kafka_topic_t>, KafkaError> {
        // Nearly always the names are one and the same.
        let known = |(known, _): &&(&str, _)| ptr::eq(*known, name) || *known == name;
        if let Some((_, topic)) = self.known.iter().find(known) {
            return Ok(*topic);
        }
        let text = CString::new(name)?;
        // SAFETY: the producer is alive, the name ends with a zero byte, and without settings the topic has those of the producer.
        let topic =
            unsafe { native::rd_kafka_topic_new(self.producer, text.as_ptr(), ptr::null_mut()) };
        let topic = NonNull::new(topic).ok_or(KafkaError::MessageProduction(
            RDKafkaErrorCode::InvalidTopic,
        ))?;
        self.known.push((name, topic));
        Ok(topic)
    }
}

impl Drop for Topics<'_> {
    fn drop(&mut self) {
        for (_, topic) in &self.known {
            // SAFETY: asked for once, given back once, and not used any more. Records on their way hold their topic themselves.
            unsafe { native::rd_kafka_topic_destroy(topic.as_ptr()) };
        }
    }
}

/// Where bytes are and how many, or null.
fn pointer(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    bytes.map_or((ptr::null_mut(), 0), |bytes| {
        (bytes.as_ptr().cast_mut().cast(), bytes.len())
    })
}

/// Headers that librdkafka has not taken yet; null if there are none.
struct Headers(*mut native::rd_kafka_headers_t);

impl Headers {
    fn of(record: &OutboxRecord<'_>) -> Result<Self, KafkaError> {
        let count = record.headers().len();
        if count == 0 {
            return Ok(Self(ptr::null_mut()));
        }
        // SAFETY: nothing is asked of the caller.
        let headers = Self(unsafe { native::rd_kafka_headers_new(count) });
        for header in record.headers() {
            let (name, value) = (header.name.as_bytes(), header.value);
            // SAFETY: the headers are alive, and there are as many bytes as are said, of which librdkafka takes copies.
            let added = unsafe {
                native::rd_kafka_header_add(
                    headers.0,
                    name.as_ptr().cast(),
                    len(name),
                    value.as_ptr().cast(),
                    len(value),
                )
            };
            if added != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(KafkaError::MessageProduction(added.into()));
            }
        }
        Ok(headers)
    }

    /// They are librdkafka's now.
    fn were_taken(self) {
        std::mem::forget(self);
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: nobody else has them.
            unsafe { native::rd_kafka_headers_destroy(self.0) };
        }
    }
}

/// The length of bytes that are in memory, which is never more than fits.
fn len(bytes: &[u8]) -> isize {
    isize::try_from(bytes.len()).unwrap_or(isize::MAX)
}
