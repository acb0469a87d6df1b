//! Components that no compiler would make: a core module whose exports and memory are written by hand, with the contract put around it.
//!
//! A [`Guest`] begins as a harmless component of its kind, which reads `n: int64` and has an answer for every call. A case replaces
//! one export, or one answer. A body is text of WebAssembly; an answer is the image of a result in memory, as the canonical ABI
//! lays it out. Values that have a place in memory are put there by [`Guest::put`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where what [`Guest::put`] lays out begins.
const DATA: usize = 1_024;
/// Where what the host hands over is laid out, anew in each call.
const HEAP: usize = 2 << 20;
/// Pages of memory at first: what lies below the heap, and room for small arguments.
const PAGES: usize = 64;
/// Where the indices of kept rows go, and behind them nothing up to the heap.
pub(crate) const SCRATCH: usize = 1 << 20;

/// The cases of a column's values, in the order of the contract's variant.
pub(crate) const BOOL: usize = 0;
/// See [`BOOL`].
pub(crate) const INT64: usize = 1;

/// A component in the making.
#[derive(Clone)]
pub(crate) struct Guest {
    kind: &'static str,
    data: Vec<u8>,
    bodies: BTreeMap<&'static str, String>,
    items: String,
    in_realloc: String,
    pages: usize,
}

/// The exports of each kind: interface, function, and its parameters and results.
fn exports(kind: &str) -> Vec<(&'static str, &'static str, &'static str)> {
    let mut exports = vec![
        ("plugin", "describe", "(result i32)"),
        (
            "plugin",
            "init",
            "(param $at i32) (param $len i32) (result i32)",
        ),
    ];
    const ROWS: &str = "(param $rows i32) (param $cols i32) (param $n i32) (result i32)";
    const SLOTS: &str = "(param $slots i32) (param $n i32) (result i32)";
    exports.extend(match kind {
        "filter" => vec![("filter-function", "filter", ROWS)],
        "map" => vec![("map-function", "map", ROWS)],
        "window-apply" => vec![(
            "window-apply-function",
            "apply",
            "(param $windows i32) (param $n i32) (param $bounds i32) (param $m i32) (param $rows i32) (param $cols i32) \
             (param $k i32) (result i32)",
        )],
        _ => vec![
            (
                "aggregate-function",
                "accumulate",
                "(param $slots i32) (param $n i32) (param $rows i32) (param $cols i32) (param $m i32) (result i32)",
            ),
            (
                "aggregate-function",
                "merge",
                "(param $slots i32) (param $n i32) (param $offsets i32) (param $m i32) (param $data i32) (param $k i32) \
                 (result i32)",
            ),
            ("aggregate-function", "take-deltas", SLOTS),
            ("aggregate-function", "snapshot", SLOTS),
            ("aggregate-function", "finish", SLOTS),
            ("aggregate-function", "close", "(param $slots i32) (param $n i32)"),
            ("aggregate-migration", "from-versions", "(result i32)"),
            (
                "aggregate-migration",
                "migrate",
                "(param $from i32) (param $offsets i32) (param $m i32) (param $data i32) (param $k i32) (result i32)",
            ),
        ],
    });
    exports
}

/// What the contract calls the kinds, in the order of its enum.
const KINDS: [&str; 4] = ["filter", "map", "aggregate", "window-apply"];

