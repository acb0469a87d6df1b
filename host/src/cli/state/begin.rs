//! Where reading begins, as `--from` and `--to` say it: as [`Begin`] is written, or a file of offsets.

use std::path::PathBuf;
use std::str::FromStr;

use crate::cli::Failure;
use crate::outside::{Begin, listed};

/// Where to begin, as it stands on the command line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::cli) enum Beginning {
    /// As it is written.
    Written(Begin),
    /// At the offsets in this file.
    File(PathBuf),
}

impl FromStr for Beginning {
    type Err = String;

    /// A word that is nothing else is a file.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(begin) => Ok(Beginning::Written(begin)),
            Err(_) if text.is_empty() => Err(
                "expected `earliest`, `latest`, a time, offsets, or a file of offsets".to_owned(),
            ),
            Err(why) if text.contains('=') => Err(why),
            Err(_) => Ok(Beginning::File(PathBuf::from(text))),
        }
    }
}

impl Beginning {
    /// Where to begin, with the file read if it is one.
    ///
    /// # Errors
    /// If the file can't be read, or is none of offsets.
    pub(in crate::cli) fn read(&self) -> Result<Begin, Failure> {
        let file = match self {
            Beginning::Written(begin) => return Ok(begin.clone()),
            Beginning::File(file) => file,
        };
        let shown = file.display();
        let text = std::fs::read_to_string(file).map_err(|error| {
            Failure::Usage(format!(
                "can't read the file of offsets {shown}: {error}; a time is written like 2026-01-31T08:00:00Z"
            ))
        })?;
        listed(&text)
            .map(Begin::Offsets)
            .map_err(|why| Failure::Usage(format!("{shown}: {why}")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;

    #[test]
    fn what_is_no_beginning_is_a_file_of_offsets() {
        let read = |text: &str| text.parse::<Beginning>().unwrap();
        assert_eq!(read("earliest"), Beginning::Written(Begin::Earliest));
        assert_eq!(read("offsets.txt"), Beginning::File("offsets.txt".into()));
        assert!("".parse::<Beginning>().is_err());
        let why = "a=1".parse::<Beginning>().unwrap_err();
        assert!(why.contains("`a=1` is not of the form"), "{why}");
    }
}
