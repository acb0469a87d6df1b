//! The service's own file, `millstream.toml`: where it keeps things, who may talk to it, and how patient it is.
//! `examples/service/millstream.toml` shows every key.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use super::machine::Backoff;
use crate::pipeline::config::{ConfigError, FromText, PositiveDuration, Written, table};
use crate::plugin::MAX_FILE_BYTES;
use crate::registry::{PublicKey, Trust};

/// What a service is told.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// The folder of what it keeps across restarts.
    pub data: PathBuf,
    /// The folder of pipeline files that it runs besides those created through the API.
    pub pipelines: Option<PathBuf>,
    /// The folder whose components, `PIPELINE/STEP.wasm`, are deployed into running pipelines.
    pub deploys: Option<PathBuf>,
    /// Environment variables that pipelines created through the API may put into their values.
    pub variables: Vec<String>,
    /// Where and for whom the API is.
    pub http: HttpConfig,
    /// Whose plugins it takes.
    pub trust: Trust,
    /// How long it waits before it starts a pipeline again that has failed.
    pub restart: Backoff,
}

/// Where the API listens, who may use it and how much of it.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// The address.
    pub listen: SocketAddr,
    /// Whether programs on this machine may do everything without a token.
    pub open_to_loopback: bool,
    /// The certificate and its key, for TLS.
    pub tls: Option<TlsConfig>,
    /// Who may use it.
    pub tokens: Vec<TokenConfig>,
    /// How many bytes the body of a request may have; a plugin has a limit of its own.
    pub body_limit: usize,
    /// How many bytes a plugin may have.
    pub plugin_limit: u64,
    /// How long a request may take, an upload ten times as long.
    pub request_timeout: Duration,
    /// How many requests one client may make in a second, on average.
    pub requests_per_second: u32,
}

/// Files for TLS, in PEM.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate, and those between it and a root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Somebody who may use the API.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// What the log calls them.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The SHA-256 of their token.
    pub sha256: [u8; 32],
}

/// What somebody may do. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, clap::ValueEnum)]
pub enum Role {
    /// Look at everything.
    View,
    /// Create, pause and resume pipelines, push plugins.
    Deploy,
    /// Reset and delete.
    Admin,
}

impl Role {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Role::View => "view",
            Role::Deploy => "deploy",
            Role::Admin => "admin",
        }
    }
}

/// Why a service has no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ServiceConfigError {
    /// The environment's fault.
    #[error("can't read the service's file {}: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file's fault: each mistake with its place and key.
    #[error(transparent)]
    Mistakes(#[from] ConfigError),
    /// The file's fault: keys that don't go together.
    #[error("{}: {what}", file.display())]
    Contradiction {
        /// The file.
        file: PathBuf,
        /// The keys, what is wrong with them, and what to do.
        what: String,
    },
}

/// Reads and checks a service's file. Paths in it are taken relative to its folder.
///
/// # Errors
/// If it can't be read, or what it says is wrong.
pub fn load(file: &Path) -> Result<ServiceConfig, ServiceConfigError> {
    let text = std::fs::read_to_string(file).map_err(|source| ServiceConfigError::Unreadable {
        file: file.to_owned(),
        source,
    })?;
    parse(&text, file)
}

