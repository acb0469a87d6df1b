//! The items of an order, read from JSON so that an error names the item that it is in.

use std::borrow::Cow;
use std::fmt;

use millstream_sdk::Json;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// An item of an order. Fields that are not named here are ignored.
#[derive(serde::Deserialize)]
#[serde(expecting = "an item")]
pub(crate) struct Item<'a> {
    /// What was ordered; copied only if its JSON has escapes.
    #[serde(borrow)]
    pub(crate) sku: Cow<'a, str>,
    /// How many of it; negative where it is sent back.
    pub(crate) quantity: i64,
    /// The price of one.
    pub(crate) price: f64,
}

/// Reads the items of an order; the error names the item that cannot be read.
pub(crate) fn read(json: Json<'_>) -> Result<Vec<Item<'_>>, String> {
    let items = json.parse::<Items<'_>>();
    items.map(|Items(items)| items).map_err(|error| {
        // A position would be one in the value only, of which nobody sees how it was laid out.
        let position = format!(" at line {} column {}", error.line(), error.column());
        error.to_string().replace(&position, "")
    })
}

struct Items<'a>(Vec<Item<'a>>);

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ItemsVisitor)
    }
}

struct ItemsVisitor;

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = Items<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items<'de>, A::Error> {
        let mut items = Vec::new();
        loop {
            match list.next_element() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => return Ok(Items(items)),
                Err(error) => {
                    let index = items.len();
                    return Err(A::Error::custom(format_args!("items[{index}]: {error}")));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn error_of(json: &str) -> String {
        read(Json::new(json)).err().unwrap()
    }

    #[test]
    fn an_error_names_the_item_and_the_field() {
        let good = r#"{"sku": "a", "quantity": 1, "price": 2.5, "gift": true}"#;
        for (bad, message) in [
            (r#"{"sku": "b", "price": 1}"#, "missing field `quantity`"),
            (r#"{"quantity": 1, "price": 1}"#, "missing field `sku`"),
            (
                r#"{"sku": "b", "quantity": 1, "price": null}"#,
                "invalid type: null, expected f64",
            ),
            (
                r#"{"sku": "b", "quantity": 1.5, "price": 1}"#,
                "invalid type: floating point `1.5`, expected i64",
            ),
            (
                r#"{"sku": "b", "quantity": 9223372036854775808, "price": 1}"#,
                "invalid value: integer `9223372036854775808`, expected i64",
            ),
            (
                r#"{"sku": "b", "quantity": 1, "price": 1e999}"#,
                "number out of range",
            ),
            ("7", "invalid type: integer `7`, expected an item"),
        ] {
            let error = error_of(&format!("[{good},\n {bad}]"));
            assert_eq!(error, format!("items[1]: {message}"));
        }
    }

    #[test]
    fn what_is_not_a_list_is_refused() {
        for json in ["{}", "null", "\"items\"", "3"] {
            let error = error_of(json);
            assert!(error.ends_with("expected a list of items"), "{error}");
        }
    }

    #[test]
    fn an_article_number_is_copied_only_if_it_has_escapes() {
        let skus = r#"[{"sku": "sku-1", "quantity": 1, "price": 1}, {"sku": "\u0061", "quantity": 1, "price": 1}]"#;
        let items = read(Json::new(skus)).unwrap();
        assert!(matches!(items[0].sku, Cow::Borrowed("sku-1")));
        assert!(matches!(&items[1].sku, Cow::Owned(sku) if sku == "a"));
    }
}
