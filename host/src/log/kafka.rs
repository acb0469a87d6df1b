//! The log that is Kafka.
