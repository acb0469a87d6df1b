//! The rows that a window-apply keeps of a window and key: rows as bytes, with the partition that they came from.
//!
//! # Constraints
//! Rows are handed to the function source partition after source partition, each in the order of the log, however they came together. So
//! each run of rows keeps the number of its partition, and putting two lots together is appending one to the other.
//!
//! # Layout
//! Segments one after another, up to the end: number of the source partition (u32), number of bytes (u32), both big-endian, and the
//! bytes, which are rows in the format of [`encode_rows`](crate::rows::encode_rows). The version is that of the rows.

use crate::format::FormatError;

const WHAT: &str = "the rows of a window";

/// Appends a segment, whose rows `write` writes.
pub fn push(out: &mut Vec<u8>, source: u32, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&source.to_be_bytes());
    let length = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let written = out.len() - length - 4;
    let written = u32::try_from(written).expect("a batch of rows is limited to far less");
    out[length..length + 4].copy_from_slice(&written.to_be_bytes());
}

/// The segments, each with the number of its source partition. After an error there are no more.
pub fn read(bytes: &[u8]) -> impl Iterator<Item = Result<(u32, &[u8]), FormatError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let segment = split(&mut rest).ok_or(FormatError::Damaged(WHAT));
        if segment.is_err() {
            rest = &[];
        }
        Some(segment)
    })
}

fn split<'a>(rest: &mut &'a [u8]) -> Option<(u32, &'a [u8])> {
    let (source, after) = rest.split_first_chunk::<4>()?;
    let (length, after) = after.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (rows, after) = after.split_at_checked(length)?;
    *rest = after;
    Some((u32::from_be_bytes(*source), rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn segments_come_back_in_their_order(segments: Vec<(u32, Vec<u8>)>) {
            let mut bytes = Vec::new();
            for (source, rows) in &segments {
                push(&mut bytes, *source, |out| out.extend_from_slice(rows));
            }
            let read: Result<Vec<_>, _> = read(&bytes).collect();
            let expected: Vec<_> = segments.iter().map(|(s, rows)| (*s, rows.as_slice())).collect();
            prop_assert_eq!(read, Ok(expected));
        }

        #[test]
        fn no_bytes_make_reading_panic_or_go_on_for_ever(bytes: Vec<u8>) {
            prop_assert!(read(&bytes).count() <= bytes.len());
        }
    }

    /// As it is written today: later versions must read it.
    #[test]
    fn the_layout_is_what_it_was() {
        let mut bytes = Vec::new();
        push(&mut bytes, 7, |out| out.extend_from_slice(b"rows"));
        assert_eq!(bytes, b"\0\0\0\x07\0\0\0\x04rows");
        assert_eq!(read(&bytes[..9]).collect::<Vec<_>>().len(), 1);
        assert!(read(&bytes[..9]).all(|segment| segment.is_err()));
    }
}
