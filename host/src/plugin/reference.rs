//! `name@version`: how a plugin is named that is not a file.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// A plugin by its own name and version, as it describes itself.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Reference {
    name: String,
    version: String,
}

impl Reference {
    /// The plugin's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The plugin's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The reference that a pipeline file has in place of a component's path, if it is one. A path is never taken for one:
    /// it has a slash, or the ending of a component.
    pub fn of_component(component: &Path) -> Option<Self> {
        let text = component.to_str()?;
        let is_file = Path::new(text)
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("wasm"));
        if is_file { None } else { text.parse().ok() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// A text that names no plugin.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "expected name@version: a name of 1 to 64 lower-case letters, digits and hyphens, and a version of 1 to 64 letters, \
     digits, dots, hyphens and plus signs"
)]
pub struct NoReference;

impl FromStr for Reference {
    type Err = NoReference;

    fn from_str(text: &str) -> Result<Self, NoReference> {
        let (name, version) = text.split_once('@').ok_or(NoReference)?;
        if is_name(name) && is_version(version) {
            Ok(Self {
                name: name.to_owned(),
                version: version.to_owned(),
            })
        } else {
            Err(NoReference)
        }
    }
}

/// Whether a plugin may have this name.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

/// Whether a plugin may have this version.
pub(super) fn is_version(version: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'+');
    (1..=64).contains(&version.len()) && version.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_told_from_a_path() {
        let read = |text: &str| {
            let reference = Reference::of_component(Path::new(text));
            reference.map(|reference| (reference.name, reference.version))
        };
        let named = |name: &str, version: &str| Some((name.to_owned(), version.to_owned()));
        assert_eq!(read("bot-filter@0.1.0"), named("bot-filter", "0.1.0"));
        assert_eq!(read("a@1.0.0-rc.1+b"), named("a", "1.0.0-rc.1+b"));
        for path in [
            "bot-filter",
            "bot-filter.wasm",
            "bot-filter@0.1.0.wasm",
            "./bot-filter@0.1.0",
            "plugins/a@1",
            "A@1",
            "a@",
            "@1",
            "a@1@2",
            "a@../b",
        ] {
            assert_eq!(read(path), None, "{path}");
        }
    }
}
