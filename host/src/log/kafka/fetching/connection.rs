//! A connection to a broker, on which one request for records is under way at a time. Nothing here waits.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, FetchRequest, FetchResponse};
use kafka_protocol::protocol::StrBytes;
use openssl::ssl::SslStream;

use super::frames::{answer, error_name, request};
use crate::log::TopicPartition;
use crate::log::kafka::bell::Watched;

/// A socket, with or without TLS.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<SslStream<TcpStream>>),
}

impl Stream {
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => stream.get_ref(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(into),
            Stream::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

/// What was asked of a partition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Asked {
    pub(super) at: TopicPartition,
    pub(super) offset: i64,
}

/// A request that is under way.
struct Request {
    number: i32,
    asked: Vec<Asked>,
    /// When its answer is no longer waited for.
    deadline: Instant,
}

/// A connection to a broker.
pub(super) struct Connection {
    stream: Stream,
    client: StrBytes,
    /// Of the request for records.
    version: i16,
    /// Until when the login holds.
    holds: Option<Instant>,
    number: i32,
    request: Option<Request>,
    /// What is left to be written.
    outgoing: Vec<u8>,
    written: usize,
    incoming: Incoming,
}

impl Connection {
    /// Of a socket that does not wait, on which everything has been said that comes before records.
    pub(super) fn new(
        stream: Stream,
        client: StrBytes,
        version: i16,
        holds: Option<Instant>,
    ) -> Self {
        Self {
            stream,
            client,
            version,
            holds,
            number: 0,
            request: None,
            outgoing: Vec::new(),
            written: 0,
            incoming: Incoming::default(),
        }
    }

    /// What is to be waited for.
    pub(super) fn watched(&self) -> Watched<'_> {
        Watched {
            socket: self.stream.socket().as_fd(),
            writes: self.written < self.outgoing.len(),
        }
    }

    /// Whether no request is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.request.is_none()
    }

    /// Whether its login no longer holds. Looked at between two requests.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.holds.is_some_and(|until| now >= until)
    }

    /// Makes a request.
    ///
    /// # Errors
    /// If the connection has ended.
    pub(super) fn ask(
        &mut self,
        asked: Vec<Asked>,
        request_for: &FetchRequest,
        deadline: Instant,
    ) -> Result<()> {
        self.number = self.number.wrapping_add(1);
        let how = (ApiKey::Fetch, self.version);
        self.outgoing = request(how, self.number, &self.client, request_for)?;
        self.written = 0;
        self.request = Some(Request {
            number: self.number,
            asked,
            deadline,
        });
        self.write()
    }

    /// Reads and writes what can be without waiting. Returns an answer once it is there as a whole, with what was asked.
    ///
    /// # Errors
    /// If the connection has ended, the answer takes too long or can't be read.
    pub(super) fn go_on(
        &mut self,
        now: Instant,
        max_frame: usize,
    ) -> Result<Option<(Vec<Asked>, FetchResponse)>> {
        self.write()?;
        let frame = self.incoming.read(&mut self.stream, max_frame)?;
        match (frame, self.request.take()) {
            (Some(frame), Some(request)) => {
                let response: FetchResponse = answer(self.version, request.number, frame)?;
                let code = response.error_code;
                ensure!(code == 0, "the broker says: {}", error_name(code));
                Ok(Some((request.asked, response)))
            }
            (Some(_), None) => bail!("an answer to nothing that was asked"),
            (None, Some(request)) if now >= request.deadline => bail!("no answer in time"),
            (None, request) => {
                self.request = request;
                Ok(None)
            }
        }
    }

    fn write(&mut self) -> Result<()> {
        while let Some(rest) = self
            .outgoing
            .get(self.written..)
            .filter(|rest| !rest.is_empty())
        {
            match unless_waiting(self.stream.write(rest))? {
                None => break,
                Some(0) => bail!("the broker has closed the connection"),
                Some(written) => self.written += written,
            }
        }
        Ok(())
    }
}

/// `None` where it would have to be waited.
fn unless_waiting<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The frame that is being read.
#[derive(Default)]
struct Incoming {
    len: [u8; 4],
    /// How many bytes of its length there are.
    len_read: usize,
    frame: Vec<u8>,
}

impl Incoming {
    /// Reads on. Returns the frame once it is whole, without its length.
    fn read(&mut self, stream: &mut Stream, max_frame: usize) -> Result<Option<Bytes>> {
        while self.len_read < self.len.len() {
            match unless_waiting(stream.read(&mut self.len[self.len_read..]))? {
                None => return Ok(None),
                Some(0) => bail!("the broker has closed the connection"),
                Some(read) => self.len_read += read,
            }
            if self.len_read == self.len.len() {
                let len = self.due();
                ensure!(
                    len <= max_frame,
                    "an answer of {len} bytes, where receive.message.max.bytes is {max_frame}"
                );
                self.frame = Vec::with_capacity(len);
            }
        }
        let left = self.due() - self.frame.len();
        let limit = u64::try_from(left).unwrap_or(u64::MAX);
        // It keeps what it has read when it comes to where it would wait.
        let read = Read::by_ref(stream)
            .take(limit)
            .read_to_end(&mut self.frame);
        let ended = unless_waiting(read)?.is_some();
        if self.frame.len() == self.due() {
            self.len_read = 0;
            return Ok(Some(std::mem::take(&mut self.frame).into()));
        }
        ensure!(!ended, "the broker has closed the connection");
        Ok(None)
    }

    /// How long the frame is.
    fn due(&self) -> usize {
        usize::try_from(u32::from_be_bytes(self.len)).unwrap_or(usize::MAX)
    }
}
