//! `batch_get`: the rows with these keys, in the order of the keys.

use super::call::{Call, CountVerb, KeyOnly, Plain, Returning, Sealed};
use super::verb::Verb;
use crate::error::Result;
use crate::model::{BatchModel, Model, ReadKey, UniqueKey};
use crate::plan::Size;
use crate::report::{Counts, Outcome};
use crate::session::{Matching, Reading};
use crate::sql::{self, Form, Source, TableSql};

/// The verb of [`BatchOperations::batch_get`](crate::BatchOperations::batch_get).
#[derive(Debug, PartialEq)]
pub struct Get {
    key: UniqueKey,
    with_deleted: bool,
}

impl Get {
    pub(super) fn new(key: UniqueKey, with_deleted: bool) -> Self {
        Get { key, with_deleted }
    }

    /// The columns of the key that rows are read by.
    pub(super) fn columns(&self) -> &'static [usize] {
        self.key.columns
    }
}

impl<'a, M> Call<'a, M, Get, Returning> {
    /// Only the number of keys that stored rows have.
    pub fn count(self) -> Call<'a, M, Get, Plain> {
        self.answering()
    }

    /// Only the primary keys of the rows that are found, in the order of what was asked for: which of these keys are
    /// stored, or with [`batch_get_by`](crate::BatchOperations::batch_get_by), the primary keys that belong to other
    /// unique ones.
    ///
    /// ```no_run
    /// # use batchkit::{BatchModel, BatchOperations};
    /// # #[derive(BatchModel)] #[batch(table = "products")]
    /// # struct Product { #[batch(key)] id: i64, #[batch(unique)] sku: String }
    /// # async fn run(products: BatchOperations<Product>, skus: Vec<String>) -> batchkit::Result<()> {
    /// let ids: Vec<Option<i64>> = products.batch_get_by(Product::KEYS.sku, &skus).keys().aligned().await?;
    /// # let _ = ids;
    /// # Ok(()) }
    /// ```
    pub fn keys(self) -> Call<'a, M, Get, Returning<KeyOnly>>
    where
        M: BatchModel<Key: ReadKey>,
    {
        self.answering()
    }
}

impl<M, A> Call<'_, M, Get, A> {
    /// Finds also rows that are marked by the model's `soft_delete`; without it, they are missing.
    pub fn with_deleted(mut self) -> Self {
        self.verb.with_deleted = true;
        self
    }
}

impl Sealed for Get {}

impl CountVerb for Get {
    type Count = u64;

    fn count(counts: &Counts) -> u64 {
        counts.of(Outcome::Found)
    }
}

impl Verb for Get {
    fn name(&self) -> &'static str {
        "SELECT"
    }

    fn resolve(&mut self, _model: &'static Model) -> Result<Vec<usize>> {
        Ok(self.key.columns.to_vec())
    }

    fn sql(&self, _model: &Model, table: &TableSql, source: Option<Source>, _size: Size, form: Form) -> String {
        sql::get(table, source.unwrap_or(Source::Columns), self.key.columns, self.with_deleted, form)
    }

    fn matching(&self, table: &TableSql, source: Source, _size: Size, form: Form) -> Option<Matching> {
        let column = sql::matched_by_key(table, source, self.key.columns, form)?;
        let answered = table.answered_with(form, column).iter().position(|&answered| answered == column)?;
        // The key's column is the only one that is sent.
        Some(Matching::Key { sent: 0, answered, outcome: Outcome::Found })
    }

    fn looks_up(&self, table: &TableSql, source: Source, form: Form) -> Option<usize> {
        sql::matched_by_key(table, source, self.key.columns, form)
    }

    fn writes(&self) -> bool {
        false
    }

    fn reading(&self) -> Reading {
        Reading::Cells(&[Outcome::Found], Outcome::Missing)
    }

    fn unanswered(&self) -> Option<Outcome> {
        Some(Outcome::Missing)
    }
}
