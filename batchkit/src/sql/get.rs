//! SELECT by key. It answers only the rows found: the keys that are not answered are missing.
//!
//! Where the key's bytes tell which row is whose, it has no ordinal in front: the server looks a key up in an array
//! quicker than it joins a function's rows.

use super::habits::and_live;
use super::source::Source;
use super::table::TableSql;
use super::{Form, key_equals, letter, list};
use crate::report::Outcome;

/// The text of a read of the rows whose `key` the input names, those marked as deleted only `with_deleted`.
pub(crate) fn get(table: &TableSql, source: Source, key: &[usize], with_deleted: bool, form: Form) -> String {
    let live = and_live(table, "t", !with_deleted);
    if let Some(column) = matched_by_key(table, source, key, form) {
        let is_one = source.equals_any(table, key).unwrap_or_default();
        let columns = list(table.answered_with(form, column), ", ", |c| format!("t.{}", table.columns[c].name));
        return format!("SELECT {columns} FROM {} AS t WHERE {is_one}{live}", table.name);
    }
    let matches = key_equals(table, key, "t", "s") + &live;
    if form == Form::Count {
        let from = source.unnumbered(table, key, key);
        return format!("SELECT count(*) FROM {from} JOIN {} AS t ON {matches}", table.name);
    }
    let columns = list(table.answered(form), "", |c| format!(", t.{}", table.columns[c].name));
    let from = source.numbered(table, key, key);
    format!("SELECT s.o, {}{columns} FROM {from} JOIN {} AS t ON {matches}", letter(Outcome::Found), table.name)
}

/// The key's column, where the answered rows find their input by its bytes.
pub(crate) fn matched_by_key(table: &TableSql, source: Source, key: &[usize], form: Form) -> Option<usize> {
    // Counted are the keys that were found, and a key may have been asked for twice.
    let is_plain = form != Form::Count && source.equals_any(table, key).is_some();
    let &[column] = key else { return None };
    (is_plain && table.columns[column].equal_bytes).then_some(column)
}
