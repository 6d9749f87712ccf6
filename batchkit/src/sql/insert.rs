//! INSERT, and COPY into the target.

use super::habits::{columns, new_row, values};
use super::source::Source;
use super::table::TableSql;
use super::{Form, answer_columns, letter, list, returned_columns, unchanged_without_row};
use crate::report::Outcome;

/// What an insert does when a unique key is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OnConflict {
    /// Fails.
    Fail,
    /// Leaves the stored row as it is.
    Ignore,
}

/// How the rows that an insert returns find their input.
#[derive(Debug)]
pub(crate) enum Matched<'a> {
    /// It has one row.
    Single,
    /// By the bytes of a column, which the client compares.
    Bytes(usize),
    /// By this key, which the server compares: its columns are given, or drawn beforehand.
    Key(&'a [usize]),
}

/// An insert.
#[derive(Debug)]
pub(crate) struct Insert<'a> {
    /// The columns that the rows give.
    pub(crate) given: &'a [usize],
    /// What to do when a unique key is taken.
    pub(crate) on_conflict: OnConflict,
    /// How returned rows find their input.
    pub(crate) matched: Matched<'a>,
}

/// The text of an insert.
pub(crate) fn insert(table: &TableSql, source: Source, verb: &Insert<'_>, form: Form) -> String {
    let unnumbered = || source.unnumbered(table, verb.given, &[]);
    let conflict = match verb.on_conflict {
        OnConflict::Fail => "",
        OnConflict::Ignore => " ON CONFLICT DO NOTHING",
    };
    let all = new_row(table, verb.given);
    match (form, &verb.matched) {
        (Form::Count, _) => {
            let into = into(table, &columns(&all));
            format!("INSERT INTO {into} SELECT {} FROM {}{conflict}", values(&all), unnumbered())
        }
        // One row per statement: what comes back can only be of that row.
        (_, Matched::Single) => {
            let into = into(table, &columns(&all));
            let returned = returned_columns(table, form, "t");
            format!(
                "INSERT INTO {into} SELECT {} FROM {}{conflict} RETURNING 1::int8 AS o, {}{returned}",
                values(&all),
                unnumbered(),
                letter(Outcome::Inserted)
            )
        }
        (_, &Matched::Bytes(column)) => {
            let into = into(table, &columns(&all));
            let returned = list(table.answered_with(form, column), ", ", |c| format!("t.{}", table.columns[c].name));
            format!("INSERT INTO {into} SELECT {} FROM {}{conflict} RETURNING {returned}", values(&all), unnumbered())
        }
        (_, Matched::Key(key)) => {
            let compared: Vec<usize> = key.iter().chain(&table.unique).copied().collect();
            accounted(table, &source.numbered(table, verb.given, &compared), verb.given, key, conflict, form)
        }
    }
}

/// Draws the key's own values beside the rows first, so that each returned row finds its input by key.
fn accounted(table: &TableSql, from: &str, given: &[usize], key: &[usize], conflict: &str, form: Form) -> String {
    let drawn: Vec<usize> = key.iter().copied().filter(|c| !given.contains(c)).collect();
    let draw = list(&drawn, "", |&c| format!(", {} AS c{c}", table.columns[c].draw().as_deref().unwrap_or("NULL")));
    let known: Vec<usize> = given.iter().copied().chain(drawn.iter().copied()).collect();
    let all = new_row(table, &known);
    // Where conflicts are ignored, one of several rows of a key is in: it has the stored row's other unique values
    // too, and of rows that agree in all of these it is the first. A key that was drawn is of one row only.
    let told_apart = !conflict.is_empty() && drawn.is_empty();
    let unique: Vec<usize> = table.unique.iter().copied().filter(|c| given.contains(c)).collect();
    let others: Vec<usize> = unique.iter().copied().filter(|c| told_apart && !key.contains(c)).collect();
    let (numbered, first) = match told_apart {
        true => {
            let same = list(&unique, ", ", |c| format!("s.c{c}"));
            (format!(", row_number() OVER (PARTITION BY {same} ORDER BY s.o) = 1 AS n"), " AND d.w = s.n")
        }
        false => (String::new(), ""),
    };
    let returned_key = list(key.iter().chain(&others), ", ", |&c| format!("t.{} AS k{c}", table.columns[c].name));
    let returned = returned_columns(table, form, "t");
    let equal = list(key, " AND ", |c| format!("d.k{c} = s.c{c}"));
    let alike = list(&others, "", |c| format!(" AND d.k{c} IS NOT DISTINCT FROM s.c{c}"));
    let matches = format!("{equal}{alike}{first}");
    // A row that is not returned met a conflict if it may, else a trigger dropped it. One without an input was given
    // another key by a trigger that was not known of: it must be seen, not lost.
    let other = if conflict.is_empty() { letter(Outcome::Skipped) } else { unchanged_without_row() };
    let answered = answer_columns(table, form, "d");
    format!(
        "WITH s AS MATERIALIZED (SELECT s.*{draw}{numbered} FROM {from}), \
         d AS (INSERT INTO {} SELECT {} FROM s ORDER BY s.o{conflict} RETURNING true AS w, {returned_key}{returned}) \
         SELECT s.o, CASE WHEN d.w THEN {} ELSE {} END{answered} FROM s FULL JOIN d ON {matches}",
        into(table, &columns(&all)),
        values(&all),
        letter(Outcome::Inserted),
        other,
    )
}

/// The target with its columns: `"t" AS t ("a", "b") OVERRIDING SYSTEM VALUE`.
pub(super) fn into(table: &TableSql, given: &[usize]) -> String {
    let overriding = if given.iter().any(|&c| table.columns[c].identity) { " OVERRIDING SYSTEM VALUE" } else { "" };
    let columns = match given {
        // Rows of nothing but defaults.
        [] => String::new(),
        _ => format!(" ({})", list(given, ", ", |&c| table.columns[c].name.clone())),
    };
    format!("{} AS t{columns}{overriding}", table.name)
}

/// COPY into the target.
pub(crate) fn copy_from(table: &TableSql, given: &[usize]) -> String {
    let columns = list(given, ", ", |&c| table.columns[c].name.clone());
    format!("COPY {} ({columns}) FROM STDIN (FORMAT binary)", table.name)
}
