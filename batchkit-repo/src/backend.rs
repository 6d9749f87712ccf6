//! What a repository asks of whatever stores its entities: an object-safe trait over plain requests.

use std::pin::Pin;

use async_trait::async_trait;
use batchkit::model::FieldNames;
use batchkit::{Filter, Keys, Order, Page, Position, RelationPaths, Result, Rows, Upserted};
use futures_util::Stream;

use crate::within::Within;

/// Entities one after the other; it ends early with an error only.
pub type EntityStream<'a, E> = Pin<Box<dyn Stream<Item = Result<E>> + Send + 'a>>;

/// Stores the entities of one [`Repository`](crate::Repository).
#[async_trait]
pub trait RepositoryBackend<E>: Send + Sync {
    /// Stores new rows; the stored entities in input order.
    async fn add(&self, request: AddRequest<'_, E>) -> Result<Vec<E>>;

    /// Updates stored rows; how many were found. Rows that give another version than the stored one are an error
    /// of [`ErrorKind::Stale`](batchkit::ErrorKind::Stale).
    async fn update(&self, request: UpdateRequest<'_, E>) -> Result<u64>;

    /// Stores new rows and updates known ones.
    async fn upsert(&self, request: UpsertRequest<'_, E>) -> Result<Upserted>;

    /// Reads entities by key: one slot per key, in the order of the keys.
    async fn get(&self, request: GetRequest<'_, E>) -> Result<Vec<Option<E>>>;

    /// Removes stored rows by key, or marks them where the model has a `soft_delete`; how many there were.
    async fn remove(&self, request: RemoveRequest<'_, E>) -> Result<u64>;

    /// Reads the entities that fulfil a filter.
    async fn list(&self, request: ListRequest<'_, E>) -> Result<Vec<E>>;

    /// Reads `size` entities at the most, and tells where to go on; a limit in the request is an error.
    async fn page(&self, request: ListRequest<'_, E>, size: u64) -> Result<Page<E>>;

    /// Reads the entities that fulfil a filter one after the other, so many at a time if a number is given.
    fn stream<'a>(&self, request: ListRequest<'a, E>, fetch_size: Option<u32>) -> EntityStream<'a, E>;

    /// How many entities fulfil a filter.
    async fn count(&self, request: CountRequest<'_, E>) -> Result<u64>;
}

/// New rows to store.
#[derive(Debug)]
pub struct AddRequest<'a, E> {
    /// The rows.
    pub rows: Rows<'a, E>,
    /// The caller's transaction, if it is to happen there.
    pub within: Option<Within<'a>>,
}

/// Stored rows to update.
#[derive(Debug)]
pub struct UpdateRequest<'a, E> {
    /// Whole rows or patches.
    pub rows: Rows<'a, E>,
    /// The fields to set; all that count as changeable without it.
    pub fields: Option<Vec<FieldNames>>,
    /// Whether rows that would not change are left alone.
    pub if_changed: bool,
    /// The caller's transaction, if it is to happen there.
    pub within: Option<Within<'a>>,
}

/// Rows to store or to update.
#[derive(Debug)]
pub struct UpsertRequest<'a, E> {
    /// The rows.
    pub rows: Rows<'a, E>,
    /// The fields of the unique key that tells known rows.
    pub on: Option<Vec<FieldNames>>,
    /// The fields to set in known rows.
    pub fields: Option<Vec<FieldNames>>,
    /// Whether rows that would not change are left alone.
    pub if_changed: bool,
    /// The caller's transaction, if it is to happen there.
    pub within: Option<Within<'a>>,
}

/// Keys to read.
#[derive(Debug)]
pub struct GetRequest<'a, E> {
    /// The keys.
    pub keys: Keys<'a, E>,
    /// Whether entities that are marked as deleted are seen.
    pub with_deleted: bool,
    /// The relations to load with them.
    pub relations: RelationPaths<E>,
    /// The caller's transaction, if it is to happen there.
    pub within: Option<Within<'a>>,
}

impl<'a, E> GetRequest<'a, E> {
    /// The entities of these keys.
    #[must_use]
    pub fn new(keys: Keys<'a, E>) -> Self {
        GetRequest { keys, with_deleted: false, relations: RelationPaths::default(), within: None }
    }
}

/// Keys to remove.
#[derive(Debug)]
pub struct RemoveRequest<'a, E> {
    /// The keys.
    pub keys: Keys<'a, E>,
    /// Whether they are deleted for real where the model has a `soft_delete`, be they marked or not.
    pub hard: bool,
    /// The caller's transaction, if it is to happen there.
    pub within: Option<Within<'a>>,
}

/// A filtered read.
#[derive(Debug)]
pub struct ListRequest<'a, E> {
    /// The conditions.
    pub filter: Filter<E>,
    /// The order; behind it comes that of the key. See [`Order::columns`].
    pub order: Vec<Order<E>>,
    /// The place in the order behind which entities are read.
    pub after: Option<Position<'a, E>>,
    /// The place in the order before which entities are read.
    pub before: Option<Position<'a, E>>,
    /// The most entities to read: the first, or the last where only `before` is given.
    pub limit: Option<u64>,
    /// How many entities to leave out first.
    pub offset: Option<u64>,
    /// Whether entities that are marked as deleted are seen.
    pub with_deleted: bool,
    /// The relations to load with them.
    pub relations: RelationPaths<E>,
    /// The caller's transaction, if it is to happen there.
    pub within: Option<Within<'a>>,
}

impl<E> ListRequest<'_, E> {
    /// All entities that fulfil the filter.
    #[must_use]
    pub fn new(filter: Filter<E>) -> Self {
        ListRequest {
            filter,
            order: Vec::new(),
            after: None,
            before: None,
            limit: None,
            offset: None,
            with_deleted: false,
            relations: RelationPaths::default(),
            within: None,
        }
    }
}

/// A filtered count.
#[derive(Debug)]
pub struct CountRequest<'a, E> {
    /// The conditions.
    pub filter: Filter<E>,
    /// The number to stop counting at.
    pub limit: Option<u64>,
    /// Whether entities that are marked as deleted are seen.
    pub with_deleted: bool,
    /// The caller's transaction, if it is to happen there.
    pub within: Option<Within<'a>>,
}
