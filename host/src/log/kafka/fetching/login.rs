//! Logins to brokers (SASL): PLAIN (RFC 4616) and SCRAM (RFC 5802), by the steps of Kafka's protocol.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use kafka_protocol::messages::{
    ApiKey, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
    SaslHandshakeResponse,
};
use rsasl::config::SASLConfig;
use rsasl::prelude::{Mechname, SASLClient, State};

use super::frames::error_name;
use super::settings::Login;
use super::talk::Talk;

/// The version of the handshake since which what follows is framed like everything else, and that of the steps which tells how long
/// they hold.
const HANDSHAKE: i16 = 1;
const AUTHENTICATE: i16 = 1;

/// Logs in. Returns for how long, if not for ever.
///
/// # Errors
/// If the broker does not offer the mechanism, or does not take name and password, in its words; or if it does not prove
/// that it knows the password itself, as SCRAM asks for.
pub(super) fn log_in(login: &Login, broker: &mut Talk) -> Result<Option<Duration>> {
    let request = SaslHandshakeRequest::default().with_mechanism(login.mechanism.into());
    let answer: SaslHandshakeResponse =
        broker.exchange(ApiKey::SaslHandshake, HANDSHAKE, &request)?;
    if answer.error_code != 0 {
        let offered: Vec<&str> = answer.mechanisms.iter().map(|name| &**name).collect();
        bail!(
            "the broker does not offer {}, only {}",
            login.mechanism,
            offered.join(", ")
        );
    }
    let config = SASLConfig::with_credentials(None, login.name.clone(), login.password.clone())
        .map_err(|error| anyhow!("{error}"))?;
    let mechanism = Mechname::parse(login.mechanism.as_bytes())?;
    let mut session = SASLClient::new(config)
        .start_suggested_iter([mechanism])
        .map_err(|error| anyhow!("{error}"))?;
    let mut heard: Option<Bytes> = None;
    let mut holds = None;
    loop {
        let mut said = Vec::new();
        let step = session
            .step(heard.as_deref(), &mut said)
            .context("the broker's part of the login")?;
        if step.has_sent_message() {
            let request = SaslAuthenticateRequest::default().with_auth_bytes(said.into());
            let answer: SaslAuthenticateResponse =
                broker.exchange(ApiKey::SaslAuthenticate, AUTHENTICATE, &request)?;
            if answer.error_code != 0 {
                let why = answer.error_message.as_deref().unwrap_or_default();
                bail!(
                    "{} as {}: {}: {why}",
                    login.mechanism,
                    login.name,
                    error_name(answer.error_code)
                );
            }
            let millis = u64::try_from(answer.session_lifetime_ms).unwrap_or(0);
            holds = (millis > 0).then(|| Duration::from_millis(millis));
            heard = Some(answer.auth_bytes);
        }
        match step {
            State::Finished(_) => return Ok(holds),
            State::Running if !step.has_sent_message() => bail!("the login came to no end"),
            State::Running => {}
        }
    }
}
