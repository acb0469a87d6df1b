//! How brokers are reached and asked for records, as the settings of the Kafka client say, under librdkafka's names. Pure.
//!
//! Records are fetched by our own code, everything else by librdkafka, with the same settings. What only librdkafka can do is refused
//! when the settings are read, rather than when the first broker is reached.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::log::LogError;

/// Where records are fetched from and how.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(super) tls: Option<Tls>,
    pub(super) login: Option<Login>,
    /// Which addresses of a broker are used: all, or those of one family.
    pub(super) addresses: Addresses,
    /// How long a connection may take to be made, with everything that belongs to it.
    pub(super) setup_timeout: Duration,
    /// How long a broker may take to answer, beyond what it was asked to wait.
    pub(super) timeout: Duration,
    /// How long a broker waits for records when it has none, and for how many bytes.
    pub(super) wait: Duration,
    pub(super) min_bytes: i32,
    /// The most bytes of an answer, and of a partition in it; a single batch may be larger.
    pub(super) max_bytes: i32,
    pub(super) partition_max_bytes: i32,
    /// The largest answer that is taken at all.
    pub(super) max_frame: usize,
    /// Whether checksums are looked at.
    pub(super) checks: bool,
    /// Where this client is, so that brokers may name a replica nearby.
    pub(super) rack: String,
}

/// Which of a host's addresses are used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Addresses {
    Any,
    V4,
    V6,
}

/// TLS, with files that are read anew for each connection.
#[derive(Clone, Default, Eq, PartialEq)]
pub(super) struct Tls {
    pub(super) authorities: Option<PathBuf>,
    pub(super) authorities_pem: Option<String>,
    pub(super) revoked: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) certificate_pem: Option<String>,
    pub(super) key: Option<PathBuf>,
    pub(super) key_pem: Option<String>,
    pub(super) key_password: Option<String>,
    pub(super) keystore: Option<PathBuf>,
    pub(super) keystore_password: Option<String>,
    pub(super) ciphers: Option<String>,
    pub(super) curves: Option<String>,
    pub(super) signatures: Option<String>,
    /// Whether the broker's certificate must be good, and be for the host that was asked for.
    pub(super) verifies: bool,
    pub(super) verifies_host: bool,
}

/// Without keys and passwords.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("authorities", &self.authorities)
            .field("certificate", &self.certificate)
            .field("keystore", &self.keystore)
            .finish_non_exhaustive()
    }
}

/// Name and password, and how they are shown.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct Login {
    pub(super) mechanism: &'static str,
    pub(super) name: String,
    pub(super) password: String,
}

/// Without the password.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} as {}", self.mechanism, self.name)
    }
}

const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
/// What librdkafka could do and our own code can't.
const ONLY_LIBRDKAFKA: [&str; 3] = [
    "ssl.engine.location",
    "ssl.providers",
    "ssl.ca.certificate.stores",
];

impl Settings {
    /// From settings that librdkafka knows; others are passed over, since it has refused them already.
    ///
    /// # Errors
    /// [`LogError::Refused`] if records can't be fetched with them, with the name of the setting.
    pub(crate) fn read(settings: &BTreeMap<String, String>) -> Result<Self, LogError> {
        let of = Named(settings);
        if let Some(name) = ONLY_LIBRDKAFKA.iter().find(|name| of.text(name).is_some()) {
            return Err(refused(
                name,
                "is not supported: records could not be fetched with it",
            ));
        }
        let protocol = of.text("security.protocol").unwrap_or("plaintext");
        let (with_tls, with_login) = match protocol.to_ascii_lowercase().as_str() {
            "plaintext" => (false, false),
            "ssl" => (true, false),
            "sasl_plaintext" => (false, true),
            "sasl_ssl" => (true, true),
            _ => return Err(refused("security.protocol", "is not known")),
        };
        let addresses = match of.text("broker.address.family").unwrap_or("any") {
            "v4" => Addresses::V4,
            "v6" => Addresses::V6,
            _ => Addresses::Any,
        };
        let partition_max_bytes =
            of.either(["fetch.message.max.bytes", "max.partition.fetch.bytes"]);
        let max_frame: i64 = of.number("receive.message.max.bytes", 100_000_000)?;
        Ok(Self {
            tls: with_tls.then(|| tls(&of)).transpose()?,
            login: with_login.then(|| login(&of)).transpose()?,
            addresses,
            setup_timeout: of.millis("socket.connection.setup.timeout.ms", 30_000)?,
            timeout: of.millis("socket.timeout.ms", 60_000)?,
            wait: of.millis("fetch.wait.max.ms", 100)?,
            min_bytes: of.number("fetch.min.bytes", 1)?,
            max_bytes: of.number("fetch.max.bytes", 8 << 20)?,
            partition_max_bytes: match partition_max_bytes {
                Some(name) => of.number(name, 0)?,
                None => 1 << 20,
            },
            max_frame: usize::try_from(max_frame).unwrap_or(0),
            checks: of.flag("check.crcs", true)?,
            rack: of.text("client.rack").unwrap_or_default().to_owned(),
        })
    }
}

