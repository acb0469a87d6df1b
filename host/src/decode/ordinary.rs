//! Ordinary JSON objects: one pass with a [`Scanner`], which gives up where it meets something unusual.
//!
//! It fills cells as the visitors in `json` do, and hands them what takes more than a look: long numbers, strings with escapes.

use serde::Deserializer;

use super::cell::{Cell, Scratch};
use super::json::{Node, Walk};
use super::scan::{Found, Number, Scanner, Unusual};

/// Reads one record into `cells`, all of them missing before. Where that fails, cells and scratch hold some of it, of no use.
pub(super) fn read<'de>(
    root: &Node,
    text: &'de str,
    cells: &mut [Cell<'de>],
    scratch: &mut Scratch,
) -> Result<(), Unusual> {
    let mut begin = Scanner::new(text, 0);
    begin.expect(b'{')?;
    let mut record = Record {
        text,
        cells,
        scratch,
    };
    let end = record.members(root, begin.at())?;
    if Scanner::new(text, end).is_at_end() {
        Ok(())
    } else {
        Err(Unusual)
    }
}

/// A record that is being read.
struct Record<'w, 'de> {
    text: &'de str,
    cells: &'w mut [Cell<'de>],
    scratch: &'w mut Scratch,
}

impl<'de> Record<'_, 'de> {
    /// Reads an object, from what follows its opening brace on, and returns the place after it. Recurses no deeper than the declared
    /// paths.
    fn members(&mut self, node: &Node, start: usize) -> Result<usize, Unusual> {
        let mut at = Scanner::new(self.text, start);
        let mut token = at.peek_token()?;
        if token == b'}' {
            at.expect(b'}')?;
            return Ok(at.at());
        }
        loop {
            if token != b'"' {
                return Err(Unusual);
            }
            // An escape may spell a declared part.
            let Found::Plain(key) = at.string()? else {
                return Err(Unusual);
            };
            at.expect(b':')?;
            match node.child(key) {
                Some(child) => self.value(child, &mut at)?,
                None => at.skip()?,
            }
            match at.token()? {
                b',' => token = at.peek_token()?,
                b'}' => return Ok(at.at()),
                _ => return Err(Unusual),
            }
        }
    }

    /// Reads a value that some path leads to or through, and white space before it. Returns the place after it.
    #[inline(always)]
    fn value(&mut self, node: &Node, at: &mut Scanner<'de>) -> Result<(), Unusual> {
        if !node.children.is_empty() {
            // The key may have occurred before. Other cells are overwritten.
            node.forget(self.cells);
        }
        let token = at.peek_token()?;
        if let Some(raw) = node.raw {
            let start = at.at();
            at.skip()?;
            let text = at.since(start);
            self.cells[raw] = match text {
                "null" => Cell::Null,
                text => Cell::Raw(text),
            };
            if node.value.is_none() && node.children.is_empty() {
                return Ok(());
            }
            at.go_back(start);
        }
        let cell = match token {
            b'"' => match at.string()? {
                Found::Plain(text) => Cell::Text(text),
                Found::Escaped(source) => return self.ask_serde(node, source),
            },
            b'-' | b'0'..=b'9' => match at.number()? {
                Number::Int(value) => Cell::Int(value),
                // Both round to the nearest double. What is beyond all of them is for serde_json to refuse.
                Number::Float(source) => match source.parse() {
                    Ok(value) if f64::is_finite(value) => Cell::Float(value),
                    _ => return Err(Unusual),
                },
                Number::Other(source) => return self.ask_serde(node, source),
            },
            b'{' => {
                at.expect(b'{')?;
                self.found(node, Cell::Object);
                at.go_back(self.members(node, at.at())?);
                return Ok(());
            }
            b'[' => {
                at.skip()?;
                Cell::Array
            }
            _ => {
                at.skip()?;
                match token {
                    b'n' => Cell::Null,
                    token => Cell::Bool(token == b't'),
                }
            }
        };
        self.found(node, cell);
        Ok(())
    }

    fn found(&mut self, node: &Node, cell: Cell<'de>) {
        if let Some(at) = node.value {
            self.cells[at] = cell;
        }
    }

    /// Reads the source of a number or string.
    #[inline(never)]
    fn ask_serde(&mut self, node: &Node, source: &'de str) -> Result<(), Unusual> {
        let walk = Walk {
            node,
            cells: &mut *self.cells,
            scratch: &mut *self.scratch,
        };
        let mut deserializer = serde_json::Deserializer::from_str(source);
        deserializer.deserialize_any(walk).map_err(|_| Unusual)
    }
}
