//! Which rows break a constraint: one query over all of them, instead of a search among them.

use super::quote::quote;
use super::source::Source;
use super::table::TableSql;
use super::{key_equals, list};

/// The text that answers the ordinals of the rows whose reference points nowhere.
pub(crate) fn dangling(table: &TableSql, columns: &[usize], references: &str, referenced: &[String]) -> String {
    let from = Source::Columns.relation(table, columns);
    let given = list(columns, " AND ", |c| format!("s.c{c} IS NOT NULL"));
    let matches = list(columns.iter().zip(referenced), " AND ", |(c, name)| format!("r.{} = s.c{c}", quote(name)));
    format!("SELECT s.o FROM {from} WHERE {given} AND NOT EXISTS (SELECT FROM {references} AS r WHERE {matches})")
}

/// The text that answers the ordinals of the rows whose key is stored already, or another row's before, and of
/// each whether it is only that: then it depends on the other row whether this one can go in.
pub(crate) fn taken(table: &TableSql, key: &[usize]) -> String {
    let from = Source::Columns.relation(table, key);
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
    let from = Source::Columns.relation(table, columns);
    // The expression names the table's columns; the ordinal has a name that nobody gives one.
    let named = list(columns, ", ", |&c| format!("s.c{c} AS {}", table.columns[c].name));
    format!(
        "SELECT q.\"batchkit ordinal\" FROM (SELECT s.o AS \"batchkit ordinal\", {named} FROM {from}) AS q WHERE ({expression}) IS FALSE"
    )
}
