//! How single values are written: durations, sizes, names, choices, counts.
//!
//! Each type says in a sentence what it expects; a refusal repeats that sentence and never the value, which may have
//! come from a secret.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use jiff::SignedDuration;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::model::{Delivery, Start};
use crate::decode::{Format, TimeUnit};

/// A value that the file writes as a string.
pub(crate) trait FromText: Sized {
    /// What a good value is, to stand after "expected".
    const EXPECTED: &'static str;

    /// The value, if `text` is one.
    fn from_text(text: &str) -> Option<Self>;
}

/// Reads a [`FromText`] value with serde.
pub(crate) struct Written<T>(pub(crate) T);

impl<'de, T: FromText> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<T>(PhantomData<T>);

        impl<T: FromText> Visitor<'_> for Text<T> {
            type Value = Written<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                T::from_text(text)
                    .map(Written)
                    .ok_or_else(|| E::custom(format_args!("expected {}", T::EXPECTED)))
            }
        }

        deserializer.deserialize_str(Text(PhantomData))
    }
}

/// The longest duration: beyond a century it is a slip, and sums with event times stay far from overflow.
const LONGEST: Duration = Duration::from_secs(876_000 * 3600);

/// Whole milliseconds, zero included.
impl FromText for Duration {
    const EXPECTED: &'static str = "a duration with its unit, such as \"5s\" or \"1h 30m\", in whole milliseconds \
                                    and of at most 876000h";

    fn from_text(text: &str) -> Option<Self> {
        let signed: SignedDuration = text.parse().ok()?;
        let duration = Duration::try_from(signed).ok()?;
        let whole = duration.subsec_nanos().is_multiple_of(1_000_000);
        (whole && duration <= LONGEST).then_some(duration)
    }
}

/// A duration above zero.
pub(crate) struct PositiveDuration(pub(crate) Duration);

impl FromText for PositiveDuration {
    const EXPECTED: &'static str = "a duration above zero with its unit, such as \"100ms\" or \"1m\", in whole \
                                    milliseconds and of at most 876000h";

    fn from_text(text: &str) -> Option<Self> {
        let duration = Duration::from_text(text)?;
        (!duration.is_zero()).then_some(Self(duration))
    }
}

/// A number of bytes with its unit, above zero. A bare number is refused, since it does not say bytes of what.
impl FromText for ByteSize {
    const EXPECTED: &'static str = "a size above zero with its unit, such as \"16MiB\"";

    fn from_text(text: &str) -> Option<Self> {
        let has_unit = text.ends_with(|last: char| last.is_ascii_alphabetic());
        let size: ByteSize = text.parse().ok()?;
        (has_unit && size.as_u64() > 0).then_some(size)
    }
}

/// The memory of a guest with 32-bit addresses.
pub(super) struct GuestMemory(pub(super) ByteSize);

impl FromText for GuestMemory {
    const EXPECTED: &'static str = "a size from \"64KiB\" to \"4GiB\" with its unit";

    fn from_text(text: &str) -> Option<Self> {
        let size = ByteSize::from_text(text)?;
        (ByteSize::kib(64)..=ByteSize::gib(4))
            .contains(&size)
            .then_some(Self(size))
    }
}

/// What a guest may write to the log in a second: at least one whole message.
pub(super) struct LogBytes(pub(super) ByteSize);

impl FromText for LogBytes {
    const EXPECTED: &'static str = "a size from \"4KiB\" to \"1GiB\" with its unit";

    fn from_text(text: &str) -> Option<Self> {
        let size = ByteSize::from_text(text)?;
        (ByteSize::kib(4)..=ByteSize::gib(1))
            .contains(&size)
            .then_some(Self(size))
    }
}

/// A pipeline's name. Kafka takes it in the names of groups and transactions, file systems in the names of folders.
pub(super) struct PipelineName(pub(super) String);

impl FromText for PipelineName {
    const EXPECTED: &'static str = "1 to 64 lower-case letters, digits and hyphens";

    fn from_text(text: &str) -> Option<Self> {
        let allowed = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let good = (1..=64).contains(&text.len()) && text.bytes().all(allowed);
        good.then(|| Self(text.to_owned()))
    }
}

/// A step's name. Underscores and capitals are in it because file names have them.
pub(super) struct StepName(pub(super) String);

impl FromText for StepName {
    const EXPECTED: &'static str = "1 to 64 letters, digits, hyphens and underscores";

    fn from_text(text: &str) -> Option<Self> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
        let good = (1..=64).contains(&text.len()) && text.bytes().all(allowed);
        good.then(|| Self(text.to_owned()))
    }
}

/// A topic's name, by Kafka's rule.
pub(super) struct TopicName(pub(super) String);

impl FromText for TopicName {
    const EXPECTED: &'static str = "the name of a topic: 1 to 249 letters, digits, dots, hyphens and underscores, \
                                    and neither \".\" nor \"..\"";

    fn from_text(text: &str) -> Option<Self> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
        let good = (1..=249).contains(&text.len())
            && text.bytes().all(allowed)
            && !matches!(text, "." | "..");
        good.then(|| Self(text.to_owned()))
    }
}

/// The path of a field.
pub(super) struct FieldPath(pub(super) String);

impl FromText for FieldPath {
    const EXPECTED: &'static str =
        "the name of a field, with dots between the parts of a path, such as \"user.id\"";

    fn from_text(text: &str) -> Option<Self> {
        let good = text.split('.').all(|part| !part.is_empty());
        good.then(|| Self(text.to_owned()))
    }
}

