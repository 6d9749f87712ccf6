//! What the builders of filtered reads have beside `.within()`: orders, places, limits, and streams.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use batchkit::{OrderBy, Page, Position, Result};
use futures_util::Stream;

use crate::backend::{EntityStream, ListRequest, RepositoryBackend};
use crate::calls::{Count, List};
use crate::within::Within;

/// The options of a request that lists.
macro_rules! listing {
    ($name:ident, $($request:ident).+) => {
        impl<'a, E> $name<'a, E> {
            /// The order: `(f.price.desc(), f.name.asc().nulls_last())`, or `["price desc", "name nulls last"]`.
            /// Behind it comes that of the key.
            pub fn order_by(mut self, order: impl OrderBy<E>) -> Self {
                self.$($request).+.order = order.orders();
                self
            }

            /// The most entities to read: the first of the order; where only [`before`](Self::before) is said,
            /// those right before that place.
            pub fn limit(mut self, entities: u64) -> Self {
                self.$($request).+.limit = Some(entities);
                self
            }

            /// Leaves out so many entities first.
            pub fn offset(mut self, entities: u64) -> Self {
                self.$($request).+.offset = Some(entities);
                self
            }

            /// Only entities that come after a place in the order: that of an entity (`&entity`) or of a
            /// [`Cursor`](batchkit::Cursor).
            pub fn after(mut self, place: impl Into<Position<'a, E>>) -> Self {
                self.$($request).+.after = Some(place.into());
                self
            }

            /// Only entities that come before a place in the order.
            pub fn before(mut self, place: impl Into<Position<'a, E>>) -> Self {
                self.$($request).+.before = Some(place.into());
                self
            }
        }
    };
}

listing!(List, request);
listing!(Entities, request);

impl<'a, E> List<'a, E> {
    /// Reads `size` entities at the most, and tells where to go on: a cursor for [`after`](Self::after), and one
    /// for [`before`](Self::before).
    ///
    /// # Errors
    /// Those of the backend; [`ErrorKind::Config`](batchkit::ErrorKind::Config) for a size of nothing, or where a
    /// limit is said too.
    pub async fn page(self, size: u64) -> Result<Page<E>> {
        self.backend.page(self.request, size).await
    }
}

impl<'a, E> Count<'a, E> {
    /// Counts no further than this.
    pub fn limit(mut self, entities: u64) -> Self {
        self.request.limit = Some(entities);
        self
    }
}

/// Whether an entity fulfils a filter; looks no further than the first. `.await` gives a `bool`.
#[derive(Debug)]
#[must_use = "a call does nothing until it is awaited"]
pub struct Exists<'a, E>(pub(crate) Count<'a, E>);

impl<'a, E> Exists<'a, E> {
    /// Happens inside of the caller's transaction.
    pub fn within(self, transaction: impl Into<Within<'a>>) -> Self {
        Exists(self.0.within(transaction))
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

/// The entities that fulfil a filter, one after the other: a [`Stream`] of `Result<E>`, which takes options until it
/// is polled. See [`batchkit::RowStream`] for what it holds, and how it ends.
#[must_use = "a stream does nothing until it is polled"]
pub struct Entities<'a, E> {
    backend: Arc<dyn RepositoryBackend<E>>,
    request: ListRequest<'a, E>,
    fetch_size: Option<u32>,
    opened: Option<EntityStream<'a, E>>,
}

impl<'a, E> Entities<'a, E> {
    pub(crate) fn new(backend: Arc<dyn RepositoryBackend<E>>, request: ListRequest<'a, E>) -> Self {
        Entities { backend, request, fetch_size: None, opened: None }
    }

    /// How many entities are read at a time, and twice as many held at the most.
    pub fn fetch_size(mut self, entities: u32) -> Self {
        self.fetch_size = Some(entities);
        self
    }
}

impl<'a, E: 'a> Stream for Entities<'a, E> {
    type Item = Result<E>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<E>>> {
        let this = self.get_mut();
        let stream = this.opened.get_or_insert_with(|| {
            let request = std::mem::replace(&mut this.request, ListRequest::new(batchkit::Filter::none()));
            this.backend.stream(request, this.fetch_size)
        });
        stream.as_mut().poll_next(context)
    }
}

impl<E> fmt::Debug for Entities<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entities").field("fetch_size", &self.fetch_size).finish_non_exhaustive()
    }
}
