//! How many requests one client may make: a fixed number a second on average, twice that at once.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::problem::Problem;

/// After so many clients those that were not heard of for a while are forgotten.
const MANY: usize = 10_000;

/// Counts the requests of each client.
pub(super) struct Limits {
    clients: DefaultKeyedRateLimiter<IpAddr>,
    per_second: NonZeroU32,
}

impl Limits {
    pub(super) fn new(per_second: u32) -> Arc<Self> {
        let per_second = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(per_second).allow_burst(per_second.saturating_mul(TWICE));
        Arc::new(Self {
            clients: RateLimiter::keyed(quota),
            per_second,
        })
    }

    fn lets_through(&self, client: IpAddr) -> bool {
        if self.clients.len() > MANY {
            self.clients.retain_recent();
        }
        self.clients.check_key(&whose(client)).is_ok()
    }
}

const TWICE: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

/// Whose address it is: of IPv6, one client has 64 bits to choose from.
fn whose(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

/// Lets a request through unless its client has made too many.
pub(super) async fn within(
    State(limits): State<Arc<Limits>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if limits.lets_through(peer.ip()) {
        return next.run(request).await;
    }
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too-many-requests",
        "Too many requests",
        format!(
            "a client may make {} requests a second: wait a little, or raise `http.requests_per_second` in the service's \
             file",
            limits.per_second
        ),
    )
    .into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;

    #[test]
    fn each_client_has_its_own_share() {
        let limits = Limits::new(2);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let through = (0..10)
            .filter(|_| limits.lets_through(ip("192.0.2.1")))
            .count();
        assert!((4..10).contains(&through), "{through}");
        assert!(limits.lets_through(ip("192.0.2.2")), "another client");
        assert_eq!(whose(ip("2001:db8::1")), whose(ip("2001:db8::2")));
        assert_eq!(whose(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }
}
