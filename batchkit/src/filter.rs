//! Conditions on stored rows, for `list`, `count` and `exists`.

use std::fmt;

use postgres_types::ToSql;

use crate::model::Field;

/// Conditions that a stored row has to fulfil, all of them. [`Filter::all`] has none.
///
/// Conditions are made from typed fields: `f.price.gt(10) & f.sku.eq("a")`, with `let f = Product::FIELDS;`.
pub struct Filter<M> {
    pub(crate) conditions: Vec<Condition>,
    of: std::marker::PhantomData<fn() -> M>,
}

/// One condition.
pub(crate) struct Condition {
    pub(crate) column: usize,
    pub(crate) operator: Operator,
    pub(crate) value: Option<Box<dyn ToSql + Send + Sync>>,
}

/// How a condition compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Compare(&'static str),
    In,
    IsNull,
    IsNotNull,
}

impl Operator {
    pub(crate) fn takes_value(self) -> bool {
        matches!(self, Operator::Compare(_) | Operator::In)
    }
}

impl<M> Filter<M> {
    /// No condition: all rows.
    #[must_use]
    pub fn all() -> Self {
        Filter { conditions: Vec::new(), of: std::marker::PhantomData }
    }

    fn one(column: usize, operator: Operator, value: Option<Box<dyn ToSql + Send + Sync>>) -> Self {
        Filter { conditions: vec![Condition { column, operator, value }], of: std::marker::PhantomData }
    }
}

impl<M> Default for Filter<M> {
    fn default() -> Self {
        Filter::all()
    }
}

impl<M> std::ops::BitAnd for Filter<M> {
    type Output = Self;

    fn bitand(mut self, other: Self) -> Self {
        self.conditions.extend(other.conditions);
        self
    }
}

// Never prints a value.
impl<M> fmt::Debug for Filter<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.conditions.iter().map(|c| (c.column, c.operator))).finish()
    }
}

impl<M, T: ToSql + Send + Sync + 'static> Field<M, T> {
    fn compare(self, sign: &'static str, value: impl Into<T>) -> Filter<M> {
        Filter::one(self.position(), Operator::Compare(sign), Some(Box::new(value.into())))
    }

    /// The column equals the value.
    #[must_use]
    pub fn eq(self, value: impl Into<T>) -> Filter<M> {
        self.compare("=", value)
    }

    /// The column is not NULL and does not equal the value.
    #[must_use]
    pub fn ne(self, value: impl Into<T>) -> Filter<M> {
        self.compare("<>", value)
    }

    /// The column is less than the value.
    #[must_use]
    pub fn lt(self, value: impl Into<T>) -> Filter<M> {
        self.compare("<", value)
    }

    /// The column is at most the value.
    #[must_use]
    pub fn le(self, value: impl Into<T>) -> Filter<M> {
        self.compare("<=", value)
    }

    /// The column is greater than the value.
    #[must_use]
    pub fn gt(self, value: impl Into<T>) -> Filter<M> {
        self.compare(">", value)
    }

    /// The column is at least the value.
    #[must_use]
    pub fn ge(self, value: impl Into<T>) -> Filter<M> {
        self.compare(">=", value)
    }

    /// The column equals one of the values; none fits an empty list.
    #[must_use]
    pub fn is_in<V: Into<T>>(self, values: impl IntoIterator<Item = V>) -> Filter<M> {
        let values: Vec<T> = values.into_iter().map(Into::into).collect();
        Filter::one(self.position(), Operator::In, Some(Box::new(values)))
    }
}

impl<M, T> Field<M, T> {
    /// The column is NULL.
    #[must_use]
    pub fn is_null(self) -> Filter<M> {
        Filter::one(self.position(), Operator::IsNull, None)
    }

    /// The column is not NULL.
    #[must_use]
    pub fn is_not_null(self) -> Filter<M> {
        Filter::one(self.position(), Operator::IsNotNull, None)
    }
}
