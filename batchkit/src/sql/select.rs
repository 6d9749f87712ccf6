//! SELECT of the rows that fulfil conditions, and their number.

use super::filter::{Argument, ArgumentType, Arguments, where_clause};
use super::list;
use super::table::TableSql;
use crate::filter::Expression;
use postgres_types::Type;

/// The text of a read of all columns of the rows that fulfil the filter, in the order of `order`.
pub(crate) fn select<'f>(
    table: &TableSql,
    filter: &'f Expression,
    order: &[usize],
    limit: Option<u64>,
) -> (String, Arguments<'f>) {
    let mut arguments = Arguments::default();
    let columns = list(&table.columns, ", ", |column| format!("t.{}", column.name));
    let order = match order {
        [] => String::new(),
        _ => format!(" ORDER BY {}", list(order, ", ", |&c| format!("t.{}", table.columns[c].name))),
    };
    let conditions = where_clause(table, filter, &mut arguments);
    let limit = limit_clause(limit, &mut arguments);
    (format!("SELECT {columns} FROM {} AS t{conditions}{order}{limit}", table.name), arguments)
}

/// The text of a count of the rows that fulfil the filter, counting no further than a limit.
pub(crate) fn count<'f>(table: &TableSql, filter: &'f Expression, limit: Option<u64>) -> (String, Arguments<'f>) {
    let mut arguments = Arguments::default();
    let conditions = where_clause(table, filter, &mut arguments);
    let limit = limit_clause(limit, &mut arguments);
    (format!("SELECT count(*) FROM (SELECT FROM {} AS t{conditions}{limit}) AS q", table.name), arguments)
}

fn limit_clause(limit: Option<u64>, arguments: &mut Arguments<'_>) -> String {
    limit.map_or_else(String::new, |limit| {
        format!(" LIMIT {}", arguments.push(Argument::Rows(limit), ArgumentType::Known(Type::INT8)))
    })
}
