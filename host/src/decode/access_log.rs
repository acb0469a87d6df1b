//! One line of an access log in the combined or common format of Apache and nginx, into cells.
//!
//! The whole line is checked whatever is declared; only the escapes of declared fields are resolved.

use super::cell::{Cell, Scratch, clip};
use super::plan::DecoderError;
use crate::rows::FieldType;

/// A field of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum LogField {
    Host,
    Ident,
    User,
    Time,
    Request,
    Method,
    Path,
    Protocol,
    Status,
    Bytes,
    Referer,
    UserAgent,
}

impl LogField {
    /// All fields, each at the index of its cell.
    pub(super) const ALL: [LogField; 12] = [
        LogField::Host,
        LogField::Ident,
        LogField::User,
        LogField::Time,
        LogField::Request,
        LogField::Method,
        LogField::Path,
        LogField::Protocol,
        LogField::Status,
        LogField::Bytes,
        LogField::Referer,
        LogField::UserAgent,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            LogField::Host => "host",
            LogField::Ident => "ident",
            LogField::User => "user",
            LogField::Time => "time",
            LogField::Request => "request",
            LogField::Method => "method",
            LogField::Path => "path",
            LogField::Protocol => "protocol",
            LogField::Status => "status",
            LogField::Bytes => "bytes",
            LogField::Referer => "referer",
            LogField::UserAgent => "user_agent",
        }
    }

    fn ty(self) -> FieldType {
        match self {
            LogField::Time => FieldType::Timestamp,
            LogField::Status | LogField::Bytes => FieldType::Int64,
            _ => FieldType::Text,
        }
    }
}

/// Reads lines into the cells of [`LogField::ALL`].
#[derive(Debug)]
pub(super) struct LogReader {
    declared: [bool; LogField::ALL.len()],
}

/// A line in its parts, nothing resolved.
#[derive(Debug)]
struct Line<'a> {
    host: &'a str,
    ident: &'a str,
    user: &'a str,
    millis: i64,
    request: &'a str,
    status: Option<i64>,
    bytes: Option<i64>,
    /// Referer and user agent; the common format has none.
    client: Option<(&'a str, &'a str)>,
}

impl LogReader {
    pub(super) fn new() -> Self {
        Self {
            declared: [false; LogField::ALL.len()],
        }
    }

    /// The cell of a field.
    pub(super) fn cell(&mut self, name: &str, ty: FieldType) -> Result<usize, DecoderError> {
        let found = LogField::ALL.iter().position(|field| field.name() == name);
        let at = found.ok_or_else(|| DecoderError::UnknownLogField {
            name: name.to_owned(),
        })?;
        let field = LogField::ALL[at];
        if field.ty() != ty {
            return Err(DecoderError::LogFieldType {
                name: field.name(),
                is: field.ty(),
                ty,
            });
        }
        self.declared[at] = true;
        Ok(at)
    }

    /// Reads one record into `cells`, all of them missing before.
    pub(super) fn read<'a>(
        &self,
        text: &'a str,
        cells: &mut [Cell<'a>],
        scratch: &mut Scratch,
    ) -> Result<(), String> {
        let line =
            parse(text).map_err(|error| format!("the value is not an access log line: {error}"))?;
        let [method, path, protocol] = request_parts(line.request);
        let (referer, user_agent) = line.client.unzip();
        for (at, field) in LogField::ALL.into_iter().enumerate() {
            if !self.declared[at] {
                continue;
            }
            let cell = match field {
                LogField::Host => Some(plain(line.host)),
                LogField::Ident => Some(plain(line.ident)),
                LogField::User => Some(plain(line.user)),
                LogField::Time => Some(Cell::Int(line.millis)),
                LogField::Request => quoted(Some(line.request), scratch),
                LogField::Method => quoted(method, scratch),
                LogField::Path => quoted(path, scratch),
                LogField::Protocol => quoted(protocol, scratch),
                LogField::Status => Some(line.status.map_or(Cell::Null, Cell::Int)),
                LogField::Bytes => Some(line.bytes.map_or(Cell::Null, Cell::Int)),
                LogField::Referer => quoted(referer, scratch),
                LogField::UserAgent => quoted(user_agent, scratch),
            };
            cells[at] = cell.ok_or_else(|| {
                let name = field.name();
                format!("field {name} is not UTF-8 once its escapes are resolved")
            })?;
        }
        Ok(())
    }
}

fn plain(text: &str) -> Cell<'_> {
    match text {
        "-" => Cell::Null,
        text => Cell::Text(text),
    }
}