/// The path of a file or folder.
impl FromText for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn from_text(text: &str) -> Option<Self> {
        let good = !text.is_empty() && !text.contains('\0');
        good.then(|| PathBuf::from(text))
    }
}

impl FromText for Format {
    const EXPECTED: &'static str = "one of \"json\", \"access-log\", \"raw\"";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "json" => Some(Format::Json),
            "access-log" => Some(Format::AccessLog),
            "raw" => Some(Format::Raw),
            _ => None,
        }
    }
}

impl FromText for TimeUnit {
    const EXPECTED: &'static str = "one of \"ms\", \"s\", \"rfc3339\"";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "ms" => Some(TimeUnit::Millis),
            "s" => Some(TimeUnit::Seconds),
            "rfc3339" => Some(TimeUnit::Rfc3339),
            _ => None,
        }
    }
}

impl FromText for Start {
    const EXPECTED: &'static str = "one of \"earliest\", \"latest\"";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "earliest" => Some(Start::Earliest),
            "latest" => Some(Start::Latest),
            _ => None,
        }
    }
}

impl FromText for Delivery {
    const EXPECTED: &'static str = "one of \"exactly-once\", \"at-least-once\"";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "exactly-once" => Some(Delivery::ExactlyOnce),
            "at-least-once" => Some(Delivery::AtLeastOnce),
            _ => None,
        }
    }
}

/// How many there are of something: at least one.
pub(super) struct Count(pub(super) i32);

impl Count {
    /// The same number without a sign.
    pub(super) fn get(&self) -> u32 {
        self.0.unsigned_abs()
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(UpTo(i32::MAX)).map(Count)
    }
}

/// A number of things of which more than `MOST` would be a slip: at least one.
pub(super) struct AtMost<const MOST: i32>(pub(super) usize);

/// How many threads run a pipeline.
pub(super) type Workers = AtMost<256>;
/// How many rows go through the steps at once.
pub(super) type BatchRows = AtMost<65_536>;

impl<'de, const MOST: i32> Deserialize<'de> for AtMost<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = deserializer.deserialize_i64(UpTo(MOST))?;
        usize::try_from(number).map(Self).map_err(D::Error::custom)
    }
}

/// Reads a whole number from 1 to this one.
struct UpTo(i32);

impl Visitor<'_> for UpTo {
    type Value = i32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 1 to {}", self.0)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i32, E> {
        match i32::try_from(number) {
            Ok(count @ 1..) if count <= self.0 => Ok(count),
            _ => Err(E::custom(format_args!(
                "expected {}",
                &self as &dyn serde::de::Expected
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_whole_milliseconds() {
        let millis = |text| Duration::from_text(text).map(|d| d.as_millis());
        assert_eq!(millis("100ms"), Some(100));
        assert_eq!(millis("1h 30m"), Some(5_400_000));
        assert_eq!(millis("1.5s"), Some(1_500));
        assert_eq!(millis("0s"), Some(0));
        assert_eq!(millis("876000h"), Some(3_153_600_000_000));
        for bad in [
            "",
            "5",
            "-5s",
            "5s ago",
            "1us",
            "1 minit",
            "876001h",
            "99999999999999999999h",
        ] {
            assert_eq!(millis(bad), None, "{bad:?}");
        }
        assert!(PositiveDuration::from_text("0s").is_none());
        assert!(PositiveDuration::from_text("1ms").is_some());
    }

    #[test]
    fn sizes_have_units() {
        let bytes = |text| ByteSize::from_text(text).map(|size| size.as_u64());
        assert_eq!(bytes("64MiB"), Some(64 << 20));
        assert_eq!(bytes("1kB"), Some(1_000));
        assert_eq!(bytes("10 B"), Some(10));
        for bad in ["", "64", "0MiB", "-1MiB", "64 MiBs", "MiB", "1.2.3MiB"] {
            assert_eq!(bytes(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn guest_memory_is_what_a_guest_can_have() {
        for (text, good) in [
            ("63KiB", false),
            ("64KiB", true),
            ("4GiB", true),
            ("5GiB", false),
        ] {
            assert_eq!(GuestMemory::from_text(text).is_some(), good, "{text}");
        }
        for (text, good) in [
            ("4095B", false),
            ("4KiB", true),
            ("1GiB", true),
            ("2GiB", false),
        ] {
            assert_eq!(LogBytes::from_text(text).is_some(), good, "{text}");
        }
    }

    #[test]
    fn names_keep_to_their_alphabets_and_lengths() {
        let longest = "a".repeat(249);
        for good in ["clicks", "a.b_c-D9", "...", &longest] {
            assert!(TopicName::from_text(good).is_some(), "{good:?}");
        }
        for bad in ["", ".", "..", "a b", "ä", "a/b", &"a".repeat(250)] {
            assert!(TopicName::from_text(bad).is_none(), "{bad:?}");
        }
        assert!(PipelineName::from_text("unique-visitors-2").is_some());
        for bad in ["", "Unique", "a_b", "a.b", &"a".repeat(65)] {
            assert!(PipelineName::from_text(bad).is_none(), "{bad:?}");
        }
        assert!(StepName::from_text("Unique_visitors-2").is_some());
        for bad in ["", "a.b", "a b", &"a".repeat(65)] {
            assert!(StepName::from_text(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn field_paths_have_no_empty_part() {
        for good in ["user", "user.id", "$key"] {
            assert!(FieldPath::from_text(good).is_some(), "{good:?}");
        }
        for bad in ["", ".", "user.", ".id", "user..id"] {
            assert!(FieldPath::from_text(bad).is_none(), "{bad:?}");
        }
    }
}
