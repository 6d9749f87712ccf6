//! The backend on PostgreSQL: batchkit's verbs, in bulk or one statement per row.

use async_trait::async_trait;
use batchkit::{BatchModel, BatchOperations, List, Page, ReadRow, Result, Upserted};
use futures_util::stream;

use crate::backend::{
    AddRequest, CountRequest, EntityStream, GetRequest, ListRequest, RemoveRequest, RepositoryBackend, UpdateRequest,
    UpsertRequest,
};
use crate::within::Within;

/// The caller's transaction, which has to be one on PostgreSQL.
fn postgres<E: BatchModel>(within: Option<Within<'_>>) -> Result<Option<batchkit::Within<'_>>> {
    within.map(|within| within.postgres(E::MODEL)).transpose()
}

/// Runs the call inside of the caller's transaction, if there is one.
macro_rules! within {
    ($call:expr, $within:expr) => {{
        let call = $call;
        match postgres::<E>($within)? {
            Some(within) => call.within(within),
            None => call,
        }
    }};
}

/// A [`RepositoryBackend`] over [`BatchOperations`].
#[derive(Debug)]
pub struct PostgresBackend<E> {
    operations: BatchOperations<E>,
}

impl<E: BatchModel> PostgresBackend<E> {
    /// A backend that stores through `operations`, with their settings.
    #[must_use]
    pub fn new(operations: BatchOperations<E>) -> Self {
        PostgresBackend { operations }
    }

    /// The operations to read with.
    fn reads(&self, with_deleted: bool) -> BatchOperations<E> {
        if with_deleted { self.operations.with_deleted() } else { self.operations.clone() }
    }

    fn select<'a>(&self, request: ListRequest<'a, E>) -> Result<List<'a, E>> {
        let ListRequest { filter, order, after, before, limit, offset, with_deleted, relations, within } = request;
        let mut call = self.reads(with_deleted).list(filter).order_by(order).load_relations(relations);
        if let Some(place) = after {
            call = call.after(place);
        }
        if let Some(place) = before {
            call = call.before(place);
        }
        if let Some(rows) = limit {
            call = call.limit(rows);
        }
        if let Some(rows) = offset {
            call = call.offset(rows);
        }
        Ok(within!(call, within))
    }
}

#[async_trait]
impl<E: ReadRow + 'static> RepositoryBackend<E> for PostgresBackend<E> {
    async fn add(&self, request: AddRequest<'_, E>) -> Result<Vec<E>> {
        within!(self.operations.insert_rows(request.rows).returning(), request.within).await
    }

    async fn update(&self, request: UpdateRequest<'_, E>) -> Result<u64> {
        let mut call = self.operations.update_rows(request.rows);
        if let Some(fields) = request.fields {
            call = call.fields(fields);
        }
        if request.if_changed {
            call = call.if_changed();
        }
        within!(call, request.within).await
    }

    async fn upsert(&self, request: UpsertRequest<'_, E>) -> Result<Upserted> {
        let mut call = self.operations.upsert_rows(request.rows);
        if let Some(on) = request.on {
            call = call.on(on);
        }
        if let Some(fields) = request.fields {
            call = call.fields(fields);
        }
        if request.if_changed {
            call = call.if_changed();
        }
        within!(call, request.within).await
    }

    async fn get(&self, request: GetRequest<'_, E>) -> Result<Vec<Option<E>>> {
        let call = within!(self.reads(request.with_deleted).get_keys(request.keys).aligned(), request.within);
        call.load_relations(request.relations).await
    }

    async fn remove(&self, request: RemoveRequest<'_, E>) -> Result<u64> {
        let mut call = self.operations.delete_keys(request.keys);
        if request.hard {
            call = call.hard();
        }
        within!(call, request.within).await
    }

    async fn list(&self, request: ListRequest<'_, E>) -> Result<Vec<E>> {
        self.select(request)?.await
    }

    async fn page(&self, request: ListRequest<'_, E>, size: u64) -> Result<Page<E>> {
        self.select(request)?.page(size).await
    }

    fn stream<'a>(&self, request: ListRequest<'a, E>, fetch_size: Option<u32>) -> EntityStream<'a, E> {
        let stream = match self.select(request) {
            Ok(list) => list.stream(),
            Err(error) => return Box::pin(stream::once(std::future::ready(Err(error)))),
        };
        Box::pin(match fetch_size {
            Some(rows) => stream.fetch_size(rows),
            None => stream,
        })
    }

    async fn count(&self, request: CountRequest<'_, E>) -> Result<u64> {
        let mut call = self.reads(request.with_deleted).count(request.filter);
        if let Some(limit) = request.limit {
            call = call.limit(limit);
        }
        within!(call, request.within).await
    }
}