fn tls(of: &Named<'_>) -> Result<Tls, LogError> {
    let path = |name| of.text(name).map(PathBuf::from);
    let text = |name| of.text(name).map(str::to_owned);
    let checks_host = of.text("ssl.endpoint.identification.algorithm");
    Ok(Tls {
        authorities: path("ssl.ca.location"),
        authorities_pem: text("ssl.ca.pem"),
        revoked: path("ssl.crl.location"),
        certificate: path("ssl.certificate.location"),
        certificate_pem: text("ssl.certificate.pem"),
        key: path("ssl.key.location"),
        key_pem: text("ssl.key.pem"),
        key_password: text("ssl.key.password"),
        keystore: path("ssl.keystore.location"),
        keystore_password: text("ssl.keystore.password"),
        ciphers: text("ssl.cipher.suites"),
        curves: text("ssl.curves.list"),
        signatures: text("ssl.sigalgs.list"),
        verifies: of.flag("enable.ssl.certificate.verification", true)?,
        verifies_host: checks_host != Some("none"),
    })
}

fn login(of: &Named<'_>) -> Result<Login, LogError> {
    let setting = of.either(["sasl.mechanisms", "sasl.mechanism"]);
    let asked = setting.and_then(|name| of.text(name)).unwrap_or("GSSAPI");
    let known = MECHANISMS.into_iter().find(|known| *known == asked);
    let mechanism = known.ok_or_else(|| {
        let why = format!(
            "is {asked}; records are fetched with {}",
            MECHANISMS.join(", ")
        );
        refused("sasl.mechanism", &why)
    })?;
    let text = |name| {
        let text = of.text(name).map(str::to_owned);
        text.ok_or_else(|| refused(name, "is missing"))
    };
    Ok(Login {
        mechanism,
        name: text("sasl.username")?,
        password: text("sasl.password")?,
    })
}

/// Settings by their names.
struct Named<'a>(&'a BTreeMap<String, String>);

impl Named<'_> {
    /// A setting that is not empty, which is how librdkafka is told that there is none.
    fn text(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    }

    /// Which of two names of one setting is used.
    fn either<'n>(&self, names: [&'n str; 2]) -> Option<&'n str> {
        names.into_iter().find(|name| self.text(name).is_some())
    }

    fn number<T: std::str::FromStr>(&self, name: &str, default: T) -> Result<T, LogError> {
        let Some(text) = self.text(name) else {
            return Ok(default);
        };
        text.parse()
            .map_err(|_| refused(name, "is no number, or too large"))
    }

    fn millis(&self, name: &str, default: u64) -> Result<Duration, LogError> {
        self.number(name, default).map(Duration::from_millis)
    }

    fn flag(&self, name: &str, default: bool) -> Result<bool, LogError> {
        match self.text(name).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(default),
            Some("true" | "t" | "1") => Ok(true),
            Some("false" | "f" | "0") => Ok(false),
            Some(_) => Err(refused(name, "is neither true nor false")),
        }
    }
}

fn refused(name: &str, why: &str) -> LogError {
    LogError::Refused(format!("the setting {name} of the Kafka client {why}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<Settings, String> {
        let settings = settings
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Settings::read(&settings.collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn without_settings_brokers_are_reached_in_the_open() {
        let settings = read(&[]).unwrap();
        assert!(settings.tls.is_none() && settings.login.is_none() && settings.checks);
        assert_eq!(settings.addresses, Addresses::Any);
    }

    #[test]
    fn tls_and_login_are_had_where_the_protocol_names_them() {
        let login = [
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", "me"),
            ("sasl.password", "secret"),
            ("ssl.key.pem", "secret"),
            ("ssl.key.password", "secret"),
            ("ssl.keystore.password", "secret"),
        ];
        for (protocol, tls, logs_in) in [
            ("PLAINTEXT", false, false),
            ("ssl", true, false),
            ("SASL_PLAINTEXT", false, true),
            ("sasl_ssl", true, true),
        ] {
            let settings =
                read(&[&login[..], &[("security.protocol", protocol)]].concat()).unwrap();
            assert_eq!(
                (settings.tls.is_some(), settings.login.is_some()),
                (tls, logs_in)
            );
            let shown = format!("{settings:?}");
            assert!(!shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn either_name_of_a_setting_is_taken() {
        let of = |name| {
            read(&[
                ("security.protocol", "sasl_ssl"),
                (name, "PLAIN"),
                ("sasl.username", "a"),
                ("sasl.password", "b"),
            ])
        };
        for name in ["sasl.mechanism", "sasl.mechanisms"] {
            assert_eq!(of(name).unwrap().login.unwrap().mechanism, "PLAIN");
        }
        for name in ["fetch.message.max.bytes", "max.partition.fetch.bytes"] {
            assert_eq!(read(&[(name, "7")]).unwrap().partition_max_bytes, 7);
        }
    }

    #[test]
    fn what_records_cannot_be_fetched_with_is_refused_by_name() {
        let sasl = ("security.protocol", "sasl_plaintext");
        for (settings, named) in [
            (vec![sasl], "sasl.mechanism"),
            (vec![sasl, ("sasl.mechanism", "OAUTHBEARER")], "OAUTHBEARER"),
            (vec![sasl, ("sasl.mechanism", "PLAIN")], "sasl.username"),
            (vec![("ssl.engine.location", "x")], "ssl.engine.location"),
            (vec![("check.crcs", "perhaps")], "check.crcs"),
            (vec![("fetch.min.bytes", "99999999999")], "fetch.min.bytes"),
        ] {
            let error = read(&settings).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
