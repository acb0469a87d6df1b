//! Which key stands where: from the span of a key or value back to its path.

use std::collections::HashMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The paths of all keys and values of a document.
#[derive(Debug, Default)]
pub(super) struct Outline {
    paths: HashMap<Range<usize>, String>,
}

impl Outline {
    /// The outline of a document.
    pub(super) fn of(document: &Spanned<DeTable<'_>>) -> Self {
        let mut outline = Outline::default();
        outline.note(document.span(), "");
        outline.table(document.get_ref(), "");
        outline
    }

    /// The path of the value at `span`, or of the table whose key is at `span`. Empty for the document itself
    /// and for spans that are neither.
    pub(super) fn path(&self, span: &Range<usize>) -> &str {
        self.paths.get(span).map_or("", String::as_str)
    }

    /// A table that is only implied by a deeper one's header shares its span; the first noted, the outer one, stays.
    fn note(&mut self, span: Range<usize>, path: &str) {
        self.paths.entry(span).or_insert_with(|| path.to_owned());
    }

    fn table(&mut self, table: &DeTable<'_>, path: &str) {
        for (key, value) in table {
            self.note(key.span(), path);
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{}", shown(key.get_ref()));
            self.value(value, &path);
        }
    }

    /// The items of an array go by the array's own path; their line tells them apart.
    fn value(&mut self, value: &Spanned<DeValue<'_>>, path: &str) {
        self.note(value.span(), path);
        match value.get_ref() {
            DeValue::Table(table) => self.table(table, path),
            DeValue::Array(items) => items.iter().for_each(|item| self.value(item, path)),
            _ => {}
        }
    }
}

/// A key as TOML writes it: quoted unless it is bare.
fn shown(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        format!("\"{}\"", key.escape_debug())
    }
}
