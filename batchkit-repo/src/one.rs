//! The calls about one entity: the answer of a larger one, cut down.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use batchkit::{Relations, Result};

use crate::calls::{Count, GetAligned};
use crate::within::Within;

/// Reads one entity by key; `.await` gives it, if there is one.
#[derive(Debug)]
#[must_use = "a call does nothing until it is awaited"]
pub struct GetOne<'a, E>(pub(crate) GetAligned<'a, E>);

/// Whether an entity fulfils a filter; looks no further than the first. `.await` gives a `bool`.
#[derive(Debug)]
#[must_use = "a call does nothing until it is awaited"]
pub struct Exists<'a, E>(pub(crate) Count<'a, E>);

impl<'a, E> GetOne<'a, E> {
    /// Sees also entities that are marked as deleted.
    pub fn with_deleted(self) -> Self {
        GetOne(self.0.with_deleted())
    }

    /// Loads what the entity is related to, too: see [`GetAligned::load_relations`].
    pub fn load_relations(self, relations: impl Relations<E>) -> Self {
        GetOne(self.0.load_relations(relations))
    }

    /// Reads all under one snapshot: see [`GetAligned::snapshot`].
    pub fn snapshot(self) -> Self {
        GetOne(self.0.snapshot())
    }

    /// Happens inside of the caller's transaction.
    pub fn within(self, transaction: impl Into<Within<'a>>) -> Self {
        GetOne(self.0.within(transaction))
    }
}

impl<'a, E> Exists<'a, E> {
    /// Sees also entities that are marked as deleted.
    pub fn with_deleted(self) -> Self {
        Exists(self.0.with_deleted())
    }

    /// Happens inside of the caller's transaction.
    pub fn within(self, transaction: impl Into<Within<'a>>) -> Self {
        Exists(self.0.within(transaction))
    }
}

impl<'a, E: Send + 'static> IntoFuture for GetOne<'a, E> {
    type Output = Result<Option<E>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let slots = self.0.into_future();
        Box::pin(async move { Ok(slots.await?.into_iter().next().flatten()) })
    }
}

impl<'a, E: 'static> IntoFuture for Exists<'a, E> {
    type Output = Result<bool>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let count = self.0.limit(1).into_future();
        Box::pin(async move { Ok(count.await? > 0) })
    }
}
