//! SELECT of the rows that are related to keys.

use super::habits::and_live;
use super::list;
use super::source::Source;
use super::table::TableSql;
use crate::model::RelationOrder;

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
    /// The order of the rows of one key.
    pub(crate) order: &'a [RelationOrder],
    /// Whether rows that are marked as deleted are left out.
    pub(crate) only_live: bool,
}

/// The text that answers the related rows, each with its key's position in front. Behind the parameters of the keys
/// there is one more, an int8: the position of the first key.
pub(crate) fn related(related: &Related<'_>) -> String {
    let Related { own, columns, through, target, target_columns, order, only_live } = related;
    let from = Source::Columns.relation(own, columns);
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
    let order = match order {
        [] => String::new(),
        _ => format!(
            " ORDER BY {}",
            list(*order, ", ", |by| {
                format!("t.{}{}", target.columns[by.column].name, if by.descending { " DESC" } else { "" })
            })
        ),
    };
    let columns = list(&target.columns, "", |column| format!(", t.{}", column.name));
    format!("SELECT s.o - 1 + ${first}::int8{columns} FROM {from} {joined}{order}")
}
