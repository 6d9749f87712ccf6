//! Conditions on stored rows: a tree of typed comparisons, for `list`, `count`, `exists` and `stream`.
//!
//! The tree is plain data that any backend can read: [`Filter::expression`]. Its values are kept in the caller's
//! own types and encoded when a column's type is known; they are never printed.

mod field;
mod named;
mod operand;
mod raw;
mod value;

use std::fmt;
use std::marker::PhantomData;
use std::ops::{BitAnd, BitOr, Not};

pub use field::{OrderedColumn, TextColumn};
pub use named::NamedField;
pub use operand::Operand;
pub use raw::RawSql;
pub use value::{FilterValue, FilterValues};

use crate::error::Result;
use crate::model::{BatchModel, FieldNames, positions};

/// Conditions on the stored rows of `M`: typed comparisons, put together with `&`, `|` and `!`.
///
/// ```
/// use batchkit::{BatchModel, Filter};
///
/// #[derive(BatchModel)]
/// #[batch(table = "products")]
/// struct Product {
///     #[batch(key)]
///     id: i64,
///     sku: String,
///     price: i64,
///     note: Option<String>,
/// }
///
/// let f = Product::FIELDS;
/// let cheap = f.price.lt(100) & !f.sku.starts_with("spare-");
/// let marked = f.note.eq("sale") | f.note.is_null() & f.id.is_in([7, 8, 9]);
/// let filter: Filter<Product> = cheap & marked;
/// # let _ = filter;
/// ```
///
/// # NULL
///
/// Conditions have SQL's three values. A comparison with NULL is neither true nor false, whichever side is NULL,
/// and a row is read only where the whole filter is true: `f.note.ne("x")` and `!f.note.eq("x")` both leave out
/// rows without a note. Say `| f.note.is_null()` to have them.
///
/// # Values
///
/// Values travel as parameters, and the statement's text does not depend on them. A value is whatever an
/// [`Operand`] of the field can be: the field's own type or a reference to it, `&str` for `String`, and for
/// an `Option` the bare value too. A field that is stored [`As`](crate::model::As) another type takes values of
/// its own type and is compared as it is stored; one that is stored as JSON is compared document by document.
pub struct Filter<M> {
    expression: Expression,
    of: PhantomData<fn() -> M>,
}

/// A filter as a tree, for those who evaluate it: columns are positions in
/// [`Model::columns`](crate::model::Model::columns).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Expression {
    /// Always true or always false.
    Constant(bool),
    /// True where all are true, false where one is false, else unknown. Never empty.
    And(Vec<Expression>),
    /// True where one is true, false where all are false, else unknown. Never empty.
    Or(Vec<Expression>),
    /// Swaps true and false; unknown stays unknown.
    Not(Box<Expression>),
    /// Compares a column with a value; unknown where either is NULL.
    Compare {
        /// The column.
        column: usize,
        /// How it is compared.
        comparison: Comparison,
        /// With what.
        value: FilterValue,
    },
    /// Whether a column equals one of the values; unknown where the column is NULL and there is a value. Values
    /// that are NULL are left out.
    In {
        /// The column.
        column: usize,
        /// The values.
        values: FilterValues,
    },
    /// Whether a column is NULL; never unknown.
    IsNull {
        /// The column.
        column: usize,
    },
    /// SQL of the caller's own, which only PostgreSQL can evaluate.
    Raw(RawSql),
}

/// How a column is compared with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Comparison {
    /// `=`
    Eq,
    /// `<>`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `LIKE`: the value is a pattern, where `%` is any text, `_` any character, and `\` takes both by the letter.
    Like,
    /// `ILIKE`: the same without regard to case.
    ILike,
}

impl<M> Filter<M> {
    fn new(expression: Expression) -> Self {
        Filter { expression, of: PhantomData }
    }

    /// No condition: all rows.
    #[must_use]
    pub fn all() -> Self {
        Filter::new(Expression::Constant(true))
    }

    /// No row.
    #[must_use]
    pub fn none() -> Self {
        Filter::new(Expression::Constant(false))
    }

    /// The rows that fulfil all of the filters; all rows if there are none.
    #[must_use]
    pub fn all_of(filters: impl IntoIterator<Item = Self>) -> Self {
        filters.into_iter().fold(Filter::all(), BitAnd::bitand)
    }

    /// The rows that fulfil one of the filters; no row if there are none.
    #[must_use]
    pub fn any_of(filters: impl IntoIterator<Item = Self>) -> Self {
        filters.into_iter().fold(Filter::none(), BitOr::bitor)
    }

