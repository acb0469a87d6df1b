//! Connections to brokers, made while the caller waits: address, TLS, versions, login. On a thread of its own, since each may take long.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;

use super::connection::{Connection, Stream};
use super::frames::{answer, error_name};
use super::login::log_in;
use super::settings::{Addresses, Settings};
use super::talk::Talk;
use super::tls::greet;

/// The versions of the request for records that are spoken: the first that tells aborted transactions apart, and the last that names
/// topics by name.
const OLDEST: i16 = 4;
const NEWEST: i16 = 12;

/// The version of the request for versions that every broker answers, if not otherwise then with an error that lists what it knows.
const VERSIONS: i16 = 3;
const VERSIONS_BEFORE: i16 = 0;
/// The code of that error.
const UNSUPPORTED_VERSION: i16 = 35;

/// How much of the time for which a login holds is used.
const USED: f64 = 0.8;

/// Connects to a broker. Blocks for several round trips.
///
/// # Errors
/// If it can't be reached, does not trust this client or is not trusted, or speaks no version in common.
pub(super) fn dial(
    settings: &Settings,
    client: &StrBytes,
    (host, port): (&str, u16),
) -> Result<Connection> {
    let socket = reach(settings, host, port)?;
    // Each answer may take as long; there are a handful.
    socket.set_read_timeout(Some(settings.setup_timeout))?;
    socket.set_write_timeout(Some(settings.setup_timeout))?;
    let stream = match &settings.tls {
        None => Stream::Plain(socket),
        Some(tls) => Stream::Tls(Box::new(greet(tls, host, socket)?)),
    };
    let mut talk = Talk::new(stream, client);
    let version = version(&mut talk)?;
    let login = settings.login.as_ref();
    let holds = login.map(|login| log_in(login, &mut talk)).transpose()?;
    let holds = holds.flatten();
    let holds = holds.map(|holds| Instant::now() + holds.mul_f64(USED));
    let stream = talk.end();
    stream.socket().set_nonblocking(true)?;
    Ok(Connection::new(stream, client.clone(), version, holds))
}

/// A connected socket, to the first address that answers.
fn reach(settings: &Settings, host: &str, port: u16) -> Result<TcpStream> {
    let found = (host, port)
        .to_socket_addrs()
        .with_context(|| format!("the address of {host}"))?;
    let wanted = found.filter(|address| match settings.addresses {
        Addresses::Any => true,
        Addresses::V4 => address.is_ipv4(),
        Addresses::V6 => address.is_ipv6(),
    });
    let mut failed = anyhow!("{host} has no address of the family that is asked for");
    for address in wanted {
        match connect(&address, settings.setup_timeout) {
            Ok(socket) => return Ok(socket),
            Err(error) => failed = error.context(address),
        }
    }
    Err(failed)
}

fn connect(address: &SocketAddr, timeout: Duration) -> Result<TcpStream> {
    let socket = TcpStream::connect_timeout(address, timeout)?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// The version of the request for records that both sides speak.
fn version(talk: &mut Talk) -> Result<i16> {
    let asked = ApiVersionsRequest::default()
        .with_client_software_name("millstream".into())
        .with_client_software_version(env!("CARGO_PKG_VERSION").into());
    let (number, frame) = talk.call(ApiKey::ApiVersions, VERSIONS, &asked)?;
    // An error is told in the first version, whichever was asked for.
    let code = frame
        .get(4..6)
        .map(|code| i16::from_be_bytes([code[0], code[1]]));
    let told: ApiVersionsResponse = match code {
        Some(UNSUPPORTED_VERSION) => talk.exchange(
            ApiKey::ApiVersions,
            VERSIONS_BEFORE,
            &ApiVersionsRequest::default(),
        )?,
        _ => answer(VERSIONS, number, frame)?,
    };
    ensure!(
        told.error_code == 0,
        "its versions: {}",
        error_name(told.error_code)
    );
    let fetch = told
        .api_keys
        .iter()
        .find(|api| api.api_key == ApiKey::Fetch as i16);
    let fetch = fetch.context("it does not say that it has records")?;
    let (oldest, newest) = (fetch.min_version.max(OLDEST), fetch.max_version.min(NEWEST));
    if oldest > newest {
        bail!(
            "it speaks versions {} to {} of Kafka's request for records, and versions {OLDEST} to {NEWEST} are spoken here",
            fetch.min_version,
            fetch.max_version
        );
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

    use std::collections::BTreeMap;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Somebody who answers each request with the next of these, and then hangs up. Returns why no connection came of it.
    fn refusal(answers: Vec<Vec<u8>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            for answer in answers {
                let mut len = [0; 4];
                socket.read_exact(&mut len).unwrap();
                let mut request = vec![0; usize::try_from(u32::from_be_bytes(len)).unwrap()];
                socket.read_exact(&mut request).unwrap();
                socket.write_all(&answer).unwrap();
            }
        });
        let settings = Settings::read(&BTreeMap::new()).unwrap();
        let made = dial(&settings, &"me".into(), ("127.0.0.1", port));
        server.join().unwrap();
        format!("{:#}", made.err().unwrap())
    }

    fn frame(parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        let len = u32::try_from(body.len()).unwrap();
        [&len.to_be_bytes()[..], &body].concat()
    }

    /// An answer in the first version of that about versions: number, error, and the one request that it knows.
    fn versions(number: i32, error: i16, key: i16, range: (i16, i16)) -> Vec<u8> {
        let (from, to) = range;
        frame(&[
            &number.to_be_bytes(),
            &error.to_be_bytes(),
            &1_i32.to_be_bytes(),
            &key.to_be_bytes(),
            &from.to_be_bytes(),
            &to.to_be_bytes(),
        ])
    }

    #[test]
    fn who_speaks_no_version_in_common_is_told_from_who_has_no_records() {
        let fetch = ApiKey::Fetch as i16;
        let old = versions(1, UNSUPPORTED_VERSION, fetch, (0, 0));
        let why = refusal(vec![old.clone(), versions(2, 0, fetch, (13, 20))]);
        assert!(why.contains("versions 13 to 20"), "{why}");
        let why = refusal(vec![old, versions(2, 0, fetch + 1, (0, 9))]);
        assert!(why.contains("has records"), "{why}");
    }

    #[test]
    fn what_is_not_kafka_is_said_to_be_something_else() {
        let why = refusal(vec![b"HTTP/1.1 400 Bad Request".to_vec()]);
        assert!(why.contains("is this Kafka"), "{why}");
        let why = refusal(vec![]);
        assert!(why.contains("no answer") || why.contains("reset"), "{why}");
        let another = versions(7, UNSUPPORTED_VERSION, 1, (0, 9));
        let why = refusal(vec![another.clone(), another]);
        assert!(why.contains("request 7"), "{why}");
    }
}
