//! Mistakes in a struct are told at the user's own tokens, all at once, with what to do.
//!
//! Each file in `compile_fail/<kind>/` holds one mistake and is named for it; those in `many` hold more, to show
//! that all are told, and nothing else. The compiler words part of the messages, so they are compared on one
//! version of it.
#![allow(clippy::unwrap_used, reason = "a test that fails here has failed")]

use std::process::Command;

/// The version that the messages were taken with.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn every_mistake_is_told_where_it_was_made() {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = String::from_utf8(Command::new(compiler).arg("--version").output().unwrap().stdout).unwrap();
    if !version.starts_with(COMPILER) {
        eprintln!("SKIPPED: the messages are those of {COMPILER}, and this is {version}");
        return;
    }
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*/*.rs");
}
