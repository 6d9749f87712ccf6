//! SELECT by key. It answers only the rows found: the keys that are not answered are missing.

use super::habits::and_live;
use super::source::Source;
use super::table::TableSql;
use super::{Form, key_equals, letter, list};
use crate::report::Outcome;

/// The text of a read of the rows whose `key` the input names, those marked as deleted only `with_deleted`.
pub(crate) fn get(table: &TableSql, source: Source, key: &[usize], with_deleted: bool, form: Form) -> String {
    let from = source.relation(table, key);
    let matches = key_equals(table, key, "t", "s") + &and_live(table, "t", !with_deleted);
    let columns = match form {
        Form::Rows => list(&table.columns, "", |column| format!(", t.{}", column.name)),
        Form::Outcomes => String::new(),
        Form::Count => return format!("SELECT count(*) FROM {from} JOIN {} AS t ON {matches}", table.name),
    };
    format!("SELECT s.o, {}{columns} FROM {from} JOIN {} AS t ON {matches}", letter(Outcome::Found), table.name)
}