impl Guest {
    /// A harmless component: a filter keeps all rows, a map makes none, an aggregate of no memory makes one row a slot.
    pub(crate) fn new(kind: &'static str) -> Self {
        let mut guest = Self {
            kind,
            data: Vec::new(),
            bodies: BTreeMap::new(),
            items: String::new(),
            in_realloc: String::new(),
            pages: PAGES,
        };
        guest.describes("hostile", "1.0.0", "n");
        let nothing = guest.put(&[0; 64]);
        for (_, function, signature) in exports(kind) {
            let body = match (function, signature.contains("result")) {
                ("describe", _) => continue,
                ("filter", _) => keep_all(nothing, ""),
                (_, true) => format!("(i32.const {nothing})"),
                (_, false) => String::new(),
            };
            guest.bodies.insert(function, body);
        }
        // No rows: one column of none.
        let column = guest.column(None, INT64, &[0, 0]);
        match kind {
            "map" => guest.answers("map", &[0, 0, column, 1, 0, 0, 0, 0, 0, 0]),
            "aggregate" => guest.answers("finish", &[0, 0, column, 1]),
            "window-apply" => guest.answers("apply", &[0, 0, 0, column, 1]),
            _ => {}
        }
        if kind == "aggregate" {
            let zeros = guest.offsets(&[0, 0]);
            let empty = guest.words(&[zeros, 2, 0, 0]);
            for function in ["take-deltas", "snapshot"] {
                guest
                    .bodies
                    .insert(function, format!("(i32.const {empty})"));
            }
            let versions = guest.words(&[1]);
            guest.answers("from-versions", &[versions, 1]);
            guest.answers("migrate", &[0, zeros, 2, 0, 0]);
        }
        guest
    }

    /// Describes itself with this name, version and one field that it reads, and produces if it is no filter.
    pub(crate) fn describes(&mut self, name: &str, version: &str, field: &str) {
        let text = |guest: &mut Self, text: &str| (guest.put(text.as_bytes()), text.len());
        let (name, version, field) = (text(self, name), text(self, version), text(self, field));
        // Type 1 is int64, and 0 says that it is not optional.
        let field = self.words(&[field.0, field.1, 1]);
        let kind = KINDS.iter().position(|kind| *kind == self.kind).unwrap();
        let produced = usize::from(self.kind != "filter");
        self.answers(
            "describe",
            &[
                name.0, name.1, version.0, version.1, kind, field, 1, field, produced, 2,
            ],
        );
    }

