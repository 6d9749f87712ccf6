//! The text of every statement, and the only place that quotes an identifier.
//!
//! A statement depends on names and types, never on the number of rows, so one prepared statement serves
//! every chunk. Each verb reads its rows from a [`Source`], called `s` in the text, whose columns are
//! `c0`, `c1`, … (the position of the model's column) and `o`, the row's position in the statement from 1.
//! Where nothing asks for the positions there is no `o`. These names are ours, so no column name of a user's can clash
//! with them.
//!
//! A verb has two forms. The *counting* form tells how many rows were written, by the command's own tag.
//! The *accounting* form answers one row for every input row: its `o`, its outcome's letter, and the
//! columns of the stored row, or of its key, when they are wanted. Where the answer has a unique column whose bytes are
//! those that were sent, it is found by them, and answers of rows that are there have neither `o` nor letter.

mod delete;
mod draw;
mod duplicates;
mod filter;
mod get;
mod habits;
mod insert;
mod keyset;
mod probe;
mod quote;
mod related;
mod select;
mod source;
mod suspects;
mod table;
mod update;
mod upsert;

pub(crate) use delete::{counted_by_key, delete};
pub(crate) use draw::{Foretold, draw, foretell};
pub(crate) use duplicates::duplicates;
pub(crate) use filter::{Argument, ArgumentType, Arguments};
pub(crate) use get::{get, matched_by_key};
pub(crate) use insert::{Insert, Matched, OnConflict, copy_from, insert};
pub(crate) use probe::probe;
pub(crate) use quote::table_name;
pub(crate) use related::{Related, related};
pub(crate) use select::{Select, count, exists, select};
pub(crate) use source::{Source, columns_layout, lock, stage_copy, stage_create, stage_drop};
pub(crate) use suspects::{Reference, Written, dangling, taken, unchecked};
pub(crate) use table::{TableSql, preferred_type};
pub(crate) use update::{Update, update};
pub(crate) use upsert::{Upsert, upsert, upsert_counts_each};

/// Which form of a statement is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// How many rows were written.
    Count,
    /// One row per input row: ordinal and outcome.
    Outcomes,
    /// The same, and the primary key of the stored row.
    Keys,
    /// The same, and all of the model's columns of the stored row.
    Rows,
}

impl Form {
    /// Whether columns of the stored rows are answered.
    pub(crate) fn has_rows(self) -> bool {
        matches!(self, Form::Keys | Form::Rows)
    }
}

/// Joins what `one` makes of each item.
fn list<T>(items: impl IntoIterator<Item = T>, separator: &str, one: impl Fn(T) -> String) -> String {
    items.into_iter().map(one).collect::<Vec<_>>().join(separator)
}

/// `t."a" = s.c0 AND t."b" = s.c1`
fn key_equals(table: &TableSql, key: &[usize], left: &str, right: &str) -> String {
    list(key, " AND ", |&c| format!("{left}.{} = {right}.c{c}", table.columns[c].name))
}

/// An outcome as the answer's second column.
fn letter(outcome: crate::report::Outcome) -> String {
    format!("'{}'::\"char\"", outcome.letter())
}

/// The letter of a row that was left alone and does not come back.
pub(crate) const UNCHANGED_WITHOUT_ROW: u8 = b'~';

/// The letter of a row whose key is stored with another version than the one that the caller has read.
pub(crate) const STALE: u8 = b'v';

/// The letter of a row of which this statement cannot tell why it was not written: the stored row may be newer than
/// what the statement sees. It is locked by now, so that the same statement can tell when it is sent again.
pub(crate) const UNSEEN: u8 = b'n';

fn stale() -> String {
    format!("'{}'::\"char\"", char::from(STALE))
}

fn unseen() -> String {
    format!("'{}'::\"char\"", char::from(UNSEEN))
}

fn unchanged_without_row() -> String {
    format!("'{}'::\"char\"", char::from(UNCHANGED_WITHOUT_ROW))
}

/// `, d.r0, d.r1, …`: the stored row's columns in an answer, or nothing.
fn answer_columns(table: &TableSql, form: Form, of: &str) -> String {
    list(table.answered(form), "", |c| format!(", {of}.r{c}"))
}

/// `, t."a" AS r0, …`: the stored row's columns where a statement returns them, or nothing.
fn returned_columns(table: &TableSql, form: Form, of: &str) -> String {
    list(table.answered(form), "", |c| format!(", {of}.{} AS r{c}", table.columns[c].name))
}

/// `"a" = s.c0, "b" = now()`: the assignments of an update.
fn assignments(table: &TableSql, set: &[(usize, String)]) -> String {
    let given = set.iter().map(|(c, value)| format!("{} = {value}", table.columns[*c].name));
    let by_expression = table
        .columns
        .iter()
        .enumerate()
        .filter(|(c, _)| set.iter().all(|(set, _)| set != c))
        .filter_map(|(_, column)| column.on_update.map(|expression| format!("{} = ({expression})", column.name)));
    given.chain(by_expression).collect::<Vec<_>>().join(", ")
}

/// `(t."a" IS DISTINCT FROM s.c0 OR …)`: whether a row would change.
fn differs(table: &TableSql, set: &[(usize, String)]) -> String {
    if set.is_empty() {
        return "false".to_owned();
    }
    let one = |(c, value): &(usize, String)| {
        let column = &table.columns[*c];
        // json, xml and some geometric types have no equality; their texts do.
        let text = if column.comparable { "" } else { "::text" };
        format!("t.{}{text} IS DISTINCT FROM {value}{text}", column.name)
    };
    format!("({})", list(set, " OR ", one))
}
