//! DELETE by key, or the mark that a row is deleted.

use super::habits::{and_live, mark, next_version};
use super::source::Source;
use super::table::TableSql;
use super::{Form, answer_columns, assignments, key_equals, letter, returned_columns};
use crate::report::Outcome;

/// The text of a delete of the rows whose `key` the input names. Where rows are marked, those that are not yet
/// are, unless they are to be deleted `hard`.
pub(crate) fn delete(table: &TableSql, source: Source, key: &[usize], hard: bool, form: Form) -> String {
    let marked = mark(table).filter(|_| !hard);
    let live = and_live(table, "t", marked.is_some());
    let set = |mark: &(usize, String)| {
        let set: Vec<_> = std::iter::once(mark.clone()).chain(next_version(table)).collect();
        format!("UPDATE {} AS t SET {}", table.name, assignments(table, &set))
    };
    if counted_by_key(table, source, key, form).is_some()
        && let Some(is_one) = source.equals_any(table, key)
    {
        return match &marked {
            None => format!("DELETE FROM {} AS t WHERE {is_one}{live}", table.name),
            Some(mark) => format!("{} WHERE {is_one}{live}", set(mark)),
        };
    }
    let matches = key_equals(table, key, "t", "s") + &live;
    let delete = |from: &str| match &marked {
        None => format!("DELETE FROM {} AS t USING {from} WHERE {matches}", table.name),
        Some(mark) => format!("{} FROM {from} WHERE {matches}", set(mark)),
    };
    if form == Form::Count {
        return delete(&source.unnumbered(table, key, key));
    }
    let from = source.numbered(table, key, key);
    let returned = returned_columns(table, form, "t");
    let columns = answer_columns(table, form, "d");
    format!(
        "WITH s AS MATERIALIZED (SELECT s.* FROM {from}), d AS ({} RETURNING s.o{returned}) \
         SELECT s.o, CASE WHEN d.o IS NULL THEN {} ELSE {} END{columns} FROM s LEFT JOIN d ON d.o = s.o",
        delete("s"),
        letter(Outcome::Missing),
        letter(Outcome::Deleted),
    )
}

/// The key's column, where the statement looks its values up in one array and tells how many rows there were.
pub(crate) fn counted_by_key(table: &TableSql, source: Source, key: &[usize], form: Form) -> Option<usize> {
    let &[column] = key else { return None };
    (form == Form::Count && source.equals_any(table, key).is_some()).then_some(column)
}
