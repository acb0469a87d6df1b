//! The texts of a sample's files into a [`Sample`].

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Outcome, Record, Refusal, Sample};
use crate::pipeline::config::FunctionSettings;

pub(super) const INPUT: &str = "input.ndjson";
pub(super) const EXPECTED: &str = "expected.ndjson";
pub(super) const ERRORS: &str = "errors.ndjson";
pub(super) const CONFIG: &str = "config.toml";
pub(super) const STEP: &str = "step.toml";

/// What the files of a sample hold; empty for one that is not there.
#[derive(Clone, Copy, Debug, Default)]
pub struct SampleTexts<'a> {
    /// `input.ndjson`.
    pub input: &'a str,
    /// `expected.ndjson`.
    pub expected: &'a str,
    /// `errors.ndjson`.
    pub errors: &'a str,
    /// `config.toml`.
    pub config: &'a str,
    /// `step.toml`.
    pub step: &'a str,
}

/// What is wrong with a file of a sample.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SampleMistake {
    /// A line is not what each line of its file should be.
    #[error("{file}, line {line}: {what}")]
    Line {
        /// The file.
        file: &'static str,
        /// The line, from 1 on.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// A TOML file can't be read.
    #[error("{file}: {what}")]
    Toml {
        /// The file.
        file: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// There are no records.
    #[error("{INPUT} holds no record: a function is shown by what it makes of some")]
    NoRecords,
    /// A record that is not there is expected to be refused.
    #[error("{ERRORS} names record {row}, and {INPUT} holds {records}, numbered from 0 on")]
    NoSuchRecord {
        /// Its index.
        row: u32,
        /// How many there are.
        records: usize,
    },
    /// The records refused do not ascend.
    #[error("{ERRORS} names record {row} after one that is not before it: put them in order")]
    Order {
        /// Its index.
        row: u32,
    },
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StepTable {
    key: Option<String>,
}

/// Reads the texts of a sample's files.
///
/// # Errors
/// With the first mistake.
pub fn parse(texts: SampleTexts<'_>) -> Result<Sample, SampleMistake> {
    let input = lines::<Map<String, Value>>(INPUT, texts.input)?
        .into_iter()
        .map(|(text, object)| Record {
            text: text.to_owned(),
            json: Value::Object(object),
        })
        .collect::<Vec<_>>();
    if input.is_empty() {
        return Err(SampleMistake::NoRecords);
    }
    let rows = lines::<Map<String, Value>>(EXPECTED, texts.expected)?
        .into_iter()
        .map(|(_, object)| Value::Object(object))
        .collect();
    let refused = lines::<Refusal>(ERRORS, texts.errors)?
        .into_iter()
        .map(|(_, refusal)| refusal)
        .collect::<Vec<_>>();
    check_refused(&refused, input.len())?;
    let settings = FunctionSettings(table(CONFIG, texts.config)?);
    let StepTable { key } = table(STEP, texts.step)?;
    Ok(Sample {
        input,
        expected: Outcome { rows, refused },
        settings,
        key,
    })
}

/// The lines that are not blank, each with what it says.
fn lines<'a, T: DeserializeOwned>(
    file: &'static str,
    text: &'a str,
) -> Result<Vec<(&'a str, T)>, SampleMistake> {
    (1..)
        .zip(text.lines())
        .filter(|(_, text)| !text.trim().is_empty())
        .map(|(line, text)| match serde_json::from_str(text) {
            Ok(value) => Ok((text, value)),
            Err(error) => Err(SampleMistake::Line {
                file,
                line,
                what: error.to_string(),
            }),
        })
        .collect()
}

fn table<T: DeserializeOwned>(file: &'static str, text: &str) -> Result<T, SampleMistake> {
    toml::from_str(text).map_err(|error| SampleMistake::Toml {
        file,
        what: error.to_string().trim_end().to_owned(),
    })
}

fn check_refused(refused: &[Refusal], records: usize) -> Result<(), SampleMistake> {
    let missing = |refusal: &&Refusal| refusal.row as usize >= records;
    if let Some(Refusal { row, .. }) = refused.iter().find(missing) {
        return Err(SampleMistake::NoSuchRecord { row: *row, records });
    }
    match refused.windows(2).find(|pair| pair[0].row >= pair[1].row) {
        Some(pair) => Err(SampleMistake::Order { row: pair[1].row }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::*;

    const ONE: SampleTexts<'_> = SampleTexts {
        input: "{\"n\": 1}\n",
        expected: "",
        errors: "",
        config: "",
        step: "",
    };

    fn mistake(texts: SampleTexts<'_>) -> String {
        parse(texts).unwrap_err().to_string()
    }

    #[test]
    fn a_sample_is_read_from_its_texts() {
        let sample = parse(SampleTexts {
            input: "{\"n\": 1}\n\n{\"n\":  2}\n",
            expected: "{\"m\": 1.5}\n",
            errors: "{\"row\": 1, \"message\": \"odd\"}",
            config: "most = 3\n",
            step: "key = \"n\"",
        })
        .unwrap();
        assert_eq!(sample.input[1].text, "{\"n\":  2}");
        assert_eq!(sample.input[1].json, json!({"n": 2}));
        assert_eq!(sample.expected.rows, [json!({"m": 1.5})]);
        let refusal = Refusal {
            row: 1,
            message: "odd".to_owned(),
        };
        assert_eq!(sample.expected.refused, [refusal]);
        assert_eq!(sample.settings.to_json(), r#"{"most":3}"#);
        assert_eq!(sample.key.as_deref(), Some("n"));
    }

    #[test]
    fn a_sample_needs_no_more_than_records() {
        let sample = parse(ONE).unwrap();
        assert_eq!(sample.expected, Outcome::default());
        assert_eq!(
            (sample.settings.to_json().as_str(), sample.key),
            ("{}", None)
        );
        assert!(mistake(SampleTexts::default()).contains("no record"));
    }

    #[test]
    fn a_mistake_is_told_with_its_file_and_line() {
        let told = mistake(SampleTexts {
            input: "{\"n\": 1}\n[2]\n",
            ..ONE
        });
        assert!(told.starts_with("input.ndjson, line 2: "), "{told}");
        let told = mistake(SampleTexts {
            errors: r#"{"row": 0, "mesage": "odd"}"#,
            ..ONE
        });
        assert!(told.starts_with("errors.ndjson, line 1: "), "{told}");
        assert!(told.contains("mesage"), "{told}");
        let told = mistake(SampleTexts {
            step: "kee = 1",
            ..ONE
        });
        assert!(
            told.starts_with("step.toml: ") && told.contains("kee"),
            "{told}"
        );
    }

    #[test]
    fn refusals_name_records_that_are_there_in_their_order() {
        let told = mistake(SampleTexts {
            errors: r#"{"row": 1, "message": ""}"#,
            ..ONE
        });
        assert!(
            told.contains("record 1") && told.contains("holds 1"),
            "{told}"
        );
        let twice = "{\"row\": 0, \"message\": \"\"}\n{\"row\": 0, \"message\": \"\"}\n";
        let told = mistake(SampleTexts {
            errors: twice,
            ..ONE
        });
        assert!(
            told.contains("record 0") && told.contains("order"),
            "{told}"
        );
    }
}
