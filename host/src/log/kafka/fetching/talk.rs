//! A connection on which requests are made one after the other, each waited for: what is said before the first records.

use std::io::{Read, Write};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};

use super::connection::Stream;
use super::frames::{answer, request};

/// What is answered before the first records is short.
const MAX_FRAME: usize = 1 << 20;

/// See the opening of this file.
pub(super) struct Talk {
    stream: Stream,
    client: StrBytes,
    number: i32,
}

impl Talk {
    /// On a stream that waits.
    pub(super) fn new(stream: Stream, client: &StrBytes) -> Self {
        Self {
            stream,
            client: client.clone(),
            number: 0,
        }
    }

    /// Makes a request and waits for its answer, which comes without its length, with the number that it must have.
    ///
    /// # Errors
    /// If none comes.
    pub(super) fn call<Q: Encodable + HeaderVersion>(
        &mut self,
        key: ApiKey,
        version: i16,
        asked: &Q,
    ) -> Result<(i32, Bytes)> {
        self.number += 1;
        let frame = request((key, version), self.number, &self.client, asked)?;
        self.stream.write_all(&frame)?;
        let mut len = [0; 4];
        self.stream.read_exact(&mut len).context("no answer")?;
        let len = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
        ensure!(
            len <= MAX_FRAME,
            "an answer of {len} bytes: is this Kafka, and with TLS as the settings say?"
        );
        let mut frame = vec![0; len];
        self.stream
            .read_exact(&mut frame)
            .context("half an answer")?;
        Ok((self.number, frame.into()))
    }

    /// The same, and reads the answer.
    ///
    /// # Errors
    /// If none comes, or one that can't be read.
    pub(super) fn exchange<Q, A>(&mut self, key: ApiKey, version: i16, asked: &Q) -> Result<A>
    where
        Q: Encodable + HeaderVersion,
        A: Decodable + HeaderVersion,
    {
        let (number, frame) = self.call(key, version, asked)?;
        answer(version, number, frame)
    }

    /// The stream, once all has been said.
    pub(super) fn end(self) -> Stream {
        self.stream
    }
}
