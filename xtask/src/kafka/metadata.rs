//! Whether a broker serves: it is asked for the brokers of its cluster, the first thing that any client asks.
//!
//! One request of Kafka's protocol, Metadata in version 1 with no topics. A broker lists itself only once the controller
//! lets it serve, so a connection that is accepted proves less.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(2);

/// The correlation identifier, which comes back in the response.
const CORRELATION: [u8; 4] = *b"mill";

/// Size, key 3 (Metadata), version 1, correlation, no client name, an array of no topics.
const REQUEST: [u8; 18] = [
    0, 0, 0, 14, 0, 3, 0, 1, b'm', b'i', b'l', b'l', 0xff, 0xff, 0, 0, 0, 0,
];

/// Whether a broker at this address says that it serves.
pub(crate) fn answers(address: &str) -> bool {
    address
        .parse()
        .is_ok_and(|address| ask(address).is_ok_and(names_a_broker))
}

/// The first 12 bytes of the response.
fn ask(address: SocketAddr) -> io::Result<[u8; 12]> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&REQUEST)?;
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    Ok(start)
}

/// Whether a response (size, correlation, number of brokers) is to our request and lists a broker.
fn names_a_broker(start: [u8; 12]) -> bool {
    let [_, _, _, _, c0, c1, c2, c3, n0, n1, n2, n3] = start;
    [c0, c1, c2, c3] == CORRELATION && i32::from_be_bytes([n0, n1, n2, n3]) > 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::net::TcpListener;
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    /// A server that reads one request and answers these bytes.
    fn server(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 18];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(answer).unwrap();
        });
        address
    }

    #[test]
    fn a_broker_that_lists_a_broker_serves() {
        assert!(answers(&server(b"\0\0\0\x20mill\0\0\0\x01\0\0\0\x01")));
    }

    #[test]
    fn a_broker_that_is_not_admitted_yet_lists_none() {
        assert!(!answers(&server(b"\0\0\0\x20mill\0\0\0\0")));
    }

    #[test]
    fn another_service_on_the_port_is_no_broker() {
        assert!(!answers(&server(b"HTTP/1.1 400 Bad Request\r\n")));
        assert!(!answers(&server(b"")));
        assert!(!answers("not an address"));
    }

    #[test]
    fn the_request_says_its_size_and_correlation() {
        let (size, rest) = REQUEST.split_first_chunk().unwrap();
        assert_eq!(usize::try_from(u32::from_be_bytes(*size)), Ok(rest.len()));
        assert_eq!(rest.get(4..8), Some(CORRELATION.as_slice()));
    }

    proptest! {
        #[test]
        fn any_answer_is_judged_without_a_panic(start: [u8; 12]) {
            let ours = start[4..8] == CORRELATION;
            prop_assert!(ours || !names_a_broker(start));
        }
    }
}
