//! SELECT of the rows that are related to keys.

use super::habits::and_live;
use super::list;
use super::source::Source;
use super::table::TableSql;
use crate::model::RelationOrder;
use crate::relation::Owner;

/// How rows are related to keys.
#[derive(Debug)]
pub(crate) struct Related<'a> {
    /// The table whose columns the keys are values of.
    pub(crate) own: &'a TableSql,
    /// Those columns.
    pub(crate) columns: &'a [usize],
    /// The table between, its columns that are equal to the keys, and those that are equal to the related rows'.
    pub(crate) through: Option<(&'a TableSql, &'a [usize], &'a [usize])>,
    /// The related rows' table.
    pub(crate) target: &'a TableSql,
    /// Its columns that are equal to the keys, or to the columns of the table between.
    pub(crate) target_columns: &'a [usize],
    /// The order of the rows of one key; empty where they need none.
    pub(crate) order: &'a [RelationOrder],
    /// Whether rows that are marked as deleted are left out.
    pub(crate) only_live: bool,
}

impl Related<'_> {
    /// How the answered rows tell which key they belong to: by its bytes, where it is one column and these decide.
    pub(crate) fn owner(&self) -> Owner {
        let (&[own], &[other]) = (self.columns, self.through.map_or(self.target_columns, |(_, columns, _)| columns))
        else {
            return Owner::Position;
        };
        let (own, found) =
            (&self.own.columns[own], &self.through.map_or(self.target, |(link, ..)| link).columns[other]);
        let are_same = own.equal_bytes && found.equal_bytes && own.type_sql == found.type_sql;
        let are_plain = [own, found].iter().all(|column| column.collation.is_none() && !column.taken_apart);
        match (are_same && are_plain, self.through) {
            (false, _) => Owner::Position,
            (true, None) => Owner::Key(other),
            (true, Some(_)) => Owner::Key(self.target.columns.len()),
        }
    }
}

/// The text that answers the related rows, of which each tells its owner. Where that is the key's position, there is
/// one more parameter behind those of the keys, an int8: the position of the first key.
pub(crate) fn related(related: &Related<'_>) -> String {
    if let Owner::Key(_) = related.owner() {
        return related_by_key(related);
    }
    let Related { own, columns, through, target, target_columns, order, only_live } = related;
    let from = Source::Columns.numbered(own, columns, columns);
    let first = Source::Columns.parameters(own, columns) + 1;
    let equal = |left: &str, table: &TableSql, left_columns: &[usize], right: &dyn Fn(usize) -> String| {
        list(left_columns.iter().zip(0..), " AND ", |(&c, n)| {
            format!("{left}.{} = {}", table.columns[c].name, right(n))
        })
    };
    let key = |n: usize| format!("s.c{}", columns[n]);
    let live = and_live(target, "t", *only_live);
    let joined = match through {
        None => format!("JOIN {} AS t ON {}{live}", target.name, equal("t", target, target_columns, &key)),
        Some((link, own, other)) => {
            let linked = |n: usize| format!("j.{}", link.columns[other[n]].name);
            format!(
                "JOIN {} AS j ON {}{} JOIN {} AS t ON {}{live}",
                link.name,
                equal("j", link, own, &key),
                and_live(link, "j", *only_live),
                target.name,
                equal("t", target, target_columns, &linked)
            )
        }
    };
    let order = ordered(target, order);
    let columns = list(&target.columns, "", |column| format!(", t.{}", column.name));
    format!("SELECT s.o - 1 + ${first}::int8{columns} FROM {from} {joined}{order}")
}

/// The same where the rows that are found have the key's bytes: the server looks keys up in an array quicker than it
/// joins a function's rows.
fn related_by_key(related: &Related<'_>) -> String {
    let Related { own, columns, through, target, target_columns, order, only_live } = related;
    let is_one = |alias: &str, table: &TableSql, found: &[usize]| {
        let (column, ty) = (&table.columns[found[0]].name, &own.columns[columns[0]].type_sql);
        format!("{alias}.{column} = ANY($1::{ty}[])")
    };
    let (order, live) = (ordered(target, order), and_live(target, "t", *only_live));
    let columns = list(&target.columns, ", ", |column| format!("t.{}", column.name));
    match through {
        None => {
            format!(
                "SELECT {columns} FROM {} AS t WHERE {}{live}{order}",
                target.name,
                is_one("t", target, target_columns)
            )
        }
        Some((link, found, other)) => {
            let equal = list(target_columns.iter().zip(*other), " AND ", |(&c, &l)| {
                format!("t.{} = j.{}", target.columns[c].name, link.columns[l].name)
            });
            format!(
                "SELECT {columns}, j.{} FROM {} AS j JOIN {} AS t ON {equal}{live} WHERE {}{}{order}",
                link.columns[found[0]].name,
                link.name,
                target.name,
                is_one("j", link, found),
                and_live(link, "j", *only_live)
            )
        }
    }
}

fn ordered(target: &TableSql, order: &[RelationOrder]) -> String {
    if order.is_empty() {
        return String::new();
    }
    let by = |by: &RelationOrder| {
        format!("t.{}{}", target.columns[by.column].name, if by.descending { " DESC" } else { "" })
    };
    format!(" ORDER BY {}", list(order, ", ", by))
}
