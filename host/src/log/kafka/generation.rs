//! Who a consumer is in its group at this moment.
//!
//! A consumer that the group has dropped does not know its place any more: its generation is -1 and its member id is empty. Sent along
//! with a transaction these mean "not part of any group" to the broker, which then takes offsets from anybody. So they are
//! looked at before anything is sent, and librdkafka's safe wrapper does not show them.
#![expect(
    unsafe_code,
    reason = "two fields of librdkafka's that its wrapper keeps to itself"
)]

use std::ffi::CStr;

use rdkafka::bindings;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};

/// A member of a group in one of the group's generations.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Identity {
    pub(super) generation: i32,
    pub(super) member: String,
}

impl Identity {
    /// Whether the group takes it for a member.
    pub(super) fn is_valid(&self) -> bool {
        self.generation >= 0 && !self.member.is_empty()
    }
}

/// The identity of a consumer; `None` if it has no group.
pub(super) fn identity<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<Identity> {
    let client = consumer.client().native_ptr();
    // SAFETY: `client` is the consumer's own handle, which lives at least as long as the borrow of the consumer. The call returns null
    // or metadata that belong to us until the call of destroy at the end; both getters only read them. The member id is a string
    // that ends with a null byte and lives as long as the metadata; it is copied before that.
    unsafe {
        let metadata = bindings::rd_kafka_consumer_group_metadata(client);
        if metadata.is_null() {
            return None;
        }
        let generation = bindings::rd_kafka_consumer_group_metadata_generation_id(metadata);
        let member = bindings::rd_kafka_consumer_group_metadata_member_id(metadata);
        let member = match member.is_null() {
            true => String::new(),
            false => CStr::from_ptr(member).to_string_lossy().into_owned(),
        };
        bindings::rd_kafka_consumer_group_metadata_destroy(metadata);
        Some(Identity { generation, member })
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::config::ClientConfig;

    use super::*;

    #[test]
    fn a_consumer_that_has_not_joined_is_nobody() {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("group.id", "g")
            .create()
            .expect("no connection is needed");
        let identity = identity(&consumer).expect("it has a group");
        assert!(!identity.is_valid(), "{identity:?}");
    }

    #[test]
    fn only_a_generation_with_a_member_id_is_valid() {
        let identity = |generation, member: &str| Identity {
            generation,
            member: member.to_owned(),
        };
        assert!(identity(0, "m").is_valid());
        assert!(!identity(-1, "m").is_valid());
        assert!(!identity(3, "").is_valid());
    }
}
