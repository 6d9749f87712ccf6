//! SELECT of the rows that fulfil conditions, their number, and whether there are any.

use postgres_types::Type;

use super::filter::{Argument, ArgumentType, Arguments, condition};
use super::keyset::{Place, behind, order_clause, reversed};
use super::list;
use super::table::TableSql;
use crate::filter::Expression;
use crate::order::OrderColumn;

/// What is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Select<'f> {
    /// The conditions.
    pub(crate) filter: &'f Expression,
    /// The order.
    pub(crate) order: &'f [OrderColumn],
    /// The place in the order behind which rows are read.
    pub(crate) after: Option<&'f Place>,
    /// The place in the order before which rows are read.
    pub(crate) before: Option<&'f Place>,
    /// The most rows; the last ones, where only the place before which is said.
    pub(crate) limit: Option<u64>,
    /// The rows left out first.
    pub(crate) offset: Option<u64>,
}

/// The text of a read of all columns.
pub(crate) fn select<'f>(table: &TableSql, select: &Select<'f>) -> (String, Arguments<'f>) {
    let mut arguments = Arguments::default();
    let columns = list(&table.columns, ", ", |column| format!("t.{}", column.name));
    let backwards = reversed(select.order);
    let terms = [
        fitting(table, select.filter, &mut arguments),
        select.after.map(|place| behind(table, select.order, place, &mut arguments)),
        select.before.map(|place| behind(table, &backwards, place, &mut arguments)),
    ];
    let conditions = where_clause(terms);
    let from_end = select.before.is_some() && select.after.is_none() && (select.limit, select.offset) != (None, None);
    let order = if from_end { &backwards[..] } else { select.order };
    let order = order_clause(table, order);
    let limit = rows_clause("LIMIT", select.limit, &mut arguments);
    let offset = rows_clause("OFFSET", select.offset, &mut arguments);
    let text = format!("SELECT {columns} FROM {} AS t{conditions}{order}{limit}{offset}", table.name);
    if from_end {
        return (format!("SELECT {columns} FROM ({text}) AS t{}", order_clause(table, select.order)), arguments);
    }
    (text, arguments)
}

/// The text of a count of the rows that fulfil the filter, counting no further than a limit.
pub(crate) fn count<'f>(table: &TableSql, filter: &'f Expression, limit: Option<u64>) -> (String, Arguments<'f>) {
    let mut arguments = Arguments::default();
    let conditions = where_clause([fitting(table, filter, &mut arguments)]);
    let limit = rows_clause("LIMIT", limit, &mut arguments);
    (format!("SELECT count(*) FROM (SELECT FROM {} AS t{conditions}{limit}) AS q", table.name), arguments)
}

/// The text of a question whether a row fulfils the filter.
pub(crate) fn exists<'f>(table: &TableSql, filter: &'f Expression) -> (String, Arguments<'f>) {
    let mut arguments = Arguments::default();
    let conditions = where_clause([fitting(table, filter, &mut arguments)]);
    (format!("SELECT EXISTS (SELECT FROM {} AS t{conditions})", table.name), arguments)
}

fn fitting<'f>(table: &TableSql, filter: &'f Expression, arguments: &mut Arguments<'f>) -> Option<String> {
    (!matches!(filter, Expression::Constant(true))).then(|| condition(table, filter, arguments))
}

fn where_clause<const N: usize>(terms: [Option<String>; N]) -> String {
    let terms: Vec<String> = terms.into_iter().flatten().collect();
    if terms.is_empty() { String::new() } else { format!(" WHERE {}", terms.join(" AND ")) }
}

fn rows_clause(word: &str, rows: Option<u64>, arguments: &mut Arguments<'_>) -> String {
    rows.map_or_else(String::new, |rows| {
        format!(" {word} {}", arguments.push(Argument::Rows(rows), ArgumentType::Known(Type::INT8)))
    })
}
