//! `batch_delete`: the rows with these keys go; their number, or the rows as they were.

use super::call::{Call, CountVerb, Sealed};
use super::verb::{Unique, Verb};
use crate::config::DuplicatePolicy;
use crate::error::Result;
use crate::model::{Model, UniqueKey};
use crate::plan::Size;
use crate::report::{Counts, Outcome};
use crate::session::Reading;
use crate::sql::{self, Form, Source, TableSql};

/// The verb of [`BatchOperations::batch_delete`](crate::BatchOperations::batch_delete).
#[derive(Debug, PartialEq)]
pub struct Delete {
    key: UniqueKey,
    hard: bool,
}

impl Delete {
    pub(super) fn new(key: UniqueKey) -> Self {
        Delete { key, hard: false }
    }
}

impl<M, A> Call<'_, M, Delete, A> {
    /// Deletes for real also where the model has a `soft_delete`, whether the rows are marked or not. Without it,
    /// such rows are marked, and those that are marked already are missing.
    pub fn hard(mut self) -> Self {
        self.verb.hard = true;
        self
    }
}

impl Sealed for Delete {}

impl CountVerb for Delete {
    type Count = u64;

    fn count(counts: &Counts) -> u64 {
        counts.of(Outcome::Deleted)
    }
}

impl Verb for Delete {
    fn name(&self) -> &'static str {
        "DELETE"
    }

    fn resolve(&mut self, _model: &'static Model) -> Result<Vec<usize>> {
        Ok(self.key.columns.to_vec())
    }

    fn unique(&self) -> Option<Unique> {
        // A key that is named twice is deleted once: nothing to decide.
        let policy = Some(DuplicatePolicy::FirstWins);
        Some(Unique { columns: self.key.columns.to_vec(), policy, refuses_null: false })
    }

    fn sql(&self, _model: &Model, table: &TableSql, source: Option<Source>, _size: Size, form: Form) -> String {
        sql::delete(table, source.unwrap_or(Source::Columns), self.key.columns, self.hard, form)
    }

    fn looks_up(&self, table: &TableSql, source: Source, form: Form) -> Option<usize> {
        sql::counted_by_key(table, source, self.key.columns, form)
    }

    fn reading(&self) -> Reading {
        Reading::Tag(Outcome::Deleted, Outcome::Missing)
    }
}
