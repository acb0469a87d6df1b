//! What is said of a pipeline file that can't be used.
//!
//! The stages report [`Finding`]s, which know a span of bytes; [`ConfigError`] holds [`Mistake`]s, which know a line, a
//! column and the path of the key. No message repeats a value, since any value may have come from a secret.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::outline::Outline;

/// Why there is no pipeline: the file can't be read, or what it says is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The environment's fault: no such file, no right to read it, not text.
    #[error("can't read the pipeline file {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file's fault. Shown as one line a mistake, with a second one where there is a hint.
    #[error("{}", Listing(file.as_deref(), mistakes))]
    Mistakes {
        /// The file, if the text came from one.
        file: Option<PathBuf>,
        /// The mistakes in the order of the file; at least one.
        mistakes: Vec<Mistake>,
    },
}

impl ConfigError {
    /// The error that reports these findings about `text`.
    pub(super) fn mistakes(findings: Vec<Finding>, text: &str, outline: &Outline) -> Self {
        let mut mistakes: Vec<Mistake> = findings
            .into_iter()
            .map(|finding| Mistake {
                position: Position::of(text, finding.span.start),
                key: match (outline.path(&finding.span), finding.unknown) {
                    // In the file itself a key's name is its whole path.
                    (table, Some(name)) if !table.is_empty() => format!("{table}.{name}"),
                    (path, _) => path.to_owned(),
                },
                message: finding.message,
                hint: finding.hint,
            })
            .collect();
        mistakes.sort_by_key(|mistake| mistake.position);
        ConfigError::Mistakes {
            file: None,
            mistakes,
        }
    }

    /// The same error, naming the file that the text came from.
    pub(crate) fn in_file(mut self, path: &Path) -> Self {
        if let ConfigError::Mistakes { file, .. } = &mut self {
            *file = Some(path.to_owned());
        }
        self
    }
}

/// One thing wrong with a pipeline file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistake {
    /// Where it is.
    pub position: Position,
    /// The path of the key or table concerned, such as `step.window`; empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A place in a text, counted from 1 in lines and characters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl Position {
    /// The place of the byte at `offset`; the end of the text if it is not that long.
    fn of(text: &str, offset: usize) -> Self {
        let before = &text[..text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// Mistakes as they are shown.
struct Listing<'a>(Option<&'a Path>, &'a [Mistake]);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Listing(file, mistakes) = self;
        for (i, mistake) in mistakes.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            let Position { line, column } = mistake.position;
            match file {
                Some(file) => write!(f, "{}:{line}:{column}: ", file.display())?,
                None => write!(f, "line {line}, column {column}: ")?,
            }
            if !mistake.key.is_empty() {
                write!(f, "{}: ", mistake.key)?;
            }
            f.write_str(&mistake.message)?;
            if let Some(hint) = &mistake.hint {
                write!(f, "\n  hint: {hint}")?;
            }
        }
        Ok(())
    }
}

/// A mistake as a stage reports it.
#[derive(Debug)]
pub(super) struct Finding {
    span: Range<usize>,
    message: String,
    hint: Option<String>,
    /// A key that is not known in the table at `span`.
    unknown: Option<String>,
}

impl Finding {
    /// A mistake at these bytes of the text.
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            hint: None,
            unknown: None,
        }
    }

    /// The same with advice.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What the parser says of text that is not TOML.
    pub(super) fn syntax(error: &toml::de::Error) -> Self {
        Self::new(
            error.span().unwrap_or_default(),
            format!("not valid TOML: {}", error.message()),
        )
    }

    /// What serde says of TOML that does not fit the tables. It says so in prose only: the sentences taken apart
    /// here are those of the provided methods of [`serde::de::Error`].
    pub(super) fn misfit(error: &toml::de::Error) -> Self {
        let span = error.span().unwrap_or_default();
        let message = error.message();
        if let Some(rest) = message.strip_prefix("unknown field `")
            && let Some((name, known)) = rest.rsplit_once("`, expected ")
        {
            // The known names are the parts between backticks: every second one.
            let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
            return Self::unknown_key(span, name, &known);
        }
        if let Some(name) = message.strip_prefix("missing field `") {
            return Self::new(span, format!("missing key `{name}"));
        }
        if let Some(found) = message.strip_prefix("invalid type: ")
            && let Some((found, expected)) = found.rsplit_once(", expected ")
        {
            let found = describe(found);
            return Self::new(span, format!("expected {expected}, found {found}"));
        }
        Self::new(span, message)
    }

    fn unknown_key(span: Range<usize>, name: &str, known: &[&str]) -> Self {
        let shown = name.escape_debug();
        let finding = match nearest(name, known) {
            Some(near) => Self::new(
                span,
                format!("unknown key `{shown}`, did you mean `{near}`?"),
            ),
            None => Self::new(span, format!("unknown key `{shown}`"))
                .hint(format!("the keys here are `{}`", known.join("`, `"))),
        };
        Self {
            unknown: Some(shown.to_string()),
            ..finding
        }
    }
}

/// The kind of a value in serde's words, without the value itself, in the words of TOML.
fn describe(found: &str) -> &'static str {
    match found.split([' ', '`', '"']).next() {
        Some("string") => "a string",
        Some("integer") => "an integer",
        Some("floating") => "a float",
        Some("boolean") => "a boolean",
        Some("sequence") => "an array",
        Some("map") => "a table",
        _ => "a value of another type",
    }
}

/// The candidate that `name` is most likely a slip for, if one is near.
fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    /// At least half of the letters must agree.
    const NEAR: f64 = 0.5;
    candidates
        .iter()
        .map(|candidate| {
            let likeness = strsim::normalized_damerau_levenshtein(name, candidate);
            (likeness, *candidate)
        })
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