/// A quoted part with its escapes resolved; `None` where that is not UTF-8.
fn quoted<'a>(text: Option<&'a str>, scratch: &mut Scratch) -> Option<Cell<'a>> {
    let Some(text) = text else {
        return Some(Cell::Missing);
    };
    if !text.contains('\\') {
        return Some(plain(text));
    }
    let mut rest = text.bytes();
    let resolved = std::iter::from_fn(|| match rest.next()? {
        b'\\' => match rest.next()? {
            b'x' => Some(hex(rest.next()?)? << 4 | hex(rest.next()?)?),
            escape => control(escape),
        },
        byte => Some(byte),
    });
    scratch.keep_utf8(resolved).map(Cell::Resolved)
}

/// What a backslash and this letter stand for.
fn control(escape: u8) -> Option<u8> {
    match escape {
        b'"' | b'\\' => Some(escape),
        b'b' => Some(0x08),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        b'v' => Some(0x0b),
        _ => None,
    }
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

/// Method, path and protocol of a request. A path may hold spaces; a protocol is what follows the last one.
fn request_parts(request: &str) -> [Option<&str>; 3] {
    let Some((method, rest)) = request.split_once(' ') else {
        return [None; 3];
    };
    match rest.rsplit_once(' ') {
        Some((path, protocol)) => [Some(method), Some(path), Some(protocol)],
        None => [Some(method), Some(rest), None],
    }
}

fn parse(text: &str) -> Result<Line<'_>, String> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let mut cursor = Cursor { text, at: 0 };
    let host = cursor.until(" ", "the host")?;
    let ident = cursor.until(" ", "the ident")?;
    // A user name may hold spaces.
    let user = cursor.until(" [", "the user")?;
    let millis = time(cursor.until("] \"", "the time")?)?;
    let request = cursor.quoted("the request")?;
    cursor.expect(" ", "the request")?;
    let status = number(cursor.until(" ", "the status")?, "status")?;
    let (bytes, client) = if cursor.rest().contains(' ') {
        let bytes = cursor.until(" \"", "the bytes")?;
        let referer = cursor.quoted("the referer")?;
        cursor.expect(" \"", "the referer")?;
        let user_agent = cursor.quoted("the user agent")?;
        if !cursor.rest().is_empty() {
            return Err(format!(
                "unexpected {:?} after the user agent",
                clip(cursor.rest())
            ));
        }
        (bytes, Some((referer, user_agent)))
    } else {
        (cursor.rest(), None)
    };
    Ok(Line {
        host,
        ident,
        user,
        millis,
        request,
        status,
        bytes: number(bytes, "bytes")?,
        client,
    })
}

/// `23/Nov/2026:14:05:00 +0100` in milliseconds.
fn time(text: &str) -> Result<i64, String> {
    jiff::Timestamp::strptime("%d/%b/%Y:%H:%M:%S %z", text)
        .map(|time| time.as_millisecond())
        .map_err(|_| {
            let text = clip(text);
            format!("the time {text:?} is not written like 23/Nov/2026:14:05:00 +0100")
        })
}

fn number(text: &str, what: &str) -> Result<Option<i64>, String> {
    if text == "-" {
        return Ok(None);
    }
    match text.parse() {
        Ok(number) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Some(number)),
        _ => Err(format!(
            "{what} is {:?}, a whole number is needed",
            clip(text)
        )),
    }
}

/// A place in a line.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// What comes before `end`, which is passed over.
    fn until(&mut self, end: &str, what: &str) -> Result<&'a str, String> {
        let (part, _) = self
            .rest()
            .split_once(end)
            .filter(|(part, _)| !part.is_empty())
            .ok_or_else(|| format!("{what} and {end:?} are expected at byte {}", self.at))?;
        self.at += part.len() + end.len();
        Ok(part)
    }

    fn expect(&mut self, next: &str, after: &str) -> Result<(), String> {
        if !self.rest().starts_with(next) {
            return Err(format!(
                "{next:?} is expected after {after}, at byte {}",
                self.at
            ));
        }
        self.at += next.len();
        Ok(())
    }

    /// What comes before the closing quote, escapes as they are. The opening quote is passed already.
    fn quoted(&mut self, what: &str) -> Result<&'a str, String> {
        let rest = self.rest();
        let mut bytes = rest.bytes().enumerate();
        while let Some((at, byte)) = bytes.next() {
            if byte == b'"' {
                self.at += at + 1;
                return Ok(&rest[..at]);
            }
            if byte == b'\\' {
                let mut next = || bytes.next().map(|(_, byte)| byte);
                let known = match next() {
                    Some(b'x') => next().and_then(hex).and(next().and_then(hex)),
                    Some(escape) => control(escape),
                    None => None,
                };
                if known.is_none() {
                    return Err(format!(
                        "{what} has an unknown escape at byte {}",
                        self.at + at
                    ));
                }
            }
        }
        Err(format!("{what} has no closing quote"))
    }
}
