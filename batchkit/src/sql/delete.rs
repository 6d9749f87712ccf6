//! DELETE by key.

use super::source::Source;
use super::table::TableSql;
use super::{Form, answer_columns, key_equals, letter, returned_columns};
use crate::report::Outcome;

/// The text of a delete of the rows whose `key` the input names.
pub(crate) fn delete(table: &TableSql, source: Source, key: &[usize], form: Form) -> String {
    let from = source.relation(table, key);
    let matches = key_equals(table, key, "t", "s");
    if form == Form::Count {
        return format!("DELETE FROM {} AS t USING {from} WHERE {matches}", table.name);
    }
    let returned = returned_columns(table, form, "t");
    let columns = answer_columns(table, form, "d");
    format!(
        "WITH s AS MATERIALIZED (SELECT s.* FROM {from}), \
         d AS (DELETE FROM {} AS t USING s WHERE {matches} RETURNING s.o{returned}) \
         SELECT s.o, CASE WHEN d.o IS NULL THEN {} ELSE {} END{columns} FROM s LEFT JOIN d ON d.o = s.o",
        table.name,
        letter(Outcome::Missing),
        letter(Outcome::Deleted),
    )
}
