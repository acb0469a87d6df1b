//! Finds declared fields in a JSON object, in one pass over its text.
//!
//! Nearly every record is read by `ordinary`. Here is the twin that knows all of JSON: it reads what that one leaves, says what is
//! wrong with what is refused, and is what both mean. serde_json drives visitors that descend along a tree of the declared paths; what lies beside them is checked and
//! skipped. The visitors themselves refuse nothing: a value of a wrong type goes into its cell as what it is, since a
//! later duplicate of its key may still replace it. serde_json skips without recursion, and the visitors recurse no
//! deeper than the declared paths, so no record can exhaust the stack.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use super::cell::{Cell, Scratch};
use super::ordinary;
use super::plan::DecoderError;
use super::scan::Unusual;

/// The most parts of a path: less than serde_json's own limit of nesting, 128.
const MOST_PARTS: usize = 64;

/// Reads the declared fields of JSON objects into cells.
#[derive(Debug)]
pub(super) struct ObjectReader {
    root: Node,
    cells: usize,
}

/// One part of the declared paths.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// The cell for the value here, read by its type.
    pub(super) value: Option<usize>,
    /// The cell for the value's source text.
    pub(super) raw: Option<usize>,
    /// The next parts. There are few, so a search through all costs less than a hash.
    pub(super) children: Vec<(Box<str>, Node)>,
}

impl ObjectReader {
    pub(super) fn new() -> Self {
        Self {
            root: Node::default(),
            cells: 0,
        }
    }

    pub(super) fn cells(&self) -> usize {
        self.cells
    }

    /// The cell of a path, for its value or for the value's source text; made where there is none.
    pub(super) fn cell(&mut self, path: &str, raw: bool) -> Result<usize, DecoderError> {
        if path.split('.').any(str::is_empty) {
            return Err(DecoderError::EmptySegment {
                path: path.to_owned(),
            });
        }
        if path.split('.').count() > MOST_PARTS {
            return Err(DecoderError::PathTooLong {
                path: path.to_owned(),
                most: MOST_PARTS,
            });
        }
        let node = path.split('.').fold(&mut self.root, Node::child_mut);
        let place = if raw { &mut node.raw } else { &mut node.value };
        Ok(*place.get_or_insert_with(|| {
            self.cells += 1;
            self.cells - 1
        }))
    }

    /// Reads one record into `cells`, all of them missing before.
    pub(super) fn read<'de>(
        &self,
        text: &'de str,
        cells: &mut [Cell<'de>],
        scratch: &mut Scratch,
    ) -> Result<(), String> {
        if self.read_ordinary(text, cells, scratch).is_ok() {
            return Ok(());
        }
        cells.fill(Cell::Missing);
        scratch.clear();
        self.read_unusual(text, cells, scratch)
    }

    /// The same with a scanner.
    pub(super) fn read_ordinary<'de>(
        &self,
        text: &'de str,
        cells: &mut [Cell<'de>],
        scratch: &mut Scratch,
    ) -> Result<(), Unusual> {
        ordinary::read(&self.root, text, cells, scratch)
    }

    /// The same with serde_json.
    pub(super) fn read_unusual<'de>(
        &self,
        text: &'de str,
        cells: &mut [Cell<'de>],
        scratch: &mut Scratch,
    ) -> Result<(), String> {
        // Said here, since serde_json would quote the whole of a string.
        if !text.trim_ascii_start().starts_with('{') {
            return Err("the value is not one JSON object: it does not begin with {".to_owned());
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let walk = Walk {
            node: &self.root,
            cells,
            scratch,
        };
        deserializer
            .deserialize_map(ObjectVisitor(walk))
            .and_then(|()| deserializer.end())
            .map_err(|error| format!("the value is not one JSON object: {error}"))
    }
}

impl Node {
    #[inline]
    pub(super) fn child(&self, key: &str) -> Option<&Node> {
        let found = self.children.iter().find(|(name, _)| &**name == key);
        found.map(|(_, node)| node)
    }

    fn child_mut(&mut self, key: &str) -> &mut Node {
        let found = self.children.iter().position(|(name, _)| &**name == key);
        let at = found.unwrap_or_else(|| {
            self.children.push((key.into(), Node::default()));
            self.children.len() - 1
        });
        &mut self.children[at].1
    }

    /// Makes all cells from here on missing.
    pub(super) fn forget(&self, cells: &mut [Cell<'_>]) {
        for cell in [self.value, self.raw].into_iter().flatten() {
            cells[cell] = Cell::Missing;
        }
        for (_, child) in &self.children {
            child.forget(cells);
        }
    }
}

/// A place in the tree of paths, and where to put what is found.
pub(super) struct Walk<'w, 'de> {
    pub(super) node: &'w Node,
    pub(super) cells: &'w mut [Cell<'de>],
    pub(super) scratch: &'w mut Scratch,
}

impl<'de> Walk<'_, 'de> {
    fn found(self, cell: Cell<'de>) {
        if let Some(at) = self.node.value {
            self.cells[at] = cell;
        }
    }

    /// Reads the members of an object that lead on.
    fn descend<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(child) = map.next_key_seed(KeySeed(self.node))? {
            match child {
                Some(node) => map.next_value_seed(Walk {
                    node,
                    cells: &mut *self.cells,
                    scratch: &mut *self.scratch,
                })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// A value that some path leads to or through.
impl<'de> DeserializeSeed<'de> for Walk<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        // The key may have occurred before.
        self.node.forget(self.cells);
        let Some(raw) = self.node.raw else {
            return deserializer.deserialize_any(self);
        };
        let text = <&'de RawValue>::deserialize(deserializer)?.get();
        self.cells[raw] = match text {
            "null" => Cell::Null,
            text => Cell::Raw(text),
        };
        if self.node.value.is_none() && self.node.children.is_empty() {
            return Ok(());
        }
        // Other fields read the same value by its type, or what is inside.
        let mut inner = serde_json::Deserializer::from_str(text);
        inner.deserialize_any(self).map_err(D::Error::custom)
    }
}

impl<'de> Visitor<'de> for Walk<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.found(Cell::Null);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.found(Cell::Bool(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.found(Cell::Int(value));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.found(i64::try_from(value).map_or(Cell::Uint(value), Cell::Int));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.found(Cell::Float(value));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.found(Cell::Text(text));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if self.node.value.is_some() {
            let span = self.scratch.keep(text);
            self.found(Cell::Resolved(span));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        self.found(Cell::Array);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        if let Some(at) = self.node.value {
            self.cells[at] = Cell::Object;
        }
        self.descend(map)
    }
}

/// The record itself, which must be an object.
struct ObjectVisitor<'w, 'de>(Walk<'w, 'de>);

impl<'de> Visitor<'de> for ObjectVisitor<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.descend(map)
    }
}

/// A key of an object, as the declared part that it equals.
struct KeySeed<'w>(&'w Node);

impl<'de, 'w> DeserializeSeed<'de> for KeySeed<'w> {
    type Value = Option<&'w Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'w> Visitor<'_> for KeySeed<'w> {
    type Value = Option<&'w Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.child(key))
    }
}