    /// Lays bytes out in memory; their place.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> usize {
        self.data.resize(self.data.len().next_multiple_of(8), 0);
        let at = DATA + self.data.len();
        self.data.extend_from_slice(bytes);
        assert!(at + bytes.len() <= SCRATCH, "too much data for the layout");
        at
    }

    /// Lays 32-bit words out in memory; their place.
    pub(crate) fn words(&mut self, words: &[usize]) -> usize {
        let bytes: Vec<u8> = words
            .iter()
            .flat_map(|word| u32::try_from(*word).unwrap().to_le_bytes())
            .collect();
        self.put(&bytes)
    }

    /// Lays signed words out in memory; their place.
    pub(crate) fn offsets(&mut self, offsets: &[i32]) -> usize {
        let bytes: Vec<u8> = offsets.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(&bytes)
    }

    /// Lays a column out: the place and length of its validity, the case of its values, and the words of these.
    pub(crate) fn column(
        &mut self,
        validity: Option<(usize, usize)>,
        case: usize,
        values: &[usize],
    ) -> usize {
        let (some, (at, len)) = (
            usize::from(validity.is_some()),
            validity.unwrap_or_default(),
        );
        let mut words = vec![some, at, len, case];
        words.extend(values);
        words.resize(8, 0);
        self.words(&words)
    }

    /// Lets a function answer with the words of its result.
    pub(crate) fn answers(&mut self, function: &'static str, words: &[usize]) {
        let at = self.words(words);
        self.bodies.insert(function, format!("(i32.const {at})"));
    }

    /// Replaces the body of a function, or puts code before its end.
    pub(crate) fn does(mut self, function: &'static str, body: &str) -> Self {
        let before = self.bodies.get(function).cloned().unwrap_or_default();
        self.bodies.insert(function, format!("{body} {before}"));
        self
    }

    /// A filter that does this at a row whose number is 13, and keeps the others.
    pub(crate) fn at_thirteen(mut self, body: &str) -> Self {
        assert_eq!(self.kind, "filter");
        let nothing = self.put(&[0; 64]);
        self.bodies.insert("filter", keep_all(nothing, body));
        self
    }

    /// Adds items to the module: a function, a table, `(start ...)`.
    pub(crate) fn with(mut self, items: &str) -> Self {
        self.items.push_str(items);
        self
    }

    /// Does something when the host asks for room, once `filter` is to be called: room for more than a byte a row of its table.
    pub(crate) fn in_realloc(mut self, body: &str) -> Self {
        self.in_realloc = format!("(if (i32.ge_u (local.get $size) (i32.const 24)) (then {body}))");
        self
    }

    /// Begins with so many pages of memory.
    pub(crate) fn memory(mut self, pages: usize) -> Self {
        self.pages = pages;
        self
    }

    /// The module as text.
    fn module(&self) -> String {
        let mut text = String::from(
            r#"(module
            (import "millstream:udf/log@0.1.1" "write" (func $log (param i32 i32 i32)))
            (import "millstream:udf/metrics@0.1.1" "count" (func $count (param i32 i32 i64)))
            (global $heap (mut i32) (i32.const HEAP))
            (func $alloc (param $old i32) (param $was i32) (param $align i32) (param $size i32) (result i32) (local $at i32)
              REALLOC
              (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
              (global.set $heap (i32.add (local.get $at) (local.get $size)))
              (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))) (then
                (if (i32.eq (memory.grow (i32.add (i32.shr_u (local.get $size) (i32.const 16)) (i32.const 1))) (i32.const -1))
                  (then unreachable))))
              (local.get $at))
            (export "cabi_realloc" (func $alloc))
            "#,
        )
        .replace("HEAP", &HEAP.to_string())
        .replace("REALLOC", &self.in_realloc);
        writeln!(text, r#"(memory (export "memory") {})"#, self.pages).unwrap();
        let bytes: String = self
            .data
            .iter()
            .map(|byte| format!("\\{byte:02x}"))
            .collect();
        writeln!(text, "(data (i32.const {DATA}) \"{bytes}\")").unwrap();
        for (interface, function, signature) in exports(self.kind) {
            let body = &self.bodies[function];
            writeln!(
                text,
                r#"(func (export "millstream:udf/{interface}@0.1.1#{function}") {signature}
                   (local $i i32) (local $v i32) (global.set $heap (i32.const {HEAP})) {body})"#
            )
            .unwrap();
        }
        text + &self.items + ")"
    }

    /// The component.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.module()).unwrap_or_else(|error| panic!("{error}"));
        let mut resolve = Resolve::default();
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
        resolve.push_path(wit).unwrap();
        let kind = match self.kind {
            "aggregate" => "migrating-aggregate",
            "map" => "%map",
            kind => kind,
        };
        let world = format!(
            "package test:hostile; world hostile {{ include millstream:udf/{kind}@0.1.1; import millstream:udf/metrics@0.1.1; }}"
        );
        let package = resolve.push_str("hostile.wit", &world).unwrap();
        let world = resolve.select_world(&[package], Some("hostile")).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        let mut encoder = ComponentEncoder::default();
        encoder.module(&module).unwrap().encode().unwrap()
    }
}

/// The body of a filter that keeps all rows, and does `evil` at one whose number is 13.
fn keep_all(answer: usize, evil: &str) -> String {
    format!(
        "(local.set $v (i32.load offset=16 (local.get $cols)))
         (block $end (loop $next
           (br_if $end (i32.ge_u (local.get $i) (local.get $rows)))
           (if (i64.eq (i64.load (i32.add (local.get $v) (i32.mul (local.get $i) (i32.const 8)))) (i64.const 13)) (then {evil}))
           (i32.store (i32.add (i32.const {SCRATCH}) (i32.mul (local.get $i) (i32.const 4))) (local.get $i))
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br $next)))
         (i32.store (i32.const {answer}) (i32.const {SCRATCH}))
         (i32.store offset=4 (i32.const {answer}) (local.get $rows))
         (i32.const {answer})"
    )
}
