//! JSON values that are parsed only where a function wants to.

use serde::Deserialize;

/// One JSON value as text, as the record has it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    /// JSON text. It is not checked here: the host checks what it hands over, and [`parse`](Self::parse) the rest.
    pub const fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// The text.
    pub const fn text(self) -> &'a str {
        self.0
    }

    /// Parses it; the result may borrow from the batch.
    ///
    /// # Errors
    /// If the text is not the JSON of a `T`. In a row's function `?` makes it an error of the row.
    pub fn parse<T: Deserialize<'a>>(self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn parses_without_copying_text() {
        let tags: Vec<&str> = Json::new(r#"["a", "b"]"#).parse().unwrap();
        assert_eq!(tags, ["a", "b"]);
    }

    #[test]
    fn says_what_is_wrong() {
        let error = Json::new("{").parse::<Vec<i64>>().unwrap_err();
        assert!(
            error.to_string().starts_with("invalid type: map"),
            "{error}"
        );
    }
}
