//! What the formats that outlive a process have in common: how bytes are read that may be anything, and what can be wrong
//! with them.
//!
//! Numbers are big-endian. Whatever was stored may come back damaged, or from a release that this one does not know:
//! reading neither panics nor allocates by a length that the bytes themselves do not bear out.

use crate::log::TopicPartition;
use crate::time::Timestamp;
use crate::window::Window;

/// Why stored bytes can't be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FormatError {
    /// Something else wrote it.
    #[error("{0} is not this program's")]
    Foreign(&'static str),
    /// A build wrote it whose format is read no more.
    #[error("{what} was written by an earlier build (format {version})")]
    Earlier {
        /// What was read.
        what: &'static str,
        /// The version of its format.
        version: u32,
    },
    /// A build wrote it whose format this one does not know.
    #[error("{what} was written by a later build (format {version}): run that")]
    Later {
        /// What was read.
        what: &'static str,
        /// The version of its format.
        version: u32,
    },
    /// The bytes are not what was written.
    #[error("{0} is damaged")]
    Damaged(&'static str),
}

/// Bytes that are read from front to back. Each reader returns an error where they end too early.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Reading<'a> {
    /// Begins to read; `what` names the bytes in errors.
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    /// Begins to read what starts with the version of its format, which is `known`.
    pub(crate) fn versioned(
        what: &'static str,
        known: u8,
        bytes: &'a [u8],
    ) -> Result<Self, FormatError> {
        let mut reading = Self::new(what, bytes);
        let version = reading.u8()?;
        if version == known {
            return Ok(reading);
        }
        // Version 0 has never been written.
        Err(match version {
            0 => reading.damaged(),
            _ if version < known => FormatError::Earlier {
                what,
                version: version.into(),
            },
            _ => FormatError::Later {
                what,
                version: version.into(),
            },
        })
    }

    pub(crate) fn damaged(&self) -> FormatError {
        FormatError::Damaged(self.what)
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Done: nothing may be left.
    pub(crate) fn end(self) -> Result<(), FormatError> {
        match self.rest {
            [] => Ok(()),
            _ => Err(self.damaged()),
        }
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| self.damaged())?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| self.damaged())?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FormatError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FormatError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FormatError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, FormatError> {
        self.array().map(i64::from_be_bytes)
    }

    pub(crate) fn timestamp(&mut self) -> Result<Timestamp, FormatError> {
        self.i64().map(Timestamp)
    }

    pub(crate) fn window(&mut self) -> Result<Window, FormatError> {
        Ok(Window {
            start: self.timestamp()?,
            end: self.timestamp()?,
        })
    }

    /// Bytes with their length before them.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], FormatError> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| self.damaged())?)
    }

    /// UTF-8 with its length before it.
    pub(crate) fn text(&mut self) -> Result<&'a str, FormatError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.damaged())
    }

    pub(crate) fn topic_partition(&mut self) -> Result<TopicPartition, FormatError> {
        let topic = self.text()?;
        let partition = i32::try_from(self.u32()?).map_err(|_| self.damaged())?;
        Ok(TopicPartition::new(topic, partition))
    }
}

/// Appends bytes with their length before them.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("nothing that is stored has 4 GiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Appends a window.
pub(crate) fn put_window(out: &mut Vec<u8>, window: Window) {
    out.extend_from_slice(&window.start.0.to_be_bytes());
    out.extend_from_slice(&window.end.0.to_be_bytes());
}

/// Appends a partition.
pub(crate) fn put_topic_partition(out: &mut Vec<u8>, at: &TopicPartition) {
    put_bytes(out, at.topic.as_bytes());
    out.extend_from_slice(&at.partition.cast_unsigned().to_be_bytes());
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}
