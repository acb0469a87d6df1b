//! Records as brokers send them: batches, one behind the other, walked in place. Pure.
//!
//! The layout is that of Kafka's documentation, "Record Batch", format 2 (since Kafka 0.11). Which records of transactions are not to be
//! seen is told apart as the Java client does it: the broker names each aborted transaction that begins or goes on among what it sends.

use bytes::Bytes;
use integer_encoding::VarInt;

use super::unpacking::{Packing, unpack};
use crate::log::{Offset, RecordBatch};
use crate::time::Timestamp;

/// Where the fields of a batch lie, in bytes from its first.
const LENGTH: usize = 8;
const MAGIC: usize = 16;
const CHECKSUM: usize = 17;
/// What is checked begins here.
const ATTRIBUTES: usize = 21;
const LAST_OFFSET: usize = 23;
const BASE_TIMESTAMP: usize = 27;
const MAX_TIMESTAMP: usize = 35;
const PRODUCER: usize = 43;
const COUNT: usize = 57;
const RECORDS: usize = 61;
/// What the length of a batch does not count.
const BEFORE_LENGTH: usize = 12;

/// The bits of a batch's attributes.
const PACKING: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// The type of the control record with which an aborted transaction ends.
const ABORT: i16 = 0;

/// What is wrong with records, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Malformed {
    /// The first offset of the batch, if that much could be read.
    pub(super) offset: Option<i64>,
    pub(super) why: String,
}

/// A transaction that was aborted, with records among those that a broker has sent.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct AbortedTransaction {
    pub(super) first: i64,
    pub(super) producer: i64,
}

/// How much may still be handed out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl Room {
    pub(super) fn is_none(&self) -> bool {
        self.records == 0 || self.bytes == 0
    }
}

/// The records of one partition in one answer of a broker.
pub(super) struct Records {
    /// Whole batches that have not been looked into.
    batches: Bytes,
    /// The first offset that is wanted.
    from: i64,
    checks: bool,
    aborted: Aborted,
    /// The batch that is being walked.
    open: Option<Open>,
}

impl Records {
    /// Records from an offset on. Returns also the offset behind the last whole batch, or `None` where there is none: an answer may end
    /// within a batch.
    ///
    /// # Errors
    /// If there is something else than batches of format 2.
    pub(super) fn new(
        bytes: Bytes,
        from: i64,
        aborted: Vec<AbortedTransaction>,
        checks: bool,
    ) -> Result<(Self, Option<i64>), Malformed> {
        let (mut len, mut behind) = (0, None);
        while let Some(batch) = Batch::first_of(&bytes[len..])? {
            behind = Some(batch.last_offset()?.saturating_add(1));
            len += batch.bytes.len();
        }
        let records = Self {
            batches: bytes.slice(..len),
            from,
            checks,
            aborted: Aborted::new(aborted),
            open: None,
        };
        Ok((records, behind))
    }

    /// How many bytes are left, as they were sent.
    pub(super) fn left(&self) -> usize {
        self.batches.len() + self.open.as_ref().map_or(0, |open| open.bytes.len())
    }

    /// Hands out records while there is room. Returns whether none is left.
    ///
    /// # Errors
    /// If a batch can't be read. All before it has been handed out, and nothing of it or behind it ever is.
    pub(super) fn take(
        &mut self,
        into: &mut RecordBatch,
        room: &mut Room,
    ) -> Result<bool, Malformed> {
        loop {
            if let Some(open) = &mut self.open {
                open.take(self.from, into, room)?;
                if open.left > 0 {
                    return Ok(false);
                }
                self.open = None;
            }
            let Some(batch) = Batch::first_of(&self.batches)? else {
                return Ok(true);
            };
            if room.is_none() {
                return Ok(false);
            }
            let len = batch.bytes.len();
            if self.checks {
                batch.check()?;
            }
            if !self.aborted.hides(&batch)? && batch.last_offset()? >= self.from {
                let records = self.batches.slice(RECORDS..len);
                self.open = Some(batch.open(records)?);
            }
            self.batches = self.batches.slice(len..);
        }
    }
}

