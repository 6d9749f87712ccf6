//! The builders that a repository's calls return: options, then `.await`.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use batchkit::model::Fields;
use batchkit::{Result, Upserted};

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
