//! Files that are monstrous: each is refused in bounded time, with a sentence.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::guest::Guest;
use super::{assert_says, host_is_alive, load_bytes};

/// Why these bytes are refused. It takes no longer than a few seconds.
#[track_caller]
fn refused(case: &str, bytes: &[u8], words: &[&str]) {
    let began = Instant::now();
    let told = load_bytes(bytes)
        .err()
        .unwrap_or_else(|| panic!("{case}: it was taken"));
    assert_says(case, &told, words);
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{case}: {:?}",
        began.elapsed()
    );
}

#[test]
fn more_functions_than_compile_in_bounded_time() {
    let guest = Guest::new("filter").with(&"(func)".repeat(100_000));
    refused(
        "functions",
        &guest.build(),
        &["too large to compile", "functions", "at most 50000"],
    );
}

#[test]
fn a_function_of_megabytes() {
    let guest = Guest::new("filter").with(&format!("(func {})", "nop ".repeat(2 << 20)));
    refused(
        "function",
        &guest.build(),
        &["too large to compile", "in one function", "at most 1048576"],
    );
}

#[test]
fn hundreds_of_modules() {
    let component = format!("(component {})", "(core module)".repeat(300));
    refused(
        "modules",
        &wat::parse_str(component).unwrap(),
        &["too large to compile", "modules", "256"],
    );
}

#[test]
fn data_segments_beyond_memory() {
    let guest = Guest::new("filter").with(&format!(
        "(data (i32.const -16) \"{}\")",
        "x".repeat(8 << 20)
    ));
    refused("data", &guest.build(), &["out of bounds"]);
}

#[test]
fn names_of_a_megabyte() {
    let name = "a".repeat(1 << 20);
    let component = format!("(component (core module (func (export \"{name}\"))))");
    refused(
        "core name",
        &wat::parse_str(component).unwrap(),
        &["not a valid component"],
    );
    let mut bytes =
        wat::parse_str("(component (import \"NAME\" (func)))".replace("NAME", "abc")).unwrap();
    bytes.truncate(8);
    refused("no world", &bytes, &["another world"]);
}

#[test]
fn types_nested_ten_thousand_deep() {
    let mut text = String::from("(component (type $t0 (list u8))");
    for depth in 1..10_000 {
        write!(text, "(type $t{depth} (list $t{}))", depth - 1).unwrap();
    }
    text.push_str(&format!("(import \"f\" (func (param \"x\" $t{})))", 9_999));
    text.push(')');
    let bytes = wat::parse_str(text).unwrap();
    refused("types", &bytes, &["type nesting is too deep"]);
    // Components in components: the text would nest as deep, so the bytes are made here.
    let mut nested = wat::parse_str("(component)").unwrap();
    for _ in 0..1_000 {
        let mut outer = wat::parse_str("(component)").unwrap();
        outer.push(4);
        let mut length = nested.len();
        while length > 0x7f {
            outer.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        outer.push(u8::try_from(length).unwrap());
        outer.extend(nested);
        nested = outer;
    }
    refused(
        "components",
        &nested,
        &["too large to compile", "components"],
    );
    host_is_alive();
}

#[test]
fn a_hostile_component_cut_off_or_with_flipped_bits_is_refused_or_harmless() {
    let whole = Guest::new("map").build();
    for eighths in 1..8 {
        refused(
            "cut",
            &whole[..whole.len() * eighths / 8],
            &["not a valid component"],
        );
    }
    for at in (8..whole.len()).step_by(whole.len() / 40) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        // Most are refused. One that is not may fail in a call, and says so.
        if let Ok(plugin) = load_bytes(&bytes) {
            let limits = super::limits();
            let engine = super::engine();
            if let Ok(mut map) =
                millstream::plugin::MapInstance::start(engine, &plugin, "{}", limits)
            {
                let _ = map.map(&super::rows(), &[0]);
            }
        }
    }
    host_is_alive();
}
