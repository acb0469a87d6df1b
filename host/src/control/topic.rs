//! How deploys stand in the control topic: one partition that keeps everything. A record without a key is a message; one whose key is
//! `component/DIGEST/NUMBER/OF` is a piece of a component.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::message::{Message, VERSION, Written};
use crate::log::{
    Fetched, Log, LogError, Offset, Outbox, Reader, RecordBatch, RecordParts, TopicPartition,
    TopicSpec,
};
use crate::pipeline::config::PipelineConfig;
use crate::pipeline::topics;
use crate::plugin::digest_of;
use crate::time::Timestamp;

/// The largest piece of a component.
const MOST_PIECE: usize = 512 << 10;
/// What a record takes beyond its value.
const OVERHEAD: usize = 4 << 10;
/// How long a piece may take to come.
const PIECE_WAIT: Duration = Duration::from_secs(10);

/// The control topic of a pipeline.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    most: usize,
}

/// What a record says.
#[derive(Debug)]
pub(super) enum Said<'a> {
    /// A piece of a component.
    Piece {
        digest: &'a str,
        number: u32,
        of: u32,
    },
    Message(Message),
    /// Something that nobody here has written, and what is wrong with it.
    Foreign(String),
    /// A later release has written it.
    Later(u32),
}

impl Topic {
    /// Makes the topic where there is none.
    ///
    /// # Errors
    /// If the log can't be reached, or the topic would forget.
    pub(super) fn ensure<L: Log>(config: &PipelineConfig, log: &L) -> Result<Self, LogError> {
        let name = topics::control(config);
        if log.topic(&name)?.is_none() {
            let kept = [
                ("cleanup.policy", "delete"),
                ("retention.ms", "-1"),
                ("retention.bytes", "-1"),
            ];
            let kept = kept.map(|(name, value)| (name.to_owned(), value.to_owned()));
            log.create_topic(&TopicSpec {
                name: name.clone(),
                partitions: 1,
                settings: BTreeMap::from(kept),
            })?;
        }
        let settings = log.topic_settings(&name)?;
        let is_other =
            |key: &str, wanted: &str| settings.get(key).is_some_and(|value| value != wanted);
        if is_other("cleanup.policy", "delete") || is_other("retention.ms", "-1") {
            return Err(LogError::Refused(format!(
                "topic {name} holds all deploys of the pipeline, and would forget them: set its cleanup.policy to delete and its \
                 retention.ms to -1"
            )));
        }
        let most = log.max_record_bytes(&name)?.saturating_sub(OVERHEAD);
        Ok(Self {
            name: name.into(),
            most: most.clamp(1, MOST_PIECE),
        })
    }

    /// Adds the pieces of a component to what is to be written.
    pub(super) fn put_component(
        &self,
        outbox: &mut Outbox,
        digest: &str,
        bytes: &[u8],
        now: Timestamp,
    ) {
        let of = bytes.len().div_ceil(self.most);
        for (number, piece) in bytes.chunks(self.most).enumerate() {
            let key = format!("component/{digest}/{number}/{of}");
            self.put(outbox, Some(key.as_bytes()), piece, now);
        }
    }

    /// Adds a message.
    pub(super) fn put_message(&self, outbox: &mut Outbox, message: Message, now: Timestamp) {
        let written = Written {
            v: VERSION,
            message,
        };
        let json = serde_json::to_vec(&written).expect("texts and numbers can be written as JSON");
        self.put(outbox, None, &json, now);
    }

    fn put(&self, outbox: &mut Outbox, key: Option<&[u8]>, value: &[u8], now: Timestamp) {
        let parts = RecordParts {
            partition: Some(0),
            timestamp: now,
            key,
            value: Some(value),
            headers: &[],
        };
        outbox.push(&self.name, parts);
    }

    /// A component, from the offsets of its pieces.
    ///
    /// # Errors
    /// If the log can't be read, or what stands there is another component.
    pub(super) fn component<L: Log>(
        &self,
        log: &L,
        digest: &str,
        pieces: &[i64],
    ) -> Result<Vec<u8>, LogError> {
        let mut bytes = Vec::new();
        let mut fetched = Fetched::new();
        for offset in pieces {
            let at = TopicPartition::new(Arc::clone(&self.name), 0);
            let mut reader = log.partition_reader(&at, Offset(*offset))?;
            reader.poll(&mut fetched, PIECE_WAIT)?;
            let first = fetched.batches().find(|batch| !batch.is_empty());
            let value = first
                .filter(|batch| batch.offset(0) == Offset(*offset))
                .and_then(|batch| batch.value(0));
            let value = value.ok_or_else(|| {
                LogError::Unavailable(format!("{at}: the record at offset {offset} did not come"))
            })?;
            bytes.extend_from_slice(value);
        }
        let is = digest_of(&bytes);
        if is != digest {
            return Err(LogError::Refused(format!(
                "topic {}: the component at offset {} has the sha256 {is}, and not {digest}: something else wrote to the topic",
                self.name,
                pieces.first().copied().unwrap_or_default()
            )));
        }
        Ok(bytes)
    }
}

/// What a record says.
pub(super) fn said(batch: &RecordBatch, row: usize) -> Said<'_> {
    match batch.key(row) {
        Some(key) => piece(key).unwrap_or_else(|| {
            Said::Foreign(format!("its key is {:?}", String::from_utf8_lossy(key)))
        }),
        None => message(batch.value(row).unwrap_or_default()),
    }
}

fn piece(key: &[u8]) -> Option<Said<'_>> {
    let key = std::str::from_utf8(key).ok()?.strip_prefix("component/")?;
    let mut parts = key.split('/');
    let digest = parts.next()?;
    let (number, of) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (number < of && parts.next().is_none()).then_some(Said::Piece { digest, number, of })
}

fn message(value: &[u8]) -> Said<'_> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        v: u32,
    }
    match serde_json::from_slice::<Versioned>(value) {
        Ok(Versioned { v }) if v > VERSION => Said::Later(v),
        Ok(_) => match serde_json::from_slice::<Written>(value) {
            Ok(written) => Said::Message(written.message),
            Err(error) => Said::Foreign(error.to_string()),
        },
        Err(error) => Said::Foreign(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_piece_or_message_is_told_and_does_no_harm() {
        for key in ["component/x/0/1", "component/x/3/7"] {
            assert!(
                matches!(piece(key.as_bytes()), Some(Said::Piece { .. })),
                "{key}"
            );
        }
        for key in [
            "component/x/1/1",
            "component/x",
            "x/0/1",
            "component/x/0/1/2",
        ] {
            assert!(piece(key.as_bytes()).is_none(), "{key}");
        }
        assert!(matches!(message(b"{\"v\":1}"), Said::Foreign(_)));
        assert!(matches!(message(b"\xff"), Said::Foreign(_)));
        assert!(matches!(message(b"{\"v\":2,\"more\":1}"), Said::Later(2)));
        let settle = b"{\"v\":1,\"message\":{\"settle\":{\"deploy\":4}}}";
        let Said::Message(Message::Settle { deploy: 4 }) = message(settle) else {
            panic!("{:?}", message(settle));
        };
    }
}
