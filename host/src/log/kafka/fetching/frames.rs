//! Requests and answers as they lie on the wire: a length of four bytes, a header, and what Kafka's definitions say.

use anyhow::{Context as _, Result, ensure};
use bytes::{Buf, Bytes};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};

/// A request as it is sent, with a number that its answer will have.
///
/// # Errors
/// If the version does not have something that is in the request.
pub(super) fn request<Q: Encodable + HeaderVersion>(
    (key, version): (ApiKey, i16),
    number: i32,
    client: &StrBytes,
    request: &Q,
) -> Result<Vec<u8>> {
    let header = RequestHeader::default()
        .with_request_api_key(key as i16)
        .with_request_api_version(version)
        .with_correlation_id(number)
        .with_client_id(Some(client.clone()));
    let mut frame = vec![0; 4];
    header.encode(&mut frame, Q::header_version(version))?;
    request.encode(&mut frame, version)?;
    let len = i32::try_from(frame.len() - 4).context("a request is too long")?;
    frame[..4].copy_from_slice(&len.to_be_bytes());
    Ok(frame)
}

/// What an answer says, from a frame without its length. Bytes in it stay where they are.
///
/// # Errors
/// If it is another's, or can't be read.
pub(super) fn answer<A: Decodable + HeaderVersion>(
    version: i16,
    number: i32,
    mut frame: Bytes,
) -> Result<A> {
    let header = ResponseHeader::decode(&mut frame, A::header_version(version))?;
    ensure!(
        header.correlation_id == number,
        "an answer to request {} came where one to {number} was due",
        header.correlation_id
    );
    let answer = A::decode(&mut frame, version)?;
    ensure!(!frame.has_remaining(), "an answer is longer than it says");
    Ok(answer)
}

/// An error of Kafka's by its name.
pub(super) fn error_name(code: i16) -> String {
    match ResponseError::try_from_code(code) {
        Some(error) => error.to_string(),
        None => format!("error {code}"),
    }
}
