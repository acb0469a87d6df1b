//! Values from outside: `${NAME}`, `${NAME:-default}` and `${file:PATH}` in strings.
//!
//! `$$` stands for a dollar before a brace; any other dollar is just that. What is put in is not looked at again, so a
//! variable's value may hold any text.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Finding;

/// The spans of the strings into which something was put from outside.
pub(super) type Substituted = HashSet<Range<usize>>;

/// Puts in all values from outside.
pub(super) fn substitute(
    document: &mut DeTable<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
    secret_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Substituted, Vec<Finding>> {
    let mut walk = Walk {
        outside: Outside {
            environment,
            secret_file,
        },
        substituted: Substituted::new(),
        findings: Vec::new(),
    };
    walk.table(document);
    if walk.findings.is_empty() {
        Ok(walk.substituted)
    } else {
        Err(walk.findings)
    }
}

struct Walk<'a> {
    outside: Outside<'a>,
    substituted: Substituted,
    findings: Vec<Finding>,
}

impl Walk<'_> {
    fn table(&mut self, table: &mut DeTable<'_>) {
        for (_, value) in table {
            self.value(value);
        }
    }

    fn value(&mut self, value: &mut Spanned<DeValue<'_>>) {
        let span = value.span();
        match value.get_mut() {
            DeValue::Table(table) => self.table(table),
            DeValue::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            DeValue::String(text) => match self.outside.expand(text) {
                Ok(expanded) => {
                    if expanded.substituted {
                        self.substituted.insert(span);
                    }
                    *text = expanded.text.into();
                }
                Err(message) => self.findings.push(Finding::new(span, message)),
            },
            _ => {}
        }
    }
}

/// Where values come from.
struct Outside<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
    secret_file: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// A string after substitution.
struct Expanded {
    text: String,
    /// Whether anything came from outside.
    substituted: bool,
}

impl Outside<'_> {
    fn expand(&self, text: &str) -> Result<Expanded, String> {
        let mut expanded = Expanded {
            text: String::with_capacity(text.len()),
            substituted: false,
        };
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            expanded.text.push_str(&rest[..dollar]);
            let after = &rest[dollar + 1..];
            if let Some(escaped) = after.strip_prefix('$') {
                expanded.text.push('$');
                rest = escaped;
            } else if let Some(opened) = after.strip_prefix('{') {
                let (reference, closed) = opened.split_once('}').ok_or(
                    "`${` is never closed; write `${NAME}`, or `$${` for a dollar and a brace",
                )?;
                expanded.text.push_str(&self.value(reference)?);
                expanded.substituted = true;
                rest = closed;
            } else {
                expanded.text.push('$');
                rest = after;
            }
        }
        expanded.text.push_str(rest);
        Ok(expanded)
    }

    /// The value of what stands between the braces.
    fn value(&self, reference: &str) -> Result<String, String> {
        if let Some(path) = reference.strip_prefix("file:") {
            let text = (self.secret_file)(Path::new(path))
                .map_err(|error| format!("can't read the secret file `{path}`: {error}"))?;
            return Ok(without_newline(text));
        }
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        if !is_name(name) {
            return Err(
                "between `${` and `}` stands a variable's name, `NAME:-default` or `file:PATH`"
                    .to_owned(),
            );
        }
        match ((self.environment)(name), default) {
            // As in a shell, `:-` also covers a variable that is set to nothing.
            (Some(value), None) => Ok(value),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value),
            (_, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err(format!(
                "the environment variable `{name}` is not set; set it, or give a default: \
                 `${{{name}:-default}}`"
            )),
        }
    }
}

/// Whether a shell could set a variable of that name.
fn is_name(name: &str) -> bool {
    let mut letters = name.bytes();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
}

/// The text less the newline that editors put at the end of a file.
fn without_newline(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<(String, bool), String> {
        let environment = |name: &str| match name {
            "BROKER" => Some("b:9092".to_owned()),
            "EMPTY" => Some(String::new()),
            "TRICKY" => Some("${BROKER} $$ }".to_owned()),
            _ => None,
        };
        let secret_file = |path: &Path| match path.to_str() {
            Some("/run/secret") => Ok("s3cret\r\n".to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        Outside {
            environment: &environment,
            secret_file: &secret_file,
        }
        .expand(text)
        .map(|expanded| (expanded.text, expanded.substituted))
    }

    fn becomes(text: &str, expected: &str, substituted: bool) {
        assert_eq!(expand(text), Ok((expected.to_owned(), substituted)));
    }

    #[test]
    fn values_come_from_the_environment_and_from_files() {
        becomes("${BROKER},x", "b:9092,x", true);
        becomes("${file:/run/secret}", "s3cret", true);
        becomes("a${BROKER}b${BROKER}c", "ab:9092bb:9092c", true);
    }

    #[test]
    fn a_default_serves_for_what_is_unset_or_empty() {
        becomes("${NONE:-x:-y}", "x:-y", true);
        becomes("${EMPTY:-x}", "x", true);
        becomes("${NONE:-}", "", true);
        becomes("${BROKER:-x}", "b:9092", true);
        becomes("${EMPTY}", "", true);
    }

    #[test]
    fn dollars_are_dollars() {
        becomes("$key costs 5$", "$key costs 5$", false);
        becomes("$${BROKER}", "${BROKER}", false);
        becomes("$$${BROKER}", "$b:9092", true);
    }

    #[test]
    fn what_was_put_in_is_not_looked_at_again() {
        becomes("${TRICKY}", "${BROKER} $$ }", true);
    }

    #[test]
    fn a_missing_variable_is_named() {
        let message = expand("${NONE}").expect_err("it is not set");
        assert!(message.contains("`NONE` is not set"), "{message}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let message = expand("${file:gone}").expect_err("it is not there");
        assert!(message.contains("secret file `gone`"), "{message}");
    }

    #[test]
    fn malformed_references_are_refused() {
        for bad in ["${", "${BROKER", "${}", "${A B}", "${1A}", "${:-x}", "${ä}"] {
            assert!(expand(bad).is_err(), "{bad}");
        }
    }
}
