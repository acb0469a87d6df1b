//! Listening: the socket, TLS, and an orderly end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::service::{Service, TlsConfig};

/// How long requests that are being answered get when the service ends.
const GRACE: Duration = Duration::from_secs(5);
/// How long a client may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(10);
/// How many threads may wait for the disk or the compiler at a time.
const BLOCKING_THREADS: usize = 16;

/// Why the API can't be offered.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address can't be listened at.
    #[error("http.listen: can't listen at {address}: {source}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A file for TLS can't be used.
    #[error("http.tls.{key}: {}: {what}", file.display())]
    Tls {
        /// The key of the service's file.
        key: &'static str,
        /// The file that it names.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// No thread, or no event loop.
    #[error("can't start the HTTP API: {0}")]
    Start(#[from] io::Error),
}

/// The API while it is offered.
pub struct Server {
    address: SocketAddr,
    handle: Handle<SocketAddr>,
    thread: std::thread::JoinHandle<()>,
}

impl Server {
    /// Offers the API of a service, on a thread of its own.
    ///
    /// # Errors
    /// If the address is taken, a file for TLS can't be used, or no thread can be started.
    pub fn start(service: &Arc<Service>) -> Result<Self, ListenError> {
        let config = &service.config().http;
        let tls = config.tls.as_ref().map(tls).transpose()?;
        let bind = |address| {
            let listener = TcpListener::bind(address)?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) = bind(config.listen).map_err(|source| ListenError::Address {
            address: config.listen,
            source,
        })?;
        if tls.is_none() && !address.ip().is_loopback() {
            tracing::warn!(
                %address,
                "the API is open to other machines without TLS: tokens can be read on the way; set `http.tls`, unless something \
                 before it does TLS"
            );
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()?;
        let handle = Handle::new();
        let router = super::router(Arc::clone(service));
        let thread = std::thread::Builder::new().name("http".to_owned()).spawn({
            let handle = handle.clone();
            move || {
                let served = runtime.block_on(serve(listener, tls, handle, router));
                if let Err(error) = served {
                    tracing::error!(%error, "the HTTP API has ended");
                }
            }
        })?;
        Ok(Self {
            address,
            handle,
            thread,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it: requests that are being answered get a few seconds.
    pub fn stop(self) {
        self.handle.graceful_shutdown(Some(GRACE));
        // A thread that panicked has ended too.
        let _ = self.thread.join();
    }
}

async fn serve(
    listener: TcpListener,
    tls: Option<RustlsConfig>,
    handle: Handle<SocketAddr>,
    router: Router,
) -> io::Result<()> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    match tls {
        None => {
            let mut server = axum_server::from_tcp(listener)?.http1_only().handle(handle);
            patience(server.http_builder());
            server.serve(service).await
        }
        Some(tls) => {
            let mut server = axum_server::from_tcp_rustls(listener, tls)?
                .http1_only()
                .handle(handle);
            patience(server.http_builder());
            server.serve(service).await
        }
    }
}

/// A client that does not send the head of its request is let go.
fn patience<E>(builder: &mut hyper_util::server::conn::auto::Builder<E>) {
    builder
        .http1()
        .timer(hyper_util::rt::TokioTimer::new())
        .header_read_timeout(HEAD);
}

/// TLS 1.3 with the files that the service's file names.
fn tls(config: &TlsConfig) -> Result<RustlsConfig, ListenError> {
    let refuse = |key: &'static str, file: &Path, what: String| ListenError::Tls {
        key,
        file: file.to_owned(),
        what,
    };
    let file = &config.certificate;
    let certificates: Vec<CertificateDer> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| refuse("certificate", file, error.to_string()))?;
    if certificates.is_empty() {
        let what = "it holds no certificate in PEM".to_owned();
        return Err(refuse("certificate", file, what));
    }
    let key = PrivateKeyDer::from_pem_file(&config.key)
        .map_err(|error| refuse("key", &config.key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| refuse("certificate", file, error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|error| {
            refuse(
                "key",
                &config.key,
                format!("it does not go with the certificate: {error}"),
            )
        })?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(RustlsConfig::from_config(Arc::new(tls)))
}
