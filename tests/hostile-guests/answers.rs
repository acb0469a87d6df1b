//! Guests whose answers break the contract: each ends the instance with what was wrong, and none is taken for rows.

use super::guest::{BOOL, Guest, INT64};
use super::{assert_says, host_is_alive, limits, live, live_within};

fn told(case: &str, guest: &Guest, words: &[&str]) {
    let failure = live(guest)
        .err()
        .unwrap_or_else(|| panic!("{case}: it was taken"));
    assert_says(case, &failure.to_string(), words);
}

/// A filter that keeps these rows of three.
fn keeps(rows: &[usize]) -> Guest {
    let mut guest = Guest::new("filter");
    let list = guest.words(rows);
    guest.answers("filter", &[list, rows.len(), 0, 0, 0, 0, 0, 0]);
    guest
}

#[test]
fn indices_that_lie() {
    for (case, rows, words) in [
        (
            "out of range",
            &[0, 3][..],
            "index 3 in kept is beyond the 3 given",
        ),
        ("far out of range", &[4_294_967_295], "beyond the 3 given"),
        ("repeated", &[1, 1], "do not ascend"),
        ("descending", &[2, 0], "do not ascend"),
    ] {
        told(case, &keeps(rows), &["broke the contract", words]);
    }
    assert!(live(&keeps(&[0, 2])).is_ok());
    host_is_alive();
}

/// A filter that keeps nothing and has an error for row 0, whose message has these offsets and this data.
fn message(offsets: &[i32], data: &[u8]) -> Guest {
    let mut guest = Guest::new("filter");
    let row = guest.words(&[0]);
    let (at, bytes) = (guest.offsets(offsets), guest.put(data));
    guest.answers(
        "filter",
        &[0, 0, row, 1, at, offsets.len(), bytes, data.len()],
    );
    guest
}

#[test]
fn offsets_that_lie() {
    for (case, offsets) in [
        ("beyond the buffer", &[0, 9][..]),
        ("decreasing", &[4, 0]),
        ("negative", &[0, -1]),
        ("not from 0", &[1, 4]),
        ("too few", &[0]),
        ("too many", &[0, 2, 4]),
        ("short of the buffer", &[0, 2]),
    ] {
        told(
            case,
            &message(offsets, b"abcd"),
            &["broke the contract", "offsets"],
        );
    }
    assert!(
        live(&message(&[0, 4], b"ab\xff\xfe")).is_ok(),
        "a message need not be UTF-8"
    );
    host_is_alive();
}

/// A map that makes one row of row 0, with this column.
fn column(of: impl FnOnce(&mut Guest) -> Vec<usize>) -> Guest {
    let mut guest = Guest::new("map");
    let source = guest.words(&[0]);
    let columns = of(&mut guest);
    let at = guest.words(&columns);
    guest.answers("map", &[source, 1, at, columns.len() / 8, 0, 0, 0, 0, 0, 0]);
    guest
}

/// The words of a column.
fn words(validity: Option<(usize, usize)>, case: usize, values: &[usize]) -> Vec<usize> {
    let (at, len) = validity.unwrap_or_default();
    let mut words = vec![usize::from(validity.is_some()), at, len, case];
    words.extend(values);
    words.resize(8, 0);
    words
}

#[test]
fn columns_that_lie() {
    let eight = |guest: &mut Guest| guest.put(&[7; 8]);
    told(
        "no column",
        &column(|_| vec![]),
        &["returned 0 columns and describes 1"],
    );
    let two = column(|guest| {
        let one = words(None, INT64, &[eight(guest), 1]);
        [one.clone(), one].concat()
    });
    told("two columns", &two, &["returned 2 columns"]);
    let ty = column(|guest| words(None, BOOL, &[eight(guest), 1]));
    told("wrong type", &ty, &["column n: its type is not int64"]);
    let len = column(|_| words(None, INT64, &[0, 0]));
    told("wrong length", &len, &["column n: 0 values for 1 rows"]);
    let bits = column(|guest| {
        let at = eight(guest);
        words(Some((at, 2)), INT64, &[at, 1])
    });
    told(
        "bitmap of wrong size",
        &bits,
        &["validity of 2 bytes for 1 rows"],
    );
    let null = column(|guest| {
        let (at, none) = (eight(guest), guest.put(&[0]));
        words(Some((none, 1)), INT64, &[at, 1])
    });
    told("null", &null, &["not described as optional"]);
    let case = column(|_| words(None, 99, &[0, 0]));
    told("unknown case", &case, &["trapped", "discriminant"]);
    let good = column(|guest| words(None, INT64, &[eight(guest), 1]));
    assert!(live(&good).is_ok());
    host_is_alive();
}

