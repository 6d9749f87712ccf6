//! SELECT of the rows that fulfil conditions, and their number.

use super::habits::live;
use super::list;
use super::table::TableSql;
use crate::filter::{Condition, Operator};

/// The text of a read of all columns of the rows that fulfil all `conditions`, in the order of `order`.
pub(crate) fn select(
    table: &TableSql,
    conditions: &[Condition],
    order: &[usize],
    limited: bool,
    with_deleted: bool,
) -> String {
    let columns = list(&table.columns, ", ", |column| format!("t.{}", column.name));
    let order = match order {
        [] => String::new(),
        _ => format!(" ORDER BY {}", list(order, ", ", |&c| format!("t.{}", table.columns[c].name))),
    };
    let limit = if limited { format!(" LIMIT ${}", parameters(conditions) + 1) } else { String::new() };
    format!(
        "SELECT {columns} FROM {} AS t{}{order}{limit}",
        table.name,
        conditions_sql(table, conditions, with_deleted)
    )
}

/// The text of a count of the rows that fulfil all `conditions`, counting no further than a limit.
pub(crate) fn count(table: &TableSql, conditions: &[Condition], limited: bool, with_deleted: bool) -> String {
    let limit = if limited { format!(" LIMIT ${}", parameters(conditions) + 1) } else { String::new() };
    let selected = format!("SELECT FROM {} AS t{}{limit}", table.name, conditions_sql(table, conditions, with_deleted));
    format!("SELECT count(*) FROM ({selected}) AS q")
}

fn parameters(conditions: &[Condition]) -> usize {
    conditions.iter().filter(|condition| condition.operator.takes_value()).count()
}

fn conditions_sql(table: &TableSql, conditions: &[Condition], with_deleted: bool) -> String {
    let mut parameter = 0;
    let mut terms: Vec<String> = conditions
        .iter()
        .map(|condition| {
            let column = &table.columns[condition.column];
            let name = &column.name;
            if condition.operator.takes_value() {
                parameter += 1;
            }
            match condition.operator {
                Operator::Compare(sign) => format!("t.{name} {sign} ${parameter}"),
                Operator::In => format!("t.{name} = ANY(${parameter})"),
                Operator::IsNull => format!("t.{name} IS NULL"),
                Operator::IsNotNull => format!("t.{name} IS NOT NULL"),
            }
        })
        .collect();
    terms.extend(live(table, "t").filter(|_| !with_deleted));
    if terms.is_empty() { String::new() } else { format!(" WHERE {}", terms.join(" AND ")) }
}
