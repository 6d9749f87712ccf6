//! Rows that the caller's own code makes of values of any kind, before they are written.

use std::fmt::{self, Display};
use std::sync::Arc;

use super::BatchOperations;
use super::call::Call;
use super::insert::Insert;
use super::update::Update;
use super::upsert::Upsert;
use crate::model::{BatchModel, InsertRow, PatchRow};
use crate::source::Rows;

/// Operations on values that are made rows first: see [`BatchOperations::pre_process`].
#[must_use = "nothing is processed before a verb is called and awaited"]
pub struct PreProcess<M, F> {
    operations: BatchOperations<M>,
    process: Arc<F>,
}

impl<M, F> fmt::Debug for PreProcess<M, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreProcess").field("operations", &self.operations).finish_non_exhaustive()
    }
}

impl<M: BatchModel, F> PreProcess<M, F> {
    pub(super) fn new(operations: BatchOperations<M>, process: F) -> Self {
        PreProcess { operations, process: Arc::new(process) }
    }

    /// [`BatchOperations::batch_insert`] of what the values become.
    pub fn batch_insert<'a, I, R, E>(&self, values: I) -> Call<'a, M, Insert>
    where
        M: 'a,
        I: IntoIterator<IntoIter: Send + 'a, Item: Send + 'static>,
        F: Fn(I::Item) -> Result<Option<R>, E> + Send + Sync + 'static,
        R: InsertRow<M> + 'static,
        E: Display + 'static,
    {
        self.operations.insert_rows(Rows::processed(values, Arc::clone(&self.process)))
    }

    /// [`BatchOperations::batch_update`] with what the values become.
    pub fn batch_update<'a, I, R, E>(&self, values: I) -> Call<'a, M, Update>
    where
        M: 'a,
        I: IntoIterator<IntoIter: Send + 'a, Item: Send + 'static>,
        F: Fn(I::Item) -> Result<Option<R>, E> + Send + Sync + 'static,
        R: PatchRow<M> + 'static,
        E: Display + 'static,
    {
        self.operations.update_rows(Rows::processed(values, Arc::clone(&self.process)))
    }

    /// [`BatchOperations::batch_upsert`] of what the values become.
    pub fn batch_upsert<'a, I, R, E>(&self, values: I) -> Call<'a, M, Upsert>
    where
        M: 'a,
        I: IntoIterator<IntoIter: Send + 'a, Item: Send + 'static>,
        F: Fn(I::Item) -> Result<Option<R>, E> + Send + Sync + 'static,
        R: InsertRow<M> + 'static,
        E: Display + 'static,
    {
        self.operations.upsert_rows(Rows::processed(values, Arc::clone(&self.process)))
    }
}
