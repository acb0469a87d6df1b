//! Mistakes of an author give errors that name the mistake and point at it.
//!
//! Each file in `compile_fail/` is one mistake; the `.stderr` beside it is what the compiler says.

#[test]
fn mistakes_are_named_where_they_are() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
