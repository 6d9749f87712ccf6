//! A condition in SQL of the caller's own: the only place of a filter where text becomes SQL.

use std::fmt;

use postgres_types::ToSql;

use super::named::Loose;
use super::value::FilterValue;

/// A piece of SQL that is put into a statement **as it is**, with values that travel as parameters.
///
/// Never build the text of anything that comes from outside; `bind` such values. The text is an expression of type
/// `boolean`, in which the table is called `t`. Other backends than PostgreSQL refuse it.
///
/// ```
/// use batchkit::{BatchModel, Filter, RawSql};
/// # #[derive(BatchModel)] #[batch(table = "products")]
/// # struct Product { #[batch(key)] id: i64, price: i64, stock: i64 }
///
/// let value = RawSql::new("t.price * t.stock > ").bind(10_000i64);
/// let ends = RawSql::new("t.id % ").bind(10i64).sql(" BETWEEN ").bind(3i64).sql(" AND ").bind(5i64);
/// let filter = Product::FIELDS.price.gt(5) & Filter::raw(value) & !Filter::raw(ends);
/// # let _ = filter;
/// ```
#[derive(Clone)]
pub struct RawSql {
    /// One more than there are values: the texts around them.
    texts: Vec<String>,
    values: Vec<FilterValue>,
}

impl RawSql {
    /// Starts with this text.
    #[must_use]
    pub fn new(sql: impl Into<String>) -> Self {
        RawSql { texts: vec![sql.into()], values: Vec::new() }
    }

    /// A value goes here, as a parameter; the server infers its type, and a value that does not have it is
    /// [`ErrorKind::InvalidFilter`](crate::ErrorKind::InvalidFilter). Say `::text` behind it where it cannot.
    #[must_use]
    pub fn bind(mut self, value: impl ToSql + Send + Sync + 'static) -> Self {
        self.values.push(FilterValue::new(Loose(value)));
        self.texts.push(String::new());
        self
    }

    /// Goes on with this text.
    #[must_use]
    pub fn sql(mut self, sql: &str) -> Self {
        if let Some(last) = self.texts.last_mut() {
            last.push_str(sql);
        }
        self
    }

    /// The texts around the values: one more than there are values.
    pub(crate) fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The values.
    pub(crate) fn values(&self) -> &[FilterValue] {
        &self.values
    }
}

// The text may quote values.
impl fmt::Debug for RawSql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawSql({} values)", self.values.len())
    }
}
