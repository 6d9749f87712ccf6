//! UPDATE of each row to its own values.

use super::source::Source;
use super::table::TableSql;
use super::{Form, answer_columns, assignments, differs, key_equals, letter, list, returned_columns};
use crate::report::Outcome;

/// An update.
#[derive(Debug)]
pub(crate) struct Update<'a> {
    /// The columns that the rows give, the key's among them.
    pub(crate) given: &'a [usize],
    /// The key by which the stored row is found.
    pub(crate) key: &'a [usize],
    /// The columns to set.
    pub(crate) set: &'a [usize],
    /// Whether rows that would not change are left alone.
    pub(crate) if_changed: bool,
}

/// The text of an update. An update that only leaves rows alone is always asked for its outcomes.
pub(crate) fn update(table: &TableSql, source: Source, verb: &Update<'_>, form: Form) -> String {
    let from = source.relation(table, verb.given);
    let value = |c: usize| format!("s.c{c}");
    let set = assignments(table, verb.set, value);
    let matches = key_equals(table, verb.key, "t", "s");
    let changed = match verb.if_changed {
        true => format!(" AND {}", differs(table, verb.set, value)),
        false => String::new(),
    };
    if form == Form::Count {
        return format!("UPDATE {} AS t SET {set} FROM {from} WHERE {matches}{changed}", table.name);
    }
    let returned = returned_columns(table, form, "t");
    let (updated, missing) = (letter(Outcome::Updated), letter(Outcome::Missing));
    let done = format!(
        "WITH s AS MATERIALIZED (SELECT s.* FROM {from}), \
         d AS (UPDATE {} AS t SET {set} FROM s WHERE {matches}{changed} RETURNING s.o{returned})",
        table.name
    );
    if !verb.if_changed {
        let columns = answer_columns(table, form, "d");
        return format!(
            "{done} SELECT s.o, CASE WHEN d.o IS NULL THEN {missing} ELSE {updated} END{columns} \
             FROM s LEFT JOIN d ON d.o = s.o"
        );
    }
    let columns = match form {
        Form::Rows => list(table.columns.iter().enumerate(), "", |(c, column)| {
            format!(", CASE WHEN d.o IS NULL THEN t.{} ELSE d.r{c} END", column.name)
        }),
        _ => String::new(),
    };
    let unchanged = letter(Outcome::Unchanged);
    let key = &table.columns[verb.key[0]].name;
    format!(
        "{done} SELECT s.o, CASE WHEN d.o IS NOT NULL THEN {updated} WHEN t.{key} IS NULL THEN {missing} ELSE {unchanged} END{columns} \
         FROM s LEFT JOIN d ON d.o = s.o LEFT JOIN {} AS t ON {matches}",
        table.name
    )
}