/// Checks the text of a service's file, given where it lies.
///
/// # Errors
/// If what it says is wrong.
pub fn parse(text: &str, file: &Path) -> Result<ServiceConfig, ServiceConfigError> {
    let table: ServiceTable = table(text).map_err(|error| error.in_file(file))?;
    let folder = file.parent().unwrap_or(Path::new(""));
    table
        .into_config(folder)
        .map_err(|what| ServiceConfigError::Contradiction {
            file: file.to_owned(),
            what,
        })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceTable {
    data: Written<PathBuf>,
    pipelines: Option<Written<PathBuf>>,
    deploys: Option<Written<PathBuf>>,
    #[serde(default)]
    variables: Vec<String>,
    #[serde(default)]
    http: HttpTable,
    #[serde(default)]
    plugins: PluginsTable,
    #[serde(default)]
    restart: RestartTable,
    #[serde(default)]
    token: Vec<TokenTable>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpTable {
    listen: Option<Written<SocketAddr>>,
    #[serde(default)]
    open_to_loopback: bool,
    tls: Option<TlsConfig>,
    body_limit: Option<Written<ByteSize>>,
    plugin_limit: Option<Written<ByteSize>>,
    request_timeout: Option<Written<PositiveDuration>>,
    requests_per_second: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginsTable {
    #[serde(default)]
    require_signature: bool,
    #[serde(default)]
    key: Vec<KeyTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyTable {
    name: String,
    ed25519: Written<PublicKey>,
}

impl PluginsTable {
    fn into_trust(self) -> Result<Trust, String> {
        let mut keys: Vec<(String, PublicKey)> = Vec::new();
        for key in self.key {
            if keys.iter().any(|(name, _)| *name == key.name) {
                return Err(format!(
                    "plugins.key.name: two keys are called {:?}: give each its own name",
                    key.name
                ));
            }
            keys.push((key.name, key.ed25519.0));
        }
        if self.require_signature && keys.is_empty() {
            return Err(
                "plugins.require_signature: nobody could sign: add a `[[plugins.key]]` (`millstream plugin keygen` makes one)"
                    .to_owned(),
            );
        }
        Ok(Trust {
            keys,
            required: self.require_signature,
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RestartTable {
    first: Option<Written<PositiveDuration>>,
    longest: Option<Written<PositiveDuration>>,
    steady_after: Option<Written<PositiveDuration>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenTable {
    name: String,
    role: Written<Role>,
    sha256: Written<Sha256Hex>,
}

impl FromText for SocketAddr {
    const EXPECTED: &'static str = "an IP address and a port, such as \"127.0.0.1:8080\"";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl FromText for Role {
    const EXPECTED: &'static str = "one of \"view\", \"deploy\", \"admin\"";

    fn from_text(text: &str) -> Option<Self> {
        let all = [Role::View, Role::Deploy, Role::Admin];
        all.into_iter().find(|role| role.name() == text)
    }
}

impl FromText for PublicKey {
    const EXPECTED: &'static str =
        "an Ed25519 key in 64 hexadecimal digits, as `millstream plugin keygen` prints it";

    fn from_text(text: &str) -> Option<Self> {
        PublicKey::from_text(text)
    }
}

struct Sha256Hex([u8; 32]);

impl FromText for Sha256Hex {
    const EXPECTED: &'static str =
        "the SHA-256 of a token in 64 hexadecimal digits, as `millstream token` prints it";

    fn from_text(text: &str) -> Option<Self> {
        digest_of_hex(text).map(Self)
    }
}

/// The 32 bytes that 64 hexadecimal digits stand for.
pub(crate) fn digest_of_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let is_hex = digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit);
    let mut bytes = [0; 32];
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2).filter(|_| is_hex)?, 16).ok()?;
    }
    Some(bytes)
}

impl ServiceTable {
    fn into_config(self, folder: &Path) -> Result<ServiceConfig, String> {
        let http = self.http;
        if self.token.is_empty() && !http.open_to_loopback {
            return Err(
                "nobody could use the API: add a `[[token]]` (`millstream token` makes one), or set \
                 `http.open_to_loopback = true` for a machine that only you use"
                    .to_owned(),
            );
        }
        let mut tokens: Vec<TokenConfig> = Vec::new();
        for token in self.token {
            if tokens.iter().any(|known| known.name == token.name) {
                return Err(format!(
                    "token.name: two tokens are called {:?}: give each its own name, by which the log tells them apart",
                    token.name
                ));
            }
            tokens.push(TokenConfig {
                name: token.name,
                role: token.role.0,
                sha256: token.sha256.0.0,
            });
        }
        let restart = Backoff::default();
        let duration = |written: Option<Written<PositiveDuration>>, default: Duration| {
            written.map_or(default, |duration| duration.0.0)
        };
        let restart = Backoff {
            first: duration(self.restart.first, restart.first),
            longest: duration(self.restart.longest, restart.longest),
            steady_after: duration(self.restart.steady_after, restart.steady_after),
        };
        if restart.first > restart.longest {
            return Err(
                "restart.first: it is longer than `restart.longest`: the first wait is the shortest".to_owned(),
            );
        }
        let plugin_limit = http
            .plugin_limit
            .map_or(MAX_FILE_BYTES, |size| size.0.as_u64());
        if plugin_limit > MAX_FILE_BYTES {
            return Err(format!(
                "http.plugin_limit: at most {} are taken: no component may be larger",
                ByteSize(MAX_FILE_BYTES)
            ));
        }
        let requests_per_second = http.requests_per_second.unwrap_or(50);
        if requests_per_second == 0 {
            return Err("http.requests_per_second: expected a number above zero".to_owned());
        }
        let body_limit = http.body_limit.map_or(1 << 20, |size| size.0.as_u64());
        Ok(ServiceConfig {
            data: folder.join(self.data.0),
            pipelines: self.pipelines.map(|pipelines| folder.join(pipelines.0)),
            deploys: self.deploys.map(|deploys| folder.join(deploys.0)),
            variables: self.variables,
            http: HttpConfig {
                listen: http
                    .listen
                    .map_or(SocketAddr::from(([127, 0, 0, 1], 8080)), |listen| listen.0),
                open_to_loopback: http.open_to_loopback,
                tls: http.tls.map(|tls| TlsConfig {
                    certificate: folder.join(tls.certificate),
                    key: folder.join(tls.key),
                }),
                tokens,
                body_limit: usize::try_from(body_limit).unwrap_or(usize::MAX),
                plugin_limit,
                request_timeout: duration(http.request_timeout, Duration::from_secs(30)),
                requests_per_second,
            },
            trust: self.plugins.into_trust()?,
            restart,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;

    fn read(text: &str) -> Result<ServiceConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("millstream.toml");
        std::fs::write(&file, text).unwrap();
        load(&file).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let config = read("data = \"d\"\nhttp.open_to_loopback = true").unwrap();
        assert!(config.data.is_absolute() && config.data.ends_with("d"));
        assert_eq!(config.pipelines, None);
        assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.http.plugin_limit, 64 << 20);
        assert_eq!(config.restart, Backoff::default());
    }

    #[test]
    fn a_mistake_is_named_with_its_file_and_key() {
        let told = |text: &str| read(text).unwrap_err();
        let unknown = told("data = \"d\"\n[http]\nlistn = \"127.0.0.1:1\"");
        assert!(
            unknown.contains(
                "millstream.toml:3:1: http.listn: unknown key `listn`, did you mean `listen`?"
            ),
            "{unknown}"
        );
        let address = told("data = \"d\"\n[http]\nlisten = \"localhost\"");
        assert!(
            address.contains("http.listen: expected an IP address and a port"),
            "{address}"
        );
        let role = told("data = \"d\"\n[[token]]\nname = \"a\"\nrole = \"root\"\nsha256 = \"00\"");
        assert!(role.contains("role: expected one of \"view\""), "{role}");
        let nobody = told("data = \"d\"");
        assert!(
            nobody.contains("millstream.toml: nobody could use the API"),
            "{nobody}"
        );
        let order = told("data = \"d\"\nhttp.open_to_loopback = true\nrestart.first = \"2h\"");
        assert!(order.contains("restart.first: it is longer"), "{order}");
        let large =
            told("data = \"d\"\nhttp.open_to_loopback = true\nhttp.plugin_limit = \"1GiB\"");
        assert!(
            large.contains("http.plugin_limit: at most 64.0 MiB"),
            "{large}"
        );
        let nobody =
            told("data = \"d\"\nhttp.open_to_loopback = true\nplugins.require_signature = true");
        assert!(
            nobody.contains("plugins.require_signature: nobody could sign"),
            "{nobody}"
        );
        let key = told("data = \"d\"\n[[plugins.key]]\nname = \"ci\"\ned25519 = \"00\"");
        assert!(key.contains("ed25519: expected an Ed25519 key"), "{key}");
        let missing = load(Path::new("no-such-file")).unwrap_err().to_string();
        assert!(missing.contains("no-such-file"), "{missing}");
    }

    #[test]
    fn hexadecimal_digits_are_read_and_nothing_else() {
        let text = "00ff".repeat(16);
        let bytes = digest_of_hex(&text).unwrap();
        assert_eq!((bytes[0], bytes[1], bytes[31]), (0, 255, 255));
        for wrong in [
            "",
            "00",
            &"g0".repeat(32),
            &"é".repeat(32),
            &"+1".repeat(32),
        ] {
            assert_eq!(digest_of_hex(wrong), None, "{wrong}");
        }
    }
}
