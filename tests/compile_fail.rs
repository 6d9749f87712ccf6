//! Mistakes in a struct are told at the user's own tokens, all at once, with what to do.
//!
//! Each file in `compile_fail/<kind>/` holds one mistake and is named for it; `several.rs` hold more, to show
//! that all are told.

#[test]
fn every_mistake_is_told_where_it_was_made() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*/*.rs");
}