/// A whole batch.
struct Batch<'a> {
    bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// The batch at the beginning, if it is whole.
    fn first_of(bytes: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let Some(header) = bytes.get(..RECORDS) else {
            return Ok(None);
        };
        let start = Batch { bytes: header };
        if start.bytes[MAGIC] != 2 {
            return Err(start.malformed(format!(
                "records of format {} are not read, only those of format 2, which Kafka writes since 0.11",
                start.bytes[MAGIC]
            )));
        }
        let len = i32::from_be_bytes(start.field(LENGTH));
        let len = usize::try_from(len).ok().map(|len| len + BEFORE_LENGTH);
        let len = len.filter(|len| *len >= RECORDS).ok_or_else(|| {
            start.malformed("a batch says that it is shorter than its header".to_owned())
        })?;
        Ok(bytes.get(..len).map(|bytes| Self { bytes }))
    }

    /// A field of the header, which is there in every batch.
    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.bytes[at..at + N]);
        field
    }

    fn base_offset(&self) -> i64 {
        i64::from_be_bytes(self.field(0))
    }

    fn last_offset(&self) -> Result<i64, Malformed> {
        let behind_first = i64::from(i32::from_be_bytes(self.field(LAST_OFFSET)));
        let last = self.base_offset().checked_add(behind_first);
        let last = last.filter(|last| behind_first >= 0 && (0..i64::MAX).contains(last));
        last.ok_or_else(|| self.malformed("the last offset of a batch is none".to_owned()))
    }

    fn attributes(&self) -> i16 {
        i16::from_be_bytes(self.field(ATTRIBUTES))
    }

    fn producer(&self) -> i64 {
        i64::from_be_bytes(self.field(PRODUCER))
    }

    fn check(&self) -> Result<(), Malformed> {
        let told = u32::from_be_bytes(self.field(CHECKSUM));
        let is = crc32c::crc32c(&self.bytes[ATTRIBUTES..]);
        if is != told {
            return Err(
                self.malformed(format!("the checksum is {is:08x} and should be {told:08x}"))
            );
        }
        Ok(())
    }

    /// Makes its records, which follow the header, ready to be walked.
    fn open(&self, records: Bytes) -> Result<Open, Malformed> {
        let attributes = self.attributes();
        let packing = Packing::try_from(attributes & PACKING).map_err(|why| self.malformed(why))?;
        let bytes = unpack(packing, records).map_err(|why| self.malformed(why))?;
        let left = i32::from_be_bytes(self.field(COUNT));
        let left = u32::try_from(left)
            .map_err(|_| self.malformed("the number of records is negative".to_owned()))?;
        let appended = (attributes & LOG_APPEND_TIME != 0)
            .then(|| i64::from_be_bytes(self.field(MAX_TIMESTAMP)));
        Ok(Open {
            bytes,
            left,
            offset: self.base_offset(),
            last: self.last_offset()?,
            timestamp: i64::from_be_bytes(self.field(BASE_TIMESTAMP)),
            appended,
        })
    }

    fn malformed(&self, why: String) -> Malformed {
        Malformed {
            offset: Some(self.base_offset()),
            why,
        }
    }
}

/// The transactions among some records that have been aborted.
struct Aborted {
    /// Those that have not begun, the next at the end.
    coming: Vec<AbortedTransaction>,
    /// The producers of those that have begun and not ended.
    begun: Vec<i64>,
}

impl Aborted {
    fn new(mut all: Vec<AbortedTransaction>) -> Self {
        all.sort_unstable_by(|a, b| b.cmp(a));
        Self {
            coming: all,
            begun: Vec::new(),
        }
    }

    /// Whether nothing of a batch is to be seen. Asked of each in turn.
    fn hides(&mut self, batch: &Batch<'_>) -> Result<bool, Malformed> {
        let attributes = batch.attributes();
        if attributes & (TRANSACTIONAL | CONTROL) == 0 {
            return Ok(false);
        }
        let last = batch.last_offset()?;
        while let Some(next) = self.coming.pop_if(|next| next.first <= last) {
            self.begun.push(next.producer);
        }
        let producer = batch.producer();
        if attributes & CONTROL == 0 {
            return Ok(self.begun.contains(&producer));
        }
        if control_type(batch)? == Some(ABORT) {
            self.begun.retain(|begun| *begun != producer);
        }
        Ok(true)
    }
}

