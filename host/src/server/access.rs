//! Who may do what: bearer tokens with roles, and this machine's own programs where the service's file lets them.
//!
//! Of a token only its SHA-256 is known. A token has 256 bits from the system's source of randomness, so there is nothing to guess
//! and no salt is needed; every hash is compared in full, so that the time it takes tells nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use super::problem::Problem;
use crate::service::{HttpConfig, Role, TokenConfig};

/// Who may use the API.
#[derive(Debug)]
pub(super) struct Access {
    tokens: Vec<TokenConfig>,
    open_to_loopback: bool,
}

/// What a part of the API asks for.
#[derive(Clone)]
pub(super) struct Needs {
    pub(super) access: Arc<Access>,
    pub(super) role: Role,
}

/// Somebody who was let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Caller<'a> {
    name: &'a str,
    role: Role,
}

impl Access {
    pub(super) fn new(config: &HttpConfig) -> Self {
        Self {
            tokens: config.tokens.clone(),
            open_to_loopback: config.open_to_loopback,
        }
    }

    /// Who makes a request that comes from `peer`.
    fn caller(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Caller<'_>, Problem> {
        let Some(authorization) = headers.get(header::AUTHORIZATION) else {
            return if self.open_to_loopback && peer.is_loopback() && is_local(headers) {
                Ok(Caller {
                    name: "loopback",
                    role: Role::Admin,
                })
            } else {
                Err(unauthorized(
                    "a token is needed: send `Authorization: Bearer TOKEN`",
                ))
            };
        };
        let token = authorization
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let token = token.ok_or_else(|| {
            unauthorized("the authorization is not understood: send `Authorization: Bearer TOKEN`")
        })?;
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let mut found = None;
        for known in &self.tokens {
            let is_it: Choice = known.sha256.ct_eq(&hash);
            if bool::from(is_it) {
                found = Some(known);
            }
        }
        found
            .map(|token| Caller {
                name: &token.name,
                role: token.role,
            })
            .ok_or_else(|| unauthorized("the token is not one that this service knows"))
    }
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "Unauthorized",
        detail,
    )
}

/// Whether a request without a token was meant for this machine by a program on it. A page from elsewhere that is open in a browser
/// here would say where it comes from, or, with a name of its own that leads here, ask for that name.
fn is_local(headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let is_here = host.is_some_and(|host| {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost")
            || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    });
    is_here && !headers.contains_key(header::ORIGIN)
}

/// The name of who asks, for handlers that keep it.
#[derive(Clone, Debug)]
pub(super) struct CallerName(pub(super) String);

/// Lets a request through if its caller may do what it asks for.
pub(super) async fn require(
    State(needs): State<Needs>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    match needs.access.caller(request.headers(), peer.ip()) {
        Err(problem) => problem.into_response(),
        Ok(caller) if caller.role < needs.role => Problem::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "Forbidden",
            format!(
                "{} has the role {}, and this needs {}: use another token",
                caller.name,
                caller.role.name(),
                needs.role.name()
            ),
        )
        .into_response(),
        Ok(caller) => {
            if needs.role > Role::View {
                tracing::info!(
                    caller = caller.name,
                    method = %request.method(),
                    path = request.uri().path(),
                    "asked"
                );
            }
            let name = CallerName(caller.name.to_owned());
            request.extensions_mut().insert(name);
            next.run(request).await
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const AWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn access(open_to_loopback: bool) -> Access {
        let token = |name: &str, role| TokenConfig {
            name: name.to_owned(),
            role,
            sha256: Sha256::digest(name.as_bytes()).into(),
        };
        Access {
            tokens: vec![token("see", Role::View), token("do", Role::Deploy)],
            open_to_loopback,
        }
    }

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (
                header::HeaderName::from_static(name),
                value.parse().unwrap(),
            )
        };
        all.iter().map(pair).collect()
    }

    #[test]
    fn a_token_tells_who_it_is() {
        let access = access(false);
        let role = |authorization: &str| {
            let headers = headers(&[("authorization", authorization)]);
            access.caller(&headers, AWAY).map(|caller| caller.role)
        };
        assert_eq!(role("Bearer see"), Ok(Role::View));
        assert_eq!(role("bearer do"), Ok(Role::Deploy));
        for wrong in [
            "Bearer other",
            "Bearer ",
            "see",
            "Basic see",
            "Bearer see do",
        ] {
            assert_eq!(role(wrong).unwrap_err().status, 401, "{wrong}");
        }
        assert_eq!(access.caller(&headers(&[]), HERE).unwrap_err().status, 401);
    }

    #[test]
    fn this_machines_programs_need_no_token_where_they_are_let_in() {
        let access = access(true);
        let may = |peer, all: &[(&'static str, &str)]| access.caller(&headers(all), peer).is_ok();
        for host in ["localhost:8080", "127.0.0.1", "[::1]:8080", "LOCALHOST"] {
            assert!(may(HERE, &[("host", host)]), "{host}");
        }
        assert!(!may(AWAY, &[("host", "localhost")]), "from elsewhere");
        assert!(!may(HERE, &[]), "no host");
        assert!(
            !may(HERE, &[("host", "evil.example:8080")]),
            "a name that leads here"
        );
        assert!(
            !may(
                HERE,
                &[
                    ("host", "localhost:8080"),
                    ("origin", "https://evil.example")
                ]
            ),
            "a page from elsewhere"
        );
        assert!(
            !may(
                HERE,
                &[("host", "localhost"), ("authorization", "Bearer wrong")]
            ),
            "a wrong token is not made up for"
        );
    }

    #[test]
    fn each_role_may_do_what_those_before_it_may() {
        assert!(Role::View < Role::Deploy && Role::Deploy < Role::Admin);
    }
}
