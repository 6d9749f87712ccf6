//! What batchkit does to a row by itself: counts its changes, marks it as deleted, fills in new ones.

use super::list;
use super::table::TableSql;

/// The column that marks rows as deleted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SoftDelete {
    /// Which of the model's columns it is.
    pub(crate) column: usize,
    /// Whether it is a boolean; otherwise the time of the deletion.
    pub(crate) is_flag: bool,
}

/// The condition that the row of the table `alias` is not marked as deleted; `None` where rows are not marked.
pub(crate) fn live(table: &TableSql, alias: &str) -> Option<String> {
    let SoftDelete { column, is_flag } = table.soft_delete?;
    let name = &table.columns[column].name;
    Some(if is_flag { format!("NOT {alias}.{name}") } else { format!("{alias}.{name} IS NULL") })
}

/// ` AND ` and the condition of [`live`], if it is wanted and rows are marked.
pub(super) fn and_live(table: &TableSql, alias: &str, wanted: bool) -> String {
    live(table, alias).filter(|_| wanted).map_or_else(String::new, |condition| format!(" AND {condition}"))
}

/// ` AND t."version" = …`: that the stored row has the version that the caller has read, if the rows give it.
pub(super) fn and_version(table: &TableSql, given: Option<usize>, value: impl Fn(usize) -> String) -> String {
    given.map_or_else(String::new, |c| format!(" AND t.{} = {}", table.columns[c].name, value(c)))
}

/// The version's next value, as an assignment.
pub(super) fn next_version(table: &TableSql) -> Option<(usize, String)> {
    table.version.map(|c| (c, format!("t.{} + 1", table.columns[c].name)))
}

/// The mark of deletion, as an assignment.
pub(super) fn mark(table: &TableSql) -> Option<(usize, String)> {
    let SoftDelete { column, is_flag } = table.soft_delete?;
    Some((column, if is_flag { "true" } else { "now()" }.to_owned()))
}

/// What an upsert that does not set the mark of deletion does to it: a row that is marked comes back, unless
/// the caller's row has a mark too. `value` names the caller's value of a column.
pub(super) fn revival(table: &TableSql, given: &[usize], value: impl Fn(usize) -> String) -> Option<(usize, String)> {
    let SoftDelete { column, is_flag } = table.soft_delete?;
    let no_mark = if is_flag { "false" } else { "NULL" };
    let value = match live(table, "t") {
        Some(live) if given.contains(&column) => {
            format!("CASE WHEN {live} THEN {no_mark} ELSE {} END", value(column))
        }
        _ => no_mark.to_owned(),
    };
    Some((column, value))
}

/// The columns of an inserted row with their values: those that are given, as columns of `s`, and those that an
/// expression fills in.
pub(super) fn new_row(table: &TableSql, given: &[usize]) -> Vec<(usize, String)> {
    let filled = table.filled_in(given).map(|(c, expression)| (c, format!("({expression})")));
    given.iter().map(|&c| (c, format!("s.c{c}"))).chain(filled).collect()
}

/// The columns among these.
pub(super) fn columns(values: &[(usize, String)]) -> Vec<usize> {
    values.iter().map(|(c, _)| *c).collect()
}

/// The values among these, as a list.
pub(super) fn values(values: &[(usize, String)]) -> String {
    list(values, ", ", |(_, value)| value.clone())
}
