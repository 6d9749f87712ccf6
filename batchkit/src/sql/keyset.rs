//! ORDER BY, and the condition that a row is behind a place in that order.

use super::filter::{Argument, ArgumentType, Arguments};
use super::list;
use super::table::TableSql;
use crate::order::OrderColumn;

/// A place in an order: the values of its columns.
pub(crate) type Place = [Option<Vec<u8>>];

/// ` ORDER BY …`, or nothing.
pub(super) fn order_clause(table: &TableSql, order: &[OrderColumn]) -> String {
    if order.is_empty() {
        return String::new();
    }
    let one = |one: &OrderColumn| {
        let column = &table.columns[one.column];
        let direction = if one.descending { " DESC" } else { "" };
        // Said without need, it keeps the planner from the index.
        let nulls = match (column.not_null || one.nulls_first == one.descending, one.nulls_first) {
            (true, _) => "",
            (false, true) => " NULLS FIRST",
            (false, false) => " NULLS LAST",
        };
        format!("t.{}{direction}{nulls}", column.name)
    };
    format!(" ORDER BY {}", list(order, ", ", one))
}

/// The same order from its end.
pub(super) fn reversed(order: &[OrderColumn]) -> Vec<OrderColumn> {
    let mut order = order.to_vec();
    for one in &mut order {
        one.descending = !one.descending;
        one.nulls_first = !one.nulls_first;
    }
    order
}

/// The condition that the row `t` comes behind the place.
pub(super) fn behind<'f>(
    table: &TableSql,
    order: &[OrderColumn],
    place: &'f Place,
    arguments: &mut Arguments<'f>,
) -> String {
    let columns: Vec<Compared<'_>> = order
        .iter()
        .zip(place)
        .map(|(one, value)| Compared {
            name: &table.columns[one.column].name,
            not_null: table.columns[one.column].not_null,
            descending: one.descending,
            nulls_first: one.nulls_first,
            parameter: arguments.push(Argument::Encoded(value), ArgumentType::Column(one.column)),
        })
        .collect();
    let behind = rest_behind(&columns);
    match columns.first() {
        // A range of an index on the first column, which the planner does not find in an OR by itself.
        Some(first) if first.not_null && !uniform(&columns) => {
            let sign = if first.descending { "<=" } else { ">=" };
            format!("t.{} {sign} {} AND {behind}", first.name, first.parameter)
        }
        _ => behind,
    }
}

/// A column of an order and the parameter that is its value at the place.
struct Compared<'a> {
    name: &'a str,
    not_null: bool,
    descending: bool,
    nulls_first: bool,
    parameter: String,
}

impl Compared<'_> {
    /// The row comes behind the place by this column alone.
    fn behind(&self) -> String {
        let Compared { name, parameter, .. } = self;
        let sign = if self.descending { "<" } else { ">" };
        match (self.not_null, self.nulls_first) {
            (true, _) => format!("t.{name} {sign} {parameter}"),
            (false, true) => format!("(t.{name} {sign} {parameter} OR {parameter} IS NULL AND t.{name} IS NOT NULL)"),
            (false, false) => format!("(t.{name} {sign} {parameter} OR t.{name} IS NULL AND {parameter} IS NOT NULL)"),
        }
    }

    /// The row and the place are equal in this column.
    fn equal(&self) -> String {
        let sign = if self.not_null { "=" } else { "IS NOT DISTINCT FROM" };
        format!("t.{} {sign} {}", self.name, self.parameter)
    }
}

/// Whether one comparison of rows says it: no NULL, and one direction.
fn uniform(columns: &[Compared<'_>]) -> bool {
    columns.iter().all(|column| column.not_null && column.descending == columns[0].descending)
}

fn rest_behind(columns: &[Compared<'_>]) -> String {
    match columns {
        [] => "false".to_owned(),
        [last] => last.behind(),
        all if uniform(all) => {
            let sign = if all[0].descending { "<" } else { ">" };
            let names = list(all, ", ", |column| format!("t.{}", column.name));
            let parameters = list(all, ", ", |column| column.parameter.clone());
            format!("({names}) {sign} ({parameters})")
        }
        [first, rest @ ..] => format!("({} OR {} AND {})", first.behind(), first.equal(), rest_behind(rest)),
    }
}
