//! The builders that a repository's calls return: options, then `.await`.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use batchkit::model::Fields;
use batchkit::{Relations, Result, Upserted};

use crate::backend::{
    AddRequest, CountRequest, GetRequest, ListRequest, RemoveRequest, RepositoryBackend, UpdateRequest, UpsertRequest,
};
use crate::within::Within;

/// A call on a backend: its request, the backend's method, and what `.await` gives.
macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident: $request:ident => $method:ident -> $answer:ty;)*) => {$(
        $(#[$doc])*
        #[must_use = "a call does nothing until it is awaited"]
        pub struct $name<'a, E> {
            pub(crate) backend: Arc<dyn RepositoryBackend<E>>,
            pub(crate) request: $request<'a, E>,
        }

        impl<'a, E> $name<'a, E> {
            /// Happens inside of the caller's transaction.
            pub fn within(mut self, transaction: impl Into<Within<'a>>) -> Self {
                self.request.within = Some(transaction.into());
                self
            }
        }

        impl<'a, E: 'static> IntoFuture for $name<'a, E> {
            type Output = Result<$answer>;
            type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

            fn into_future(self) -> Self::IntoFuture {
                Box::pin(async move { self.backend.$method(self.request).await })
            }
        }

        impl<E> std::fmt::Debug for $name<'_, E> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).field("request", &stringify!($request)).finish_non_exhaustive()
            }
        }
    )*};
}

calls! {
    /// Stores new rows; `.await` gives the stored entities in input order.
    Add: AddRequest => add -> Vec<E>;
    /// Updates stored rows; `.await` gives how many were found.
    Update: UpdateRequest => update -> u64;
    /// Stores or updates rows; `.await` gives how many of each.
    Upsert: UpsertRequest => upsert -> Upserted;
    /// Reads entities by key; `.await` gives one slot per key.
    GetAligned: GetRequest => get -> Vec<Option<E>>;
    /// Removes entities by key; `.await` gives how many there were.
    Remove: RemoveRequest => remove -> u64;
    /// Reads entities by conditions.
    List: ListRequest => list -> Vec<E>;
    /// Counts entities by conditions.
    Count: CountRequest => count -> u64;
}

/// Reads that leave out what is marked as deleted, unless they are told otherwise.
macro_rules! with_deleted {
    ($($name:ident)*) => {$(
        impl<E> $name<'_, E> {
            /// Sees also entities that are marked as deleted: `#[batch(soft_delete)]`.
            pub fn with_deleted(mut self) -> Self {
                self.request.with_deleted = true;
                self
            }
        }
    )*};
}

with_deleted! { GetAligned List Count }

/// Reads that give entities with what they are related to.
macro_rules! load_relations {
    ($($name:ident)*) => {$(
        impl<E> $name<'_, E> {
            /// Loads what the entities are related to, too: typed names (`(r.category, r.reviews)`, with
            /// `let r = Product::RELATIONS;`) or texts with dots (`["category", "reviews.author"]`). Said again, it
            /// adds to what was said before.
            pub fn load_relations(mut self, relations: impl Relations<E>) -> Self {
                let known = std::mem::take(&mut self.request.relations);
                self.request.relations = known.and(relations);
                self
            }

            /// Reads the entities and all that they are related to in one transaction that sees one state of the
            /// data. (Inside of a caller's transaction, that one's own isolation level decides.)
            pub fn snapshot(mut self) -> Self {
                self.request.relations = std::mem::take(&mut self.request.relations).snapshot();
                self
            }
        }
    )*};
}

load_relations! { GetAligned List }

impl<E> Remove<'_, E> {
    /// Removes entities for real also where the model has a `soft_delete`, be they marked or not.
    pub fn hard(mut self) -> Self {
        self.request.hard = true;
        self
    }
}

impl<E> Update<'_, E> {
    /// Sets these fields only: `(f.price, f.tags)` or `["price"]`.
    pub fn fields(mut self, fields: impl Fields<E>) -> Self {
        self.request.fields = Some(fields.names());
        self
    }

    /// Leaves rows alone that have the wanted values already; they do not count as found and updated.
    pub fn if_changed(mut self) -> Self {
        self.request.if_changed = true;
        self
    }
}

impl<E> Upsert<'_, E> {
    /// The fields of the declared unique key by which rows are known.
    pub fn on(mut self, fields: impl Fields<E>) -> Self {
        self.request.on = Some(fields.names());
        self
    }

    /// Sets these fields only when the row is known.
    pub fn fields(mut self, fields: impl Fields<E>) -> Self {
        self.request.fields = Some(fields.names());
        self
    }

    /// Leaves known rows alone that have the wanted values already.
    pub fn if_changed(mut self) -> Self {
        self.request.if_changed = true;
        self
    }
}

/// Reads entities by key; `.await` gives those found, in the order of the keys.
#[derive(Debug)]
#[must_use = "a call does nothing until it is awaited"]
pub struct Get<'a, E>(pub(crate) GetAligned<'a, E>);

impl<'a, E> Get<'a, E> {
    /// One slot per key: `None` where none was found.
    pub fn aligned(self) -> GetAligned<'a, E> {
        self.0
    }

    /// Sees also entities that are marked as deleted: `#[batch(soft_delete)]`.
    pub fn with_deleted(self) -> Self {
        Get(self.0.with_deleted())
    }

    /// Loads what the entities are related to, too: see [`GetAligned::load_relations`].
    pub fn load_relations(self, relations: impl Relations<E>) -> Self {
        Get(self.0.load_relations(relations))
    }

    /// Reads all under one snapshot: see [`GetAligned::snapshot`].
    pub fn snapshot(self) -> Self {
        Get(self.0.snapshot())
    }

    /// Happens inside of the caller's transaction.
    pub fn within(self, transaction: impl Into<Within<'a>>) -> Self {
        Get(self.0.within(transaction))
    }
}

impl<'a, E: Send + 'static> IntoFuture for Get<'a, E> {
    type Output = Result<Vec<E>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let slots = self.0.into_future();
        Box::pin(async move { Ok(slots.await?.into_iter().flatten().collect()) })
    }
}