    /// A condition in SQL of the caller's own. See [`RawSql`].
    #[must_use]
    pub fn raw(sql: RawSql) -> Self {
        Filter::new(Expression::Raw(sql))
    }

    /// The filter as a tree, for those who evaluate it.
    #[must_use]
    pub fn expression(&self) -> &Expression {
        &self.expression
    }
}

impl<M: BatchModel> Filter<M> {
    /// The field or column called `name`, for filters that are put together at run time.
    ///
    /// ```
    /// # use batchkit::{BatchModel, ErrorKind, Filter};
    /// # #[derive(BatchModel)] #[batch(table = "products")]
    /// # struct Product { #[batch(key)] id: i64, price: i64 }
    /// let wanted = [("price", 10), ("id", 7)];
    /// let conditions = wanted.map(|(name, least)| Ok(Filter::<Product>::field(name)?.ge(least)));
    /// let filter = Filter::all_of(conditions.into_iter().collect::<batchkit::Result<Vec<_>>>()?);
    ///
    /// let error = Filter::<Product>::field("prise").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::UnknownField);
    /// assert!(error.to_string().contains("it has id, price"));
    /// # let _ = filter;
    /// # Ok::<(), batchkit::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::UnknownField`](crate::ErrorKind::UnknownField), with the names that there are.
    pub fn field(name: &str) -> Result<NamedField<M>> {
        let found = positions(M::MODEL, &[FieldNames::Name(name.to_owned())])?;
        Ok(NamedField::new(found.first().copied().unwrap_or_default()))
    }
}

impl<M> Default for Filter<M> {
    fn default() -> Self {
        Filter::all()
    }
}

impl<M> Clone for Filter<M> {
    fn clone(&self) -> Self {
        Filter::new(self.expression.clone())
    }
}

// Never prints a value.
impl<M> fmt::Debug for Filter<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.expression).finish()
    }
}

impl<M> BitAnd for Filter<M> {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Filter::new(match (self.expression, other.expression) {
            // False and unknown are false too.
            (Expression::Constant(false), _) | (_, Expression::Constant(false)) => Expression::Constant(false),
            (Expression::Constant(true), other) | (other, Expression::Constant(true)) => other,
            (Expression::And(mut all), Expression::And(others)) => {
                all.extend(others);
                Expression::And(all)
            }
            (Expression::And(mut all), other) => {
                all.push(other);
                Expression::And(all)
            }
            (one, other) => Expression::And(vec![one, other]),
        })
    }
}

impl<M> BitOr for Filter<M> {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Filter::new(match (self.expression, other.expression) {
            // True or unknown is true too.
            (Expression::Constant(true), _) | (_, Expression::Constant(true)) => Expression::Constant(true),
            (Expression::Constant(false), other) | (other, Expression::Constant(false)) => other,
            (Expression::Or(mut any), Expression::Or(others)) => {
                any.extend(others);
                Expression::Or(any)
            }
            (Expression::Or(mut any), other) => {
                any.push(other);
                Expression::Or(any)
            }
            (one, other) => Expression::Or(vec![one, other]),
        })
    }
}

impl<M> Not for Filter<M> {
    type Output = Self;

    fn not(self) -> Self {
        Filter::new(match self.expression {
            Expression::Constant(value) => Expression::Constant(!value),
            Expression::Not(inner) => *inner,
            other => Expression::Not(Box::new(other)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Row;

    fn one() -> Filter<Row> {
        Filter::new(Expression::IsNull { column: 0 })
    }

    #[test]
    fn constants_are_folded_and_chains_are_flat() {
        let shape = |filter: Filter<Row>| format!("{filter:?}").replace("IsNull { column: 0 }", "x");
        assert_eq!(shape(one() & one() & one()), "Filter(And([x, x, x]))");
        assert_eq!(shape(one() | one() & one() | one()), "Filter(Or([x, And([x, x]), x]))");
        assert_eq!(shape(!!one()), "Filter(x)");
        assert_eq!(shape(!(one() | one())), "Filter(Not(Or([x, x])))");
        assert_eq!(shape(Filter::all() & one()), "Filter(x)");
        assert_eq!(shape(one() & Filter::none()), "Filter(Constant(false))");
        assert_eq!(shape(one() | !Filter::none()), "Filter(Constant(true))");
        assert_eq!(shape(Filter::any_of([])), "Filter(Constant(false))");
        assert_eq!(shape(Filter::all_of([one()])), "Filter(x)");
    }
}