/// The type of the control record in a batch; it is in its key, behind a version.
fn control_type(batch: &Batch<'_>) -> Result<Option<i16>, Malformed> {
    // Compaction may have left nothing of it but its header.
    if batch.field(COUNT) == [0; 4] {
        return Ok(None);
    }
    let mut walk = Walk {
        bytes: &batch.bytes[RECORDS..],
    };
    let Some(record) = walk.record() else {
        return Err(batch.malformed("a control record ends too soon".to_owned()));
    };
    let kind = record.key.and_then(|key| key.get(2..4));
    Ok(kind.map(|kind| i16::from_be_bytes([kind[0], kind[1]])))
}

/// A batch that is being walked.
struct Open {
    /// The records that are left, unpacked.
    bytes: Bytes,
    /// How many they are.
    left: u32,
    /// The first and the last offset of the batch.
    offset: i64,
    last: i64,
    /// What the timestamps of its records count from.
    timestamp: i64,
    /// When the broker has written it, where that is its records' timestamp.
    appended: Option<i64>,
}

impl Open {
    fn take(
        &mut self,
        from: i64,
        into: &mut RecordBatch,
        room: &mut Room,
    ) -> Result<(), Malformed> {
        let mut walk = Walk { bytes: &self.bytes };
        while self.left > 0 && !room.is_none() {
            let Some(record) = walk.record() else {
                return Err(Malformed {
                    offset: Some(self.offset),
                    why: "a record ends too soon, or behind its batch".to_owned(),
                });
            };
            self.left -= 1;
            let offset = self.offset.saturating_add(record.offset);
            if !(self.offset..=self.last).contains(&offset) {
                return Err(Malformed {
                    offset: Some(self.offset),
                    why: format!("offset {offset} is not one of its batch"),
                });
            }
            if offset < from {
                continue;
            }
            let counted = self.timestamp.saturating_add(record.timestamp);
            let timestamp = self.appended.unwrap_or(counted);
            into.push(
                Offset(offset),
                Timestamp(timestamp),
                record.key,
                record.value,
            );
            let bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
            room.records -= 1;
            room.bytes = room.bytes.saturating_sub(bytes);
        }
        let walked = self.bytes.len() - walk.bytes.len();
        self.bytes = self.bytes.slice(walked..);
        Ok(())
    }
}

/// A record in a batch. Offset and timestamp count from the batch's.
struct Record<'a> {
    offset: i64,
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

/// What is left of a batch.
struct Walk<'a> {
    bytes: &'a [u8],
}

impl<'a> Walk<'a> {
    /// The next record; `None` if there is no whole one. Its headers are passed over.
    #[inline]
    fn record(&mut self) -> Option<Record<'a>> {
        let len = usize::try_from(self.number()?).ok()?;
        let (record, behind) = self.bytes.split_at_checked(len)?;
        self.bytes = behind;
        // One byte of attributes, which has no meaning yet.
        let mut fields = Walk {
            bytes: record.get(1..)?,
        };
        let timestamp = fields.number()?;
        let offset = fields.number()?;
        let key = fields.bytes()?;
        let value = fields.bytes()?;
        Some(Record {
            offset,
            timestamp,
            key,
            value,
        })
    }

    /// A number, zigzag and in seven bits a byte; mostly one.
    #[inline]
    fn number(&mut self) -> Option<i64> {
        if let Some((byte, behind)) = self.bytes.split_first()
            && byte & 0x80 == 0
        {
            self.bytes = behind;
            return Some(i64::from(byte >> 1) ^ -i64::from(byte & 1));
        }
        let (number, len) = i64::decode_var(self.bytes)?;
        self.bytes = self.bytes.get(len..)?;
        Some(number)
    }

    /// So many bytes as are said before them; less than none stand for nothing at all.
    #[inline]
    #[expect(
        clippy::option_option,
        reason = "nothing that is there differs from what is missing"
    )]
    fn bytes(&mut self) -> Option<Option<&'a [u8]>> {
        let len = self.number()?;
        let Ok(len) = usize::try_from(len) else {
            return Some(None);
        };
        let (bytes, behind) = self.bytes.split_at_checked(len)?;
        self.bytes = behind;
        Some(Some(bytes))
    }
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
