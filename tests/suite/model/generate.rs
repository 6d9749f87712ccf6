//! Rows in which conflicts and duplicates abound, and the ways to write them.

use batchkit::{DuplicatePolicy, ExecutionStrategy, OnRowError, Transport};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use rust_decimal::Decimal;

use super::reference::{Fields, Part, Verb};
use crate::common::TRANSPORTS;

/// One call.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// What is tried to be stored before; what does not fit is left out.
    pub(super) stored: Vec<Part>,
    /// How many of the stored rows another table references.
    pub(super) referenced: usize,
    pub(super) rows: Vec<Part>,
    pub(super) verb: Verb,
    pub(super) way: Way,
}

/// How it is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) strategy: ExecutionStrategy,
    pub(super) transport: Transport,
    pub(super) chunk: usize,
    pub(super) workers: usize,
    pub(super) duplicates: DuplicatePolicy,
    pub(super) on_row_error: OnRowError,
}

/// Keys of which many are one when the column has rounded them; one that it cannot hold.
fn id() -> impl Strategy<Value = Decimal> {
    prop_oneof![
        60 => (1..14i64, select(vec![0, 1, 4, 5])).prop_map(|(n, rest)| Decimal::new(n * 1_000 + rest, 3)),
        1 => Just(Decimal::new(9_999_996, 3)),
        1 => Just(Decimal::new(9_999_994, 3)),
    ]
}

fn code() -> impl Strategy<Value = Option<String>> {
    let known = ["a", "A", "b", "c", "d", "D", "e", "f", "g", "h", "i", "j", "k", "ä", "Ä"];
    prop_oneof![
        40 => select(known.to_vec()).prop_map(|code| Some(code.to_owned())),
        12 => Just(None),
        1 => Just(Some("nul\0".to_owned())),
    ]
}

fn note() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        80 => select(vec!["x", "y", "z"]).prop_map(|note| Some(note.to_owned())),
        1 => Just(None),
        1 => Just(Some("\0".to_owned())),
        1 => Just(Some("too long".to_owned())),
    ]
}

fn part() -> impl Strategy<Value = Part> {
    let kind = prop_oneof![12 => select(vec![None, Some(1), Some(2)]), 1 => Just(Some(9))];
    let size = prop_oneof![16 => 1..3i32, 1 => Just(0), 1 => Just(-1)];
    (id(), code(), kind, size, note()).prop_map(|(id, code, kind, size, note)| Part {
        id,
        code,
        kind,
        size,
        note,
        tag: 0,
    })
}

fn way() -> impl Strategy<Value = Way> {
    use ExecutionStrategy::{Chunked, Optimistic, Parallel, Pipelined, SingleQuery};
    (
        select(vec![SingleQuery, Chunked, Parallel, Parallel, Pipelined, Optimistic]),
        select(TRANSPORTS.to_vec()),
        select(vec![1usize, 3, 7, 1_000]),
        select(vec![1usize, 2, 4]),
        select(vec![
            DuplicatePolicy::Error,
            DuplicatePolicy::FirstWins,
            DuplicatePolicy::FirstWins,
            DuplicatePolicy::LastWins,
            DuplicatePolicy::LastWins,
        ]),
        select(vec![OnRowError::Reject, OnRowError::Reject, OnRowError::Abort]),
    )
        .prop_map(|(strategy, transport, chunk, workers, duplicates, on_row_error)| Way {
            strategy,
            transport,
            chunk,
            workers,
            duplicates,
            on_row_error,
        })
}

fn fields() -> impl Strategy<Value = Fields> {
    select(vec![
        None,
        None,
        Some(&["size", "note"][..]),
        Some(&["kind", "size"][..]),
        Some(&["code", "tag"][..]),
        Some(&["note"][..]),
    ])
}

/// Calls of verbs that `verb` makes of fields and two choices.
pub(super) fn case(verb: fn(Fields, bool, bool) -> Verb) -> impl Strategy<Value = Case> {
    let verb = (fields(), any::<bool>(), any::<bool>()).prop_map(move |(fields, one, two)| verb(fields, one, two));
    (vec(part(), 0..10), 0..3usize, vec(part(), 0..26), verb, way()).prop_map(
        |(mut stored, referenced, mut rows, verb, way)| {
            for (part, tag) in stored.iter_mut().zip(1_000..) {
                part.tag = tag;
            }
            for (part, tag) in rows.iter_mut().zip(0..) {
                part.tag = tag;
            }
            Case { stored, referenced, rows, verb, way }
        },
    )
}
