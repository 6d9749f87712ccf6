//! Conditions made of typed fields: `f.price.gt(10)`.

use std::borrow::Cow;

use postgres_types::ToSql;

use super::operand::Operand;
use super::value::{FilterValue, FilterValues, Plain};
use super::{Comparison, Expression, Filter};
use crate::model::{As, Field};

/// The type of a column that has an order: every type but [`Json`](crate::model::Json).
#[diagnostic::on_unimplemented(
    message = "a column of type `{Self}` has no order",
    note = "a document can be equal to another, or NULL; it is neither less nor greater"
)]
pub trait OrderedColumn {}

impl<T: ToSql> OrderedColumn for T {}
impl<T, U> OrderedColumn for As<T, U> {}

/// The type of a column of text: `String` and its like, an `Option` of it, or what is stored as such.
#[diagnostic::on_unimplemented(
    message = "a column of type `{Self}` is no text",
    note = "a type of your own that is stored as text says so with `impl TextColumn for {Self} {{}}`"
)]
pub trait TextColumn {}

impl TextColumn for String {}
impl TextColumn for Box<str> {}
impl TextColumn for Cow<'_, str> {}
impl TextColumn for &str {}
impl<T: TextColumn> TextColumn for Option<T> {}
impl<T, U: TextColumn> TextColumn for As<T, U> {}

impl<M> Filter<M> {
    pub(super) fn compare<T, Via>(column: usize, comparison: Comparison, value: impl Operand<T, Via>) -> Self {
        Filter::new(Expression::Compare { column, comparison, value: FilterValue::new(value.keep()) })
    }

    pub(super) fn one_of<T, Via>(column: usize, values: impl IntoIterator<Item = impl Operand<T, Via>>) -> Self {
        let values = values.into_iter().map(Operand::keep).collect();
        Filter::new(Expression::In { column, values: FilterValues::new(values) })
    }

    pub(super) fn null(column: usize) -> Self {
        Filter::new(Expression::IsNull { column })
    }

    pub(super) fn pattern(column: usize, comparison: Comparison, pattern: String) -> Self {
        Filter::new(Expression::Compare { column, comparison, value: FilterValue::new(Plain(pattern)) })
    }
}

/// A text as a pattern that fits itself alone.
pub(super) fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    for letter in text.chars() {
        if matches!(letter, '\\' | '%' | '_') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

impl<M, T> Field<M, T> {
    /// The column equals the value. NULL equals nothing: see [`is_null`](Self::is_null).
    #[must_use]
    pub fn eq<Via>(self, value: impl Operand<T, Via>) -> Filter<M> {
        Filter::compare(self.position(), Comparison::Eq, value)
    }

    /// The column is not NULL and does not equal the value.
    #[must_use]
    pub fn ne<Via>(self, value: impl Operand<T, Via>) -> Filter<M> {
        Filter::compare(self.position(), Comparison::Ne, value)
    }

    /// The column equals one of the values; none fits an empty list. A `None` among them is left out.
    #[must_use]
    pub fn is_in<Via>(self, values: impl IntoIterator<Item = impl Operand<T, Via>>) -> Filter<M> {
        Filter::one_of(self.position(), values)
    }

    /// The column is not NULL and equals none of the values; every row fits an empty list. A `None` among them is
    /// left out.
    #[must_use]
    pub fn not_in<Via>(self, values: impl IntoIterator<Item = impl Operand<T, Via>>) -> Filter<M> {
        !Filter::one_of(self.position(), values)
    }

    /// The column is NULL.
    #[must_use]
    pub fn is_null(self) -> Filter<M> {
        Filter::null(self.position())
    }

    /// The column is not NULL.
    #[must_use]
    pub fn is_not_null(self) -> Filter<M> {
        !Filter::null(self.position())
    }
}

impl<M, T: OrderedColumn> Field<M, T> {
    /// The column is less than the value, as the server orders them: texts by the column's collation.
    #[must_use]
    pub fn lt<Via>(self, value: impl Operand<T, Via>) -> Filter<M> {
        Filter::compare(self.position(), Comparison::Lt, value)
    }

    /// The column is at most the value.
    #[must_use]
    pub fn le<Via>(self, value: impl Operand<T, Via>) -> Filter<M> {
        Filter::compare(self.position(), Comparison::Le, value)
    }

    /// The column is greater than the value.
    #[must_use]
    pub fn gt<Via>(self, value: impl Operand<T, Via>) -> Filter<M> {
        Filter::compare(self.position(), Comparison::Gt, value)
    }

    /// The column is at least the value.
    #[must_use]
    pub fn ge<Via>(self, value: impl Operand<T, Via>) -> Filter<M> {
        Filter::compare(self.position(), Comparison::Ge, value)
    }

    /// The column is at least `low` and at most `high`.
    #[must_use]
    pub fn between<Low, High>(self, low: impl Operand<T, Low>, high: impl Operand<T, High>) -> Filter<M> {
        self.ge(low) & self.le(high)
    }
}

impl<M, T: TextColumn> Field<M, T> {
    /// The column fits the pattern: `%` is any text, `_` any character, and `\` takes both by the letter.
    #[must_use]
    pub fn like(self, pattern: impl Into<String>) -> Filter<M> {
        Filter::pattern(self.position(), Comparison::Like, pattern.into())
    }

    /// The column fits the pattern, without regard to case.
    #[must_use]
    pub fn ilike(self, pattern: impl Into<String>) -> Filter<M> {
        Filter::pattern(self.position(), Comparison::ILike, pattern.into())
    }

    /// The column starts with the text, taken by the letter.
    #[must_use]
    pub fn starts_with(self, text: impl AsRef<str>) -> Filter<M> {
        self.like(escaped(text.as_ref()) + "%")
    }

    /// The column ends with the text, taken by the letter.
    #[must_use]
    pub fn ends_with(self, text: impl AsRef<str>) -> Filter<M> {
        self.like(format!("%{}", escaped(text.as_ref())))
    }

    /// The column has the text in it, taken by the letter.
    #[must_use]
    pub fn contains(self, text: impl AsRef<str>) -> Filter<M> {
        self.like(format!("%{}%", escaped(text.as_ref())))
    }
}
