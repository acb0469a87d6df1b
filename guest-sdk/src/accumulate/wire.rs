//! The bytes of partials: which format a partial is in, and reading one that may be damaged.
//!
//! A partial is empty, which means zero, or opens with the tag of its format. Integers are varints, signed ones
//! zigzag. A format that has to change takes a new tag, so that an old partial is refused or read as what it is.

use integer_encoding::VarInt;

use super::PartialError;

/// A format of partials: the first byte of each, and how errors name it.
#[derive(Clone, Copy)]
pub(super) struct Format {
    tag: u8,
    name: &'static str,
}

pub(super) const COUNT: Format = Format::new(1, "count");
pub(super) const SUM_I64: Format = Format::new(2, "integer sum");
pub(super) const SUM_F64: Format = Format::new(3, "float sum");
pub(super) const MIN_I64: Format = Format::new(4, "least integer");
pub(super) const MIN_F64: Format = Format::new(5, "least float");
pub(super) const MAX_I64: Format = Format::new(6, "greatest integer");
pub(super) const MAX_F64: Format = Format::new(7, "greatest float");
pub(super) const EXACT_SET: Format = Format::new(8, "exact set");
pub(super) const HYPER_LOG_LOG: Format = Format::new(9, "hyperloglog");
pub(super) const PER_KEY: Format = Format::new(10, "map of accumulators");
pub(super) const MEAN_VAR: Format = Format::new(11, "mean and variance");
pub(super) const QUANTILES: Format = Format::new(12, "quantiles");

impl Format {
    const fn new(tag: u8, name: &'static str) -> Self {
        Self { tag, name }
    }

    /// Begins a partial in this format.
    pub(super) fn begin(self, out: &mut Vec<u8>) {
        out.push(self.tag);
    }

    /// Opens a partial for reading; `None` where it is the empty partial, zero.
    pub(super) fn open(self, partial: &[u8]) -> Result<Option<Reader<'_>>, PartialError> {
        let Some((&tag, rest)) = partial.split_first() else {
            return Ok(None);
        };
        let reader = Reader { format: self, rest };
        if tag == self.tag {
            Ok(Some(reader))
        } else {
            Err(reader.refuse(&format!("format {tag} where {} belongs", self.tag)))
        }
    }
}

/// Reads the body of one partial. Every read is checked; none allocates.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    format: Format,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The error that this partial is not well formed.
    pub(super) fn refuse(&self, why: &str) -> PartialError {
        PartialError(format!("partial of a {}: {why}", self.format.name))
    }

    fn varint<T: VarInt>(&mut self) -> Result<T, PartialError> {
        let (value, length) =
            T::decode_var(self.rest).ok_or_else(|| self.refuse("number cut short or too large"))?;
        self.rest = &self.rest[length..];
        Ok(value)
    }

    pub(super) fn u64(&mut self) -> Result<u64, PartialError> {
        self.varint()
    }

    pub(super) fn i64(&mut self) -> Result<i64, PartialError> {
        self.varint()
    }

    /// A length or a number of elements. What it counts takes at least a byte each, so that a number larger
    /// than the rest is refused before anything is allocated for it.
    pub(super) fn length(&mut self) -> Result<usize, PartialError> {
        let length: usize = self.varint()?;
        if length > self.rest.len() {
            return Err(self.refuse(&format!(
                "length {length} where {} bytes are left",
                self.rest.len()
            )));
        }
        Ok(length)
    }

    /// Bytes behind their length.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], PartialError> {
        let length = self.length()?;
        let (bytes, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(bytes)
    }

    /// A fixed number of bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], PartialError> {
        let (bytes, rest) = self
            .rest
            .split_first_chunk()
            .ok_or_else(|| self.refuse("cut short"))?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// Everything that is left.
    pub(super) fn remainder(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Checks that nothing is left.
    pub(super) fn end(self) -> Result<(), PartialError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.refuse(&format!("{} bytes too many", self.rest.len())))
        }
    }
}

fn put_varint<T: VarInt>(value: T, out: &mut Vec<u8>) {
    // Ten bytes hold any 64-bit varint.
    let mut buffer = [0; 10];
    let length = value.encode_var(&mut buffer);
    out.extend_from_slice(&buffer[..length]);
}

pub(super) fn put_u64(value: u64, out: &mut Vec<u8>) {
    put_varint(value, out);
}

pub(super) fn put_i64(value: i64, out: &mut Vec<u8>) {
    put_varint(value, out);
}

pub(super) fn put_length(length: usize, out: &mut Vec<u8>) {
    put_varint(length, out);
}

pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(unsigned: u64, signed: i64, bytes: Vec<u8>) {
            let mut partial = Vec::new();
            COUNT.begin(&mut partial);
            put_u64(unsigned, &mut partial);
            put_i64(signed, &mut partial);
            put_bytes(&bytes, &mut partial);
            let mut reader = COUNT.open(&partial).unwrap().unwrap();
            prop_assert_eq!(reader.u64().unwrap(), unsigned);
            prop_assert_eq!(reader.i64().unwrap(), signed);
            prop_assert_eq!(reader.bytes().unwrap(), bytes);
            prop_assert!(reader.end().is_ok());
        }
    }

    #[test]
    fn a_partial_of_another_format_is_refused_by_name() {
        let error = COUNT.open(&[200]).err().unwrap();
        assert_eq!(
            error.to_string(),
            "partial of a count: format 200 where 1 belongs"
        );
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        let mut partial = Vec::new();
        COUNT.begin(&mut partial);
        put_u64(u64::MAX, &mut partial);
        let mut reader = COUNT.open(&partial).unwrap().unwrap();
        assert!(reader.bytes().is_err());
    }
}
