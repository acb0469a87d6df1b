//! Accumulators made of accumulators.
//!
//! A partial of several is the partial of each, with its length as four bytes, little-endian, in front. Where
//! all are empty there are no bytes at all, as the laws of [`Accumulator`] want it.

use crate::accumulate::{Accumulator, PartialError};

/// Appends the partials that `parts` appends one by one.
pub struct PartsWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    empty: bool,
}

const PREFIX: usize = size_of::<u32>();

impl<'o> PartsWriter<'o> {
    /// A writer that appends to `out`.
    pub fn new(out: &'o mut Vec<u8>) -> Self {
        let start = out.len();
        Self {
            out,
            start,
            empty: true,
        }
    }

    /// Appends what `part` appends, with its length in front.
    ///
    /// # Panics
    /// If that passes 4 GiB, more than a component's memory.
    pub fn part(&mut self, part: impl FnOnce(&mut Vec<u8>)) {
        let prefix = self.out.len();
        self.out.extend([0; PREFIX]);
        part(self.out);
        let len = self.out.len() - prefix - PREFIX;
        let len = u32::try_from(len).expect("a partial is smaller than a component's memory");
        self.out[prefix..prefix + PREFIX].copy_from_slice(&len.to_le_bytes());
        self.empty &= len == 0;
    }

    /// Ends the partial.
    pub fn finish(self) {
        if self.empty {
            self.out.truncate(self.start);
        }
    }
}

/// Takes a partial apart into those of its `N` parts.
///
/// # Errors
/// If it is not a partial of `N` parts.
pub fn split_parts<const N: usize>(partial: &[u8]) -> Result<[&[u8]; N], PartialError> {
    let mut parts = [&[] as &[u8]; N];
    if partial.is_empty() {
        return Ok(parts);
    }
    let mut rest = partial;
    for (index, part) in parts.iter_mut().enumerate() {
        (*part, rest) = split_part(rest)
            .ok_or_else(|| PartialError(format!("part {index} of {N} is cut short")))?;
    }
    if !rest.is_empty() {
        return Err(PartialError(format!(
            "{} bytes follow the {N} parts",
            rest.len()
        )));
    }
    Ok(parts)
}

fn split_part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<PREFIX>()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}

/// Implements [`Accumulator`] for a tuple.
macro_rules! tuple {
    ($count:literal, $($name:ident $index:tt),+) => {
        impl<$($name: Accumulator),+> Accumulator for ($($name,)+) {
            fn snapshot(&self, out: &mut Vec<u8>) {
                let mut parts = PartsWriter::new(out);
                $(parts.part(|out| self.$index.snapshot(out));)+
                parts.finish();
            }

            fn take_delta(&mut self, out: &mut Vec<u8>) {
                let mut parts = PartsWriter::new(out);
                $(parts.part(|out| self.$index.take_delta(out));)+
                parts.finish();
            }

            fn merge(&mut self, partial: &[u8]) -> Result<(), PartialError> {
                let parts = split_parts::<$count>(partial)?;
                $(self.$index.merge(parts[$index])?;)+
                Ok(())
            }
        }
    };
}

tuple!(2, A 0, B 1);
tuple!(3, A 0, B 1, C 2);
tuple!(4, A 0, B 1, C 2, D 3);
