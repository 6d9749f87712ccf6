//! UPDATE of each row to its own values.

use super::habits::{and_live, and_version, next_version};
use super::source::Source;
use super::table::TableSql;
use super::{Form, answer_columns, assignments, differs, key_equals, letter, list, returned_columns, stale, unseen};
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
    /// The version, if the rows give it: only a stored row that has it is updated.
    pub(crate) version: Option<usize>,
    /// Whether rows that would not change are left alone.
    pub(crate) if_changed: bool,
}

/// The text of an update. An update that only leaves rows alone, or compares their versions, is always asked for its
/// outcomes.
pub(crate) fn update(table: &TableSql, source: Source, verb: &Update<'_>, form: Form) -> String {
    let value = |c: usize| format!("s.c{c}");
    let set: Vec<_> = verb.set.iter().map(|&c| (c, value(c))).collect();
    // What is marked as deleted is found only to change the mark.
    let finds_deleted = table.soft_delete.is_some_and(|soft_delete| verb.set.contains(&soft_delete.column));
    let matches = key_equals(table, verb.key, "t", "s") + &and_live(table, "t", !finds_deleted);
    let differs = differs(table, &set);
    let changed = if verb.if_changed { format!(" AND {differs}") } else { String::new() };
    let version = and_version(table, verb.version, value);
    let set = assignments(table, &set.into_iter().chain(next_version(table)).collect::<Vec<_>>());
    let compared = if verb.if_changed || verb.version.is_some() { verb.given } else { verb.key };
    if form == Form::Count {
        let from = source.unnumbered(table, verb.given, compared);
        return format!("UPDATE {} AS t SET {set} FROM {from} WHERE {matches}{changed}", table.name);
    }
    let from = source.numbered(table, verb.given, compared);
    let returned = returned_columns(table, form, "t");
    let (updated, missing) = (letter(Outcome::Updated), letter(Outcome::Missing));
    let done = format!(
        "WITH s AS MATERIALIZED (SELECT s.* FROM {from}), \
         d AS (UPDATE {} AS t SET {set} FROM s WHERE {matches}{version}{changed} RETURNING s.o{returned})",
        table.name
    );
    if !verb.if_changed && verb.version.is_none() {
        let columns = answer_columns(table, form, "d");
        return format!(
            "{done} SELECT s.o, CASE WHEN d.o IS NULL THEN {missing} ELSE {updated} END{columns} \
             FROM s LEFT JOIN d ON d.o = s.o"
        );
    }
    let columns = match verb.if_changed {
        true => list(table.answered(form), "", |c| {
            format!(", CASE WHEN d.o IS NULL THEN t.{} ELSE d.r{c} END", table.columns[c].name)
        }),
        false => answer_columns(table, form, "d"),
    };
    let unchanged = letter(Outcome::Unchanged);
    let rest = match verb.version {
        None => format!("ELSE {unchanged}"),
        // The version is as it should be, and still the row was not updated: a rival has changed it since this
        // statement began, or a trigger did not let it.
        Some(c) => {
            let name = &table.columns[c].name;
            let same = if verb.if_changed { format!("WHEN NOT {differs} THEN {unchanged} ") } else { String::new() };
            format!("WHEN t.{name} <> {} THEN {} {same}ELSE {}", value(c), stale(), unseen())
        }
    };
    let key = &table.columns[verb.key[0]].name;
    format!(
        "{done} SELECT s.o, CASE WHEN d.o IS NOT NULL THEN {updated} WHEN t.{key} IS NULL THEN {missing} {rest} END{columns} \
         FROM s LEFT JOIN d ON d.o = s.o LEFT JOIN {} AS t ON {matches}",
        table.name
    )
}
