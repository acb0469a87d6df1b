//! Settings of the Kafka client: which are the user's, which are Millstream's own, and which are never shown.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use toml::Spanned;

use super::error::Finding;
use super::variables::Substituted;

/// Settings for librdkafka under its own names. Both [`fmt::Debug`] and [`fmt::Display`] show `***` in place of values
/// that may be secret: those whose names sound like it, and those that came from the environment or a file.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct KafkaSettings {
    settings: BTreeMap<String, Hideable>,
}

#[derive(Clone, Eq, PartialEq)]
struct Hideable {
    value: String,
    hidden: bool,
}

impl KafkaSettings {
    /// Names and values, by name. The values are in the clear: they are for the client only.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings
            .iter()
            .map(|(name, setting)| (name.as_str(), setting.value.as_str()))
    }

    /// The value of one setting, in the clear.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(|setting| &*setting.value)
    }

    fn insert(&mut self, name: String, value: String, from_outside: bool) {
        let hidden = from_outside || sounds_secret(&name);
        self.settings.insert(name, Hideable { value, hidden });
    }

    /// The settings of the file's table, if none is Millstream's own and the brokers are named.
    pub(super) fn of_table(
        table: Spanned<BTreeMap<Spanned<String>, Spanned<Setting>>>,
        substituted: &Substituted,
        findings: &mut Vec<Finding>,
    ) -> Self {
        let span = table.span();
        let mut settings = KafkaSettings::default();
        for (name, value) in table.into_inner() {
            if let Some(reason) = why_owned(name.get_ref()) {
                let message = format!("`{}` can't be set: {reason}", name.get_ref());
                findings.push(Finding::new(name.span(), message));
            }
            let from_outside = substituted.contains(&value.span());
            settings.insert(name.into_inner(), value.into_inner().0, from_outside);
        }
        let named = |name| settings.get(name).is_some_and(|value| !value.is_empty());
        if !BROKERS.into_iter().any(named) {
            findings.push(
                Finding::new(span, "missing key `bootstrap.servers`")
                    .hint("quote it, since it has a dot: \"bootstrap.servers\" = \"host:9092\""),
            );
        }
        settings
    }
}

impl FromIterator<(String, String)> for KafkaSettings {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(settings: I) -> Self {
        let mut all = KafkaSettings::default();
        for (name, value) in settings {
            all.insert(name, value, false);
        }
        all
    }
}

impl fmt::Debug for Hideable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

impl Hideable {
    fn shown(&self) -> &str {
        if self.hidden { "***" } else { &self.value }
    }
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.settings).finish()
    }
}

/// `name=value, name=value`.
impl fmt::Display for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, setting)) in self.settings.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{name}={}", setting.shown())?;
        }
        Ok(())
    }
}

/// The names under which librdkafka takes the list of brokers.
const BROKERS: [&str; 2] = ["bootstrap.servers", "metadata.broker.list"];

/// Whether a setting of that name may hold a secret. Some that do not are hidden too, such as the path in
/// `ssl.key.location`: a secret in a log can't be taken back.
fn sounds_secret(name: &str) -> bool {
    const PARTS: [&str; 8] = [
        "password",
        "secret",
        "key",
        "token",
        "jaas",
        "credential",
        "assertion",
        "oauthbearer.config",
    ];
    let name = name.to_ascii_lowercase();
    PARTS.iter().any(|part| name.contains(part))
}

/// Why Millstream does not leave a setting to the user; `None` if it does.
fn why_owned(name: &str) -> Option<&'static str> {
    match name {
        "group.id" => Some("the pipeline's `name` is its group"),
        "group.instance.id" => Some("every worker is a member of its own"),
        "transactional.id" => Some("it is made of the pipeline's `name` and the worker's number"),
        "enable.auto.commit"
        | "auto.commit.enable"
        | "auto.commit.interval.ms"
        | "enable.auto.offset.store" => {
            Some("offsets are committed in the transaction of the results")
        }
        "isolation.level" => Some("records of undecided transactions are never read"),
        "enable.idempotence" | "acks" | "request.required.acks" => {
            Some("results are written in transactions, which fix it")
        }
        "auto.offset.reset" => Some("`start` in `[source]` says where to begin"),
        "allow.auto.create.topics" => Some("`create_topics` in `[log]` says it"),
        "partition.assignment.strategy" => Some("the workers move partitions in their own way"),
        "enable.partition.eof" => Some("the workers find the end of a partition themselves"),
        _ => None,
    }
}

/// The value of a setting, as the text that librdkafka takes.
pub(super) struct Setting(String);

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;

        impl Visitor<'_> for Scalar {
            type Value = Setting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a string, number or boolean (a name with dots needs quotes, as in \
                     \"bootstrap.servers\")",
                )
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Setting, E> {
                Ok(Setting(value.to_owned()))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Setting, E> {
                Ok(Setting(value.to_string()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Setting, E> {
                Ok(Setting(value.to_string()))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Setting, E> {
                Ok(Setting(value.to_string()))
            }
        }

        deserializer.deserialize_any(Scalar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_by_name() {
        let names = [
            "sasl.password",
            "ssl.key.pem",
            "ssl.keystore.password",
            "SSL.KEY.PASSWORD",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.config",
            "sasl.jaas.config",
        ];
        let settings: KafkaSettings = names
            .map(|name| (name.to_owned(), "hunter2".to_owned()))
            .into_iter()
            .collect();
        for shown in [format!("{settings:?}"), settings.to_string()] {
            assert!(!shown.contains("hunter2"), "{shown}");
            assert_eq!(shown.matches("***").count(), names.len(), "{shown}");
        }
        assert_eq!(settings.get("sasl.password"), Some("hunter2"));
    }

    #[test]
    fn what_is_no_secret_is_shown() {
        let settings: KafkaSettings = [
            ("linger.ms".to_owned(), "5".to_owned()),
            ("sasl.username".to_owned(), "ann".to_owned()),
        ]
        .into_iter()
        .collect();
        assert_eq!(settings.to_string(), "linger.ms=5, sasl.username=ann");
        assert_eq!(
            format!("{settings:?}"),
            "{\"linger.ms\": 5, \"sasl.username\": ann}"
        );
    }
}
