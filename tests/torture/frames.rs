//! Requests as they stand in a connection to Kafka, as far as the proxy needs to know them: where one ends, and whether it
//! asks to commit a transaction.

use std::io::{self, Read};

/// Larger than any request that a host sends.
const MOST: usize = 256 << 20;
/// The number of the request that ends a transaction.
const END_TXN: i16 = 26;

/// One request: its length, as it stands before it, and the request.
pub(crate) struct Frame(Vec<u8>);

impl Frame {
    /// Reads the next request; `None` where the connection ends before one.
    pub(crate) fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut length = [0; 4];
        match from.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let size = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if size > MOST {
            return Err(io::Error::other(format!("a request of {size} bytes")));
        }
        let mut bytes = vec![0; 4 + size];
        bytes[..4].copy_from_slice(&length);
        from.read_exact(&mut bytes[4..])?;
        Ok(Some(Self(bytes)))
    }

    /// What is to be sent on.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it asks to commit a transaction. An `EndTxn` ends with the choice, true for commit; from version 3 on
    /// (KIP-482) a byte for tagged fields, of which there are none, follows.
    pub(crate) fn is_commit(&self) -> bool {
        let number = |at: usize| match self.0.get(at..at + 2) {
            Some(&[high, low]) => i16::from_be_bytes([high, low]),
            _ => -1,
        };
        let behind = usize::from(number(6) >= 3);
        let choice = self.0.len().checked_sub(1 + behind);
        number(4) == END_TXN && choice.is_some_and(|at| self.0[at] == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let length = i32::try_from(8 + body.len()).unwrap();
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&key.to_be_bytes());
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn requests_come_one_by_one_and_only_a_commit_is_one() {
        let requests = [
            (request(END_TXN, 1, &[7, 7, 1]), true),
            (request(END_TXN, 1, &[7, 1, 0]), false),
            (request(END_TXN, 3, &[7, 1, 0]), true),
            (request(END_TXN, 3, &[7, 0, 0]), false),
            (request(0, 1, &[7, 7, 1]), false),
            (request(END_TXN, 1, &[]), false),
        ];
        let bytes: Vec<u8> = requests
            .iter()
            .flat_map(|(bytes, _)| bytes.clone())
            .collect();
        let mut bytes = &bytes[..];
        for (request, is_commit) in requests {
            let frame = Frame::read(&mut bytes).unwrap().unwrap();
            assert_eq!(
                (frame.bytes(), frame.is_commit()),
                (&request[..], is_commit)
            );
        }
        assert!(Frame::read(&mut bytes).unwrap().is_none());
    }

    #[test]
    fn a_connection_that_ends_within_a_request_is_an_error() {
        let whole = request(0, 0, &[1, 2, 3]);
        assert!(Frame::read(&mut &whole[..9]).is_err());
        assert!(Frame::read(&mut &[0xff; 9][..]).is_err());
    }
}
