//! The text of conditions, and which value each of its parameters has.
//!
//! The text depends on the shape of the filter alone: one prepared statement serves all values.

use postgres_types::Type;

use super::list;
use super::table::TableSql;
use crate::filter::{Comparison, Expression, FilterValue, FilterValues, RawSql};

/// The values of a statement's parameters, in order.
#[derive(Debug, Default)]
pub(crate) struct Arguments<'f>(Vec<(Argument<'f>, ArgumentType)>);

/// The value of one parameter.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Argument<'f> {
    /// A value of a filter.
    Value(&'f FilterValue),
    /// An array of them.
    Values(&'f FilterValues),
    /// A value in its binary form already; `None` is NULL.
    Encoded(&'f Option<Vec<u8>>),
    /// A number of rows.
    Rows(u64),
}

/// The type of one parameter; of an array's elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ArgumentType {
    /// That of the model's column at this position.
    Column(usize),
    /// This one.
    Known(Type),
    /// What the server infers.
    Inferred,
}

impl<'f> Arguments<'f> {
    /// Appends a value; the parameter that it is.
    pub(super) fn push(&mut self, argument: Argument<'f>, ty: ArgumentType) -> String {
        self.0.push((argument, ty));
        format!("${}", self.0.len())
    }

    /// The values with their types.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Argument<'f>, ArgumentType)> {
        self.0.iter()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A condition on the row `t`.
pub(super) fn condition<'f>(table: &TableSql, filter: &'f Expression, arguments: &mut Arguments<'f>) -> String {
    match filter {
        Expression::Constant(value) => value.to_string(),
        Expression::And(all) => several(table, all, " AND ", arguments),
        Expression::Or(any) => several(table, any, " OR ", arguments),
        Expression::Not(inner) => match &**inner {
            Expression::IsNull { column } => format!("t.{} IS NOT NULL", table.columns[*column].name),
            inner => format!("NOT ({})", condition(table, inner, arguments)),
        },
        Expression::Compare { column, comparison, value } => {
            let (column, ty) = compared(table, *column);
            let (sign, ty) = match comparison {
                Comparison::Eq => ("=", ty),
                Comparison::Ne => ("<>", ty),
                Comparison::Lt => ("<", ty),
                Comparison::Le => ("<=", ty),
                Comparison::Gt => (">", ty),
                Comparison::Ge => (">=", ty),
                Comparison::Like => ("LIKE", ArgumentType::Known(Type::TEXT)),
                Comparison::ILike => ("ILIKE", ArgumentType::Known(Type::TEXT)),
            };
            format!("{column} {sign} {}", arguments.push(Argument::Value(value), ty))
        }
        Expression::In { column, values } => {
            let (column, ty) = compared(table, *column);
            format!("{column} = ANY({})", arguments.push(Argument::Values(values), ty))
        }
        Expression::IsNull { column } => format!("t.{} IS NULL", table.columns[*column].name),
        Expression::Raw(sql) => raw(sql, arguments),
    }
}

fn several<'f>(table: &TableSql, terms: &'f [Expression], sign: &str, arguments: &mut Arguments<'f>) -> String {
    let terms: Vec<String> = terms.iter().map(|term| condition(table, term, arguments)).collect();
    format!("({})", list(terms, sign, |term| term))
}

/// A column as it is compared, and the type of what it is compared with.
fn compared(table: &TableSql, column: usize) -> (String, ArgumentType) {
    let sql = &table.columns[column];
    // json has no equality, jsonb has.
    if sql.json {
        return (format!("t.{}::jsonb", sql.name), ArgumentType::Known(Type::JSONB));
    }
    (format!("t.{}", sql.name), ArgumentType::Column(column))
}

fn raw<'f>(sql: &'f RawSql, arguments: &mut Arguments<'f>) -> String {
    let values = sql.values().iter().map(Some).chain([None]);
    let pieces = sql.texts().iter().zip(values).map(|(text, value)| match value {
        Some(value) => format!("{text}{}", arguments.push(Argument::Value(value), ArgumentType::Inferred)),
        None => text.clone(),
    });
    format!("({})", pieces.collect::<String>())
}
