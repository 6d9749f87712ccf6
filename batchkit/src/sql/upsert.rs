//! INSERT … ON CONFLICT DO UPDATE, with inserted and updated told apart.

use super::insert::{into, values};
use super::source::Source;
use super::table::TableSql;
use super::{
    Form, answer_columns, assignments, differs, key_equals, letter, list, returned_columns, unchanged_without_row,
};
use crate::report::Outcome;

/// An upsert.
#[derive(Debug)]
pub(crate) struct Upsert<'a> {
    /// The columns that the rows give, the target's among them.
    pub(crate) given: &'a [usize],
    /// The unique key whose conflict makes an update of an insert.
    pub(crate) target: &'a [usize],
    /// The columns to set on a conflict.
    pub(crate) set: &'a [usize],
    /// Whether rows that would not change are left alone.
    pub(crate) if_changed: bool,
}

/// That the stored row of `alias` has the key of `s`, in words for which its index can be used.
fn stored(table: &TableSql, key: &[usize], alias: &str) -> String {
    if !table.takes_null(key) {
        return key_equals(table, key, alias, "s");
    }
    list(key, " AND ", |&c| {
        let name = &table.columns[c].name;
        format!("({alias}.{name} = s.c{c} OR {alias}.{name} IS NULL AND s.c{c} IS NULL)")
    })
}

/// The text of an upsert. Its counting form answers one row: how many were inserted, how many updated.
pub(crate) fn upsert(table: &TableSql, source: Source, verb: &Upsert<'_>, form: Form) -> String {
    let from = source.relation(table, verb.given);
    let excluded = |c: usize| format!("EXCLUDED.{}", table.columns[c].name);
    let set = assignments(table, verb.set, excluded);
    let target = list(verb.target, ", ", |&c| table.columns[c].name.clone());
    let action = match (set.is_empty(), verb.if_changed && !verb.set.is_empty()) {
        (true, _) => "DO NOTHING".to_owned(),
        (false, true) => format!("DO UPDATE SET {set} WHERE {}", differs(table, verb.set, excluded)),
        (false, false) => format!("DO UPDATE SET {set}"),
    };
    // A row that this statement inserted has no xmax. Where that cannot be asked, whether the row was there
    // before tells the same, unless a rival inserts it in between.
    let (existed, inserted) = match table.hides_xmax {
        true => (
            format!(", EXISTS (SELECT FROM {} AS e WHERE {}) AS e", table.name, stored(table, verb.target, "e")),
            "NOT s.e".to_owned(),
        ),
        false => (String::new(), "d.i".to_owned()),
    };
    let asked = if table.hides_xmax { "true" } else { "t.xmax = 0" };
    let returned_key = list(verb.target, ", ", |&c| format!("t.{} AS k{c}", table.columns[c].name));
    let returned = returned_columns(table, form, "t");
    let done = format!(
        "WITH s AS MATERIALIZED (SELECT s.*{existed} FROM {from}), \
         d AS (INSERT INTO {} SELECT {} FROM s ORDER BY s.o ON CONFLICT ({target}) {action} \
         RETURNING true AS w, {asked} AS i, {returned_key}{returned})",
        into(table, verb.given),
        values(verb.given, "s"),
    );
    let matches = match table.takes_null(verb.target) {
        // In an array NULL equals NULL, and the rows can still be joined by hashing.
        true => list(verb.target, " AND ", |c| format!("ARRAY[d.k{c}] = ARRAY[s.c{c}]")),
        false => list(verb.target, " AND ", |c| format!("d.k{c} = s.c{c}")),
    };
    if form == Form::Count {
        let joined = if table.hides_xmax { format!(" JOIN s ON {matches}") } else { String::new() };
        return format!(
            "{done} SELECT count(*) FILTER (WHERE {inserted}), count(*) FILTER (WHERE NOT {inserted}) FROM d{joined}"
        );
    }
    // What neither was inserted nor updated was left alone where that is allowed, else dropped by a trigger.
    let may_stay = verb.if_changed || set.is_empty();
    let rest = match (form, may_stay) {
        (_, false) => letter(Outcome::Skipped),
        (Form::Rows, true) => {
            // A rival's row may be too new for this statement to see.
            let seen = if table.takes_null(verb.target) { "tableoid" } else { &table.columns[verb.target[0]].name };
            format!(
                "CASE WHEN t.{seen} IS NULL THEN {} ELSE {} END",
                unchanged_without_row(),
                letter(Outcome::Unchanged)
            )
        }
        (_, true) => letter(Outcome::Unchanged),
    };
    let (joined, columns) = match (form, may_stay) {
        (Form::Rows, true) => (
            format!(" LEFT JOIN {} AS t ON {}", table.name, stored(table, verb.target, "t")),
            list(table.columns.iter().enumerate(), "", |(c, column)| {
                format!(", CASE WHEN d.w THEN d.r{c} ELSE t.{} END", column.name)
            }),
        ),
        _ => (String::new(), answer_columns(table, form, "d")),
    };
    format!(
        "{done} SELECT s.o, CASE WHEN d.w IS NULL THEN {rest} WHEN {inserted} THEN {} ELSE {} END{columns} \
         FROM s {} d ON {matches}{joined}",
        letter(Outcome::Inserted),
        letter(Outcome::Updated),
        // A trigger that changes the key leaves a row without an input: it must be seen, not lost.
        if table.triggered { "FULL JOIN" } else { "LEFT JOIN" },
    )
}
