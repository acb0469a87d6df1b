//! The API of a service, from outside.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::de::DeserializeOwned;
use ureq::http::Response;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::typestate::WithBody;
use ureq::{Agent, Body, SendBody};

use super::Service;
use crate::cli::Failure;
use crate::server::Problem;

/// How long a service may take to be reached.
const CONNECT: Duration = Duration::from_secs(10);
/// How long it may take to answer: an upload is compiled.
const ANSWER: Duration = Duration::from_secs(300);
/// What is sent without asking first.
const LARGE: u64 = 16 << 10;
/// The largest answer that is read.
const LARGEST: u64 = 64 << 20;

/// Asks one service.
pub(super) struct Client {
    agent: Agent,
    server: String,
    token: Option<String>,
}

impl Client {
    /// A client with the token of the environment, if there is one. Nothing is asked yet.
    ///
    /// # Errors
    /// If a certificate can't be read.
    pub(super) fn new(service: &Service) -> Result<Self, Failure> {
        let server = service.server.trim_end_matches('/').to_owned();
        let is_secure = server.starts_with("https://");
        if !is_secure && !server.starts_with("http://") {
            return Err(Failure::Usage(format!(
                "--server: {server:?} is not a URL: write http://HOST:PORT or https://HOST:PORT"
            )));
        }
        let mut config = Agent::config_builder()
            // An answer that is an error has a problem to read.
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .max_redirects(0)
            // What the environment says of proxies is for the web.
            .proxy(None);
        if is_secure {
            config = config.tls_config(tls(service.ca.as_deref())?);
        }
        let token = std::env::var("MILLSTREAM_TOKEN").ok();
        Ok(Self {
            agent: config.build().new_agent(),
            server,
            token: token.filter(|token| !token.is_empty()),
        })
    }

    /// What a path says.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let request = self.agent.get(self.url(path));
        self.read(self.with_token(request).call())
    }

    /// What a path says to a question.
    pub(super) fn get_with<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        let pairs = query.iter().map(|(name, value)| (*name, value.as_str()));
        let request = self.agent.get(self.url(path)).query_pairs(pairs);
        self.read(self.with_token(request).call())
    }

    /// The bytes that are at a path.
    pub(super) fn bytes(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let request = self.agent.get(self.url(path));
        let mut answer = self.checked(self.with_token(request).call())?;
        answer
            .body_mut()
            .with_config()
            .limit(LARGEST)
            .read_to_vec()
            .map_err(|error| self.strange(&error.to_string()))
    }

    /// Sends a body, and what is answered to it.
    pub(super) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        media_type: &str,
        body: impl Read,
        size: u64,
    ) -> Result<T, Failure> {
        self.send(self.agent.post(self.url(path)), media_type, body, size)
    }

    /// Sends a value as JSON, and what is answered to it.
    pub(super) fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        value: &impl serde::Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(value).map_err(anyhow::Error::from)?;
        self.post(path, "application/json", body.as_slice(), body.len() as u64)
    }

    /// Puts a body in the place of what is at a path, and what is answered to it.
    pub(super) fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        media_type: &str,
        body: &[u8],
    ) -> Result<T, Failure> {
        let request = self.agent.put(self.url(path));
        self.send(request, media_type, body, body.len() as u64)
    }

    fn send<T: DeserializeOwned>(
        &self,
        request: ureq::RequestBuilder<WithBody>,
        media_type: &str,
        body: impl Read,
        size: u64,
    ) -> Result<T, Failure> {
        let request = request
            .header("content-type", media_type)
            .header("content-length", size.to_string());
        // A service that says no to a large body says so before it is sent, and is heard.
        let request = match size {
            0..=LARGE => request,
            _ => request.header("expect", "100-continue"),
        };
        let mut body = body;
        self.read(
            self.with_token(request)
                .send(SendBody::from_reader(&mut body)),
        )
    }

    /// Deletes what is at a path.
    pub(super) fn delete(&self, path: &str) -> Result<(), Failure> {
        let request = self.agent.delete(self.url(path));
        self.checked(self.with_token(request).call()).map(drop)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server)
    }

    fn with_token<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    fn read<T: DeserializeOwned>(
        &self,
        answer: Result<Response<Body>, ureq::Error>,
    ) -> Result<T, Failure> {
        let mut answer = self.checked(answer)?;
        answer
            .body_mut()
            .with_config()
            .limit(LARGEST)
            .read_json()
            .map_err(|error| self.strange(&error.to_string()))
    }

    /// The answer, unless it tells of a problem.
    fn checked(
        &self,
        answer: Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, Failure> {
        let mut answer = answer.map_err(|error| {
            Failure::Other(anyhow::anyhow!(
                "{} does not answer: {error}: is the service running (`millstream serve`), and is this its address \
                 (--server, MILLSTREAM_SERVER)?",
                self.server
            ))
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let problem: Problem = answer
            .body_mut()
            .with_config()
            .limit(LARGEST)
            .read_json()
            .map_err(|_| self.strange(&format!("it answered {status}")))?;
        let advice = match (status.as_u16(), &self.token) {
            (401, None) => " (set MILLSTREAM_TOKEN)",
            (401, Some(_)) => " (MILLSTREAM_TOKEN is set to another one)",
            _ => "",
        };
        let text = format!("{}{advice}", problem.detail);
        Err(match status.as_u16() {
            422 if problem.kind.ends_with(":plugin-refused") => Failure::Plugin(text),
            400 | 404 | 409 | 422 => Failure::Usage(text),
            _ => Failure::Other(anyhow::anyhow!(text)),
        })
    }

    fn strange(&self, what: &str) -> Failure {
        Failure::Other(anyhow::anyhow!(
            "{} answers, but not like a Millstream service of this release: {what}",
            self.server
        ))
    }
}

/// Trusts a certificate, or what the machine trusts.
fn tls(ca: Option<&Path>) -> Result<TlsConfig, Failure> {
    let usage = |what: String| Failure::Usage(what);
    let roots: Vec<CertificateDer> = match ca {
        Some(file) => CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect)
            .map_err(|error| usage(format!("--ca: {}: {error}", file.display())))?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let roots = roots
        .iter()
        .map(|root| Certificate::from_der(root).to_owned());
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::from(roots))
        .build())
}
