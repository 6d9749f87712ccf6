//! Which rows break a constraint: one query over all of them, instead of a search among them.

use super::quote::quote;
use super::source::Source;
use super::table::TableSql;
use super::{key_equals, list};

/// Which rows write their reference to the table. Those that do not are not checked by the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Written {
    /// All of them.
    Always,
    /// Those whose key is stored.
    Known(Vec<usize>),
    /// Those that have none of these keys in common with a stored row, or with one before them.
    New(Vec<Vec<usize>>),
}

impl Written {
    /// The columns that it depends on.
    pub(crate) fn columns(&self) -> Vec<usize> {
        match self {
            Written::Always => Vec::new(),
            Written::Known(key) => key.clone(),
            Written::New(keys) => keys.concat(),
        }
    }
}

/// A reference to another table.
#[derive(Debug)]
pub(crate) struct Reference<'a> {
    /// The referencing columns.
    pub(crate) columns: &'a [usize],
    /// The referenced table, quoted.
    pub(crate) to: &'a str,
    /// Its columns.
    pub(crate) referenced: &'a [String],
}

/// The text that answers the ordinals of the rows that write a reference which points nowhere. The rows give the
/// columns `given`.
pub(crate) fn dangling(table: &TableSql, given: &[usize], reference: &Reference<'_>, written: &Written) -> String {
    let from = Source::Columns.numbered(table, given, given);
    let Reference { columns, to, referenced } = reference;
    let is_given = |columns: &[usize]| list(columns, " AND ", |c| format!("s.c{c} IS NOT NULL"));
    let matches = list(columns.iter().zip(*referenced), " AND ", |(c, name)| format!("r.{} = s.c{c}", quote(name)));
    let stored =
        |key: &[usize]| format!("EXISTS (SELECT FROM {} AS t WHERE {})", table.name, key_equals(table, key, "t", "s"));
    let (from, writes) = match written {
        Written::Always => (from, String::new()),
        Written::Known(key) => (from, format!(" AND {}", stored(key))),
        Written::New(keys) => {
            let number = |(n, key): (usize, &Vec<usize>)| {
                let same = list(key, ", ", |c| format!("s.c{c}"));
                format!(", row_number() OVER (PARTITION BY {same} ORDER BY s.o) AS n{n}")
            };
            let is_new = |(n, key): (usize, &Vec<usize>)| {
                format!(" AND ((s.n{n} = 1 AND NOT {}) OR NOT ({}))", stored(key), is_given(key))
            };
            let numbers = list(keys.iter().enumerate(), "", number);
            (format!("(SELECT s.*{numbers} FROM {from}) AS s"), list(keys.iter().enumerate(), "", is_new))
        }
    };
    let given = is_given(columns);
    format!("SELECT s.o FROM {from} WHERE {given} AND NOT EXISTS (SELECT FROM {to} AS r WHERE {matches}){writes}")
}

/// The text that answers the ordinals of the rows whose key is stored already, or another row's before, and of
/// each whether it is only that: then it depends on the other row whether this one can go in.
pub(crate) fn taken(table: &TableSql, key: &[usize]) -> String {
    let from = Source::Columns.numbered(table, key, key);
    let given = list(key, " AND ", |c| format!("s.c{c} IS NOT NULL"));
    let same = list(key, ", ", |c| format!("s.c{c}"));
    let columns = list(key, ", ", |c| format!("s.c{c}"));
    let matches = key_equals(table, key, "t", "q");
    let stored = format!("EXISTS (SELECT FROM {} AS t WHERE {matches})", table.name);
    format!(
        "SELECT r.o, NOT r.stored FROM (SELECT q.o, q.n, {stored} AS stored FROM \
         (SELECT s.o, {columns}, row_number() OVER (PARTITION BY {same} ORDER BY s.o) AS n FROM {from} WHERE {given}) AS q) AS r \
         WHERE r.stored OR r.n > 1"
    )
}

/// The text that answers the ordinals of the rows for which a check does not hold.
pub(crate) fn unchecked(table: &TableSql, columns: &[usize], expression: &str) -> String {
    let from = Source::Columns.numbered(table, columns, columns);
    // The expression names the table's columns; the ordinal has a name that nobody gives one.
    let named = list(columns, ", ", |&c| format!("s.c{c} AS {}", table.columns[c].name));
    format!(
        "SELECT q.\"batchkit ordinal\" FROM (SELECT s.o AS \"batchkit ordinal\", {named} FROM {from}) AS q WHERE ({expression}) IS FALSE"
    )
}