#[test]
fn lists_that_are_not_there_or_larger_than_all_memory() {
    for (case, list) in [
        ("beyond memory", [0xffff_fff0, 4]),
        ("giant", [1_024, 0x3fff_ffff]),
        ("crooked", [1_025, 1]),
    ] {
        let mut guest = Guest::new("filter");
        guest.answers("filter", &[list[0], list[1], 0, 0, 0, 0, 0, 0]);
        told(case, &guest, &["trapped"]);
    }
    host_is_alive();
}

#[test]
fn lists_that_overlap_do_not_multiply_in_the_host() {
    // Ten thousand columns of four million bytes each, all in the same four million bytes: 40 GB, were they copied.
    let many = 10_000;
    let mut guest = Guest::new("map");
    let columns: Vec<usize> = words(None, BOOL, &[0, 4_000_000]).repeat(many);
    let source = guest.words(&[0]);
    let at = guest.words(&columns);
    guest.answers("map", &[source, 1, at, many, 0, 0, 0, 0, 0, 0]);
    told(
        "overlapping",
        &guest,
        &["handed over more than the 134217728 bytes"],
    );
    let mut small = limits();
    small.output_bytes = 1 << 20;
    let failure = live_within(&keeps(&[0]), small).err();
    assert!(failure.is_none(), "{failure:?}");
    host_is_alive();
}

#[test]
fn more_rows_than_allowed() {
    let mut guest = Guest::new("map");
    let column = guest.column(None, INT64, &[0, 0]);
    guest.answers("map", &[4_096, 10_000, column, 1, 0, 0, 0, 0, 0, 0]);
    let mut few = limits();
    few.output_rows = 9_999;
    // The indices are whatever lies there; how many they are is looked at first.
    let failure = live_within(&guest, few).unwrap_err();
    assert_says(
        "rows",
        &failure.to_string(),
        &["10000 rows", "may return 9999"],
    );
}

#[test]
fn partials_that_lie() {
    for function in ["take-deltas", "snapshot"] {
        for (case, offsets, len) in [
            ("too few", &[0][..], 0),
            ("beyond", &[0, 99], 0),
            ("negative", &[0, -5], 0),
            ("decreasing", &[3, 0], 3),
        ] {
            let mut guest = Guest::new("aggregate");
            let at = guest.offsets(offsets);
            guest.answers(function, &[at, offsets.len(), 1_024, len]);
            told(
                &format!("{function} {case}"),
                &guest,
                &["broke the contract", "offsets"],
            );
        }
    }
    let mut guest = Guest::new("aggregate");
    let at = guest.offsets(&[0, 1, 1]);
    guest.answers("migrate", &[0, at, 3, 1_024, 1]);
    told(
        "migrate",
        &guest,
        &["broke the contract", "3 offsets for 1 rows"],
    );
    host_is_alive();
}

#[test]
fn descriptions_that_lie() {
    let refused = |guest: &Guest, words: &[&str]| {
        let told = super::load_bytes(&guest.build()).err().unwrap();
        assert_says("description", &told, words);
    };
    let long = "a".repeat(600_000);
    let describes = |name: &str, version: &str, field: &str| {
        let mut guest = Guest::new("filter");
        guest.describes(name, version, field);
        guest
    };
    refused(&describes(&long, "1", "n"), &["its name", "1 to 64"]);
    refused(&describes("a\nb", "1", "n"), &["its name", "a\\nb"]);
    refused(&describes("a", &long, "n"), &["its version"]);
    refused(&describes("a", "1", &long), &["a field whose name", "256"]);
    refused(&describes("a", "1", "\u{1b}[31m"), &["a field whose name"]);
    let mut versions = Guest::new("aggregate");
    let list = versions.words(&[2, 1]);
    versions.answers("from-versions", &[list, 2]);
    refused(&versions, &["do not ascend"]);
    let mut own = Guest::new("aggregate");
    let list = own.words(&[2]);
    own.answers("from-versions", &[list, 1]);
    refused(&own, &["which is its own"]);
    // The name of the function is not text.
    let mut broken = Guest::new("filter");
    let name = broken.put(b"\xff\xfe");
    broken.answers("describe", &[name, 2, name, 0, 0, 0, 0, 0, 0, 1]);
    refused(&broken, &["trapped", "utf-8"]);
    host_is_alive();
}
