//! `Repository<E>`: what a service holds for each kind of entity.

use std::fmt;
use std::sync::Arc;

use batchkit::backend::check_config;
use batchkit::{
    BatchConfig, BatchModel, BatchOperations, BatchSize, Filter, InsertRow, KeyFor, Keys, PatchRow, ReadRow, Result,
    Rows, Transport,
};
use deadpool_postgres::Pool;

use crate::backend::{
    AddRequest, CountRequest, GetRequest, ListRequest, RemoveRequest, RepositoryBackend, UpdateRequest, UpsertRequest,
};
use crate::calls::{Add, Count, Get, GetAligned, List, Remove, Update, Upsert};
use crate::database::Database;
use crate::memory::{Memory, MemoryBackend};
use crate::one::{Exists, GetOne};
use crate::postgres::PostgresBackend;
use crate::reads::Entities;

/// The stored entities of type `E`. Cheap to clone.
pub struct Repository<E> {
    backend: Arc<dyn RepositoryBackend<E>>,
}

impl<E> Clone for Repository<E> {
    fn clone(&self) -> Self {
        Repository { backend: Arc::clone(&self.backend) }
    }
}

impl<E> fmt::Debug for Repository<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository").finish_non_exhaustive()
    }
}

/// Builds a [`Repository`] on a [`Database`].
#[derive(Debug)]
#[must_use = "call build()"]
pub struct RepositoryBuilder<E> {
    database: Database,
    use_batch_operations: bool,
    config: BatchConfig,
    of: std::marker::PhantomData<fn() -> E>,
}

impl<E: ReadRow + 'static> RepositoryBuilder<E> {
    /// Whether calls go through bulk statements (the default) or through one statement per row. Results are
    /// the same.
    pub fn use_batch_operations(mut self, on: bool) -> Self {
        self.use_batch_operations = on;
        self
    }

    /// The most rows of one chunk: a [`BatchSize`] or a number.
    pub fn batch_size(mut self, size: impl Into<BatchSize>) -> Self {
        self.config.batch_size = size.into();
        self
    }

    /// All settings of the bulk operations. Replaces what was set before.
    pub fn config(mut self, config: BatchConfig) -> Self {
        self.config = config;
        self
    }

    /// The finished repository. Nothing is asked of the server yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](batchkit::ErrorKind::Config) when the settings make no sense.
    pub fn build(mut self) -> Result<Repository<E>> {
        if !self.use_batch_operations {
            self.config.transport = Transport::Single;
        }
        match self.database.pool() {
            Ok(pool) => {
                let operations = BatchOperations::builder(pool).config(self.config).build()?;
                Ok(Repository::with_backend(PostgresBackend::new(operations)))
            }
            Err(memory) => {
                check_config(&self.config)?;
                Ok(Repository::with_backend(MemoryBackend::new(memory, self.config)))
            }
        }
    }
}

impl<E: BatchModel + 'static> Repository<E> {
    /// A repository to be configured, on PostgreSQL (`builder(pool)`) or whatever else is a [`Database`].
    pub fn builder(database: impl Into<Database>) -> RepositoryBuilder<E> {
        RepositoryBuilder {
            database: database.into(),
            use_batch_operations: true,
            config: BatchConfig::default(),
            of: std::marker::PhantomData,
        }
    }

    /// A repository on PostgreSQL with the default settings.
    #[must_use]
    pub fn postgres(pool: Pool) -> Self
    where
        E: ReadRow,
    {
        Repository::with_backend(PostgresBackend::new(BatchOperations::new(pool)))
    }

    /// A repository on a database in memory with the default settings, for unit tests.
    #[must_use]
    pub fn memory(memory: &Memory) -> Self
    where
        E: ReadRow,
    {
        Repository::with_backend(MemoryBackend::new(memory.clone(), BatchConfig::default()))
    }

    /// A repository over a backend of the caller's own: a double in unit tests, say.
    pub fn with_backend(backend: impl RepositoryBackend<E> + 'static) -> Self {
        Repository { backend: Arc::new(backend) }
    }

    /// Stores new rows (of `E`, or of its `new` form). Answers the stored entities, with what the server
    /// set, in input order.
    pub fn batch_add<'a, I>(&self, rows: I) -> Add<'a, E>
    where
        I: IntoIterator<IntoIter: Send + 'a, Item: InsertRow<E> + Send + 'a>,
    {
        Add { backend: Arc::clone(&self.backend), request: AddRequest { rows: Rows::insertable(rows), within: None } }
    }

    /// Updates stored rows by key from whole entities or patches. Answers how many were found. Where the model has a
    /// `version`, rows that were changed since they were read are not overwritten: the call is an error of
    /// [`ErrorKind::Stale`](batchkit::ErrorKind::Stale) that names them.
    pub fn batch_update<'a, I>(&self, rows: I) -> Update<'a, E>
    where
        I: IntoIterator<IntoIter: Send + 'a, Item: PatchRow<E> + Send + 'a>,
    {
        let rows = Rows::patches(rows);
        let request = UpdateRequest { rows, fields: None, if_changed: false, within: None };
        Update { backend: Arc::clone(&self.backend), request }
    }

    /// Stores new rows and updates those known by a declared unique key. Answers how many of each.
    pub fn batch_upsert<'a, I>(&self, rows: I) -> Upsert<'a, E>
    where
        I: IntoIterator<IntoIter: Send + 'a, Item: InsertRow<E> + Send + 'a>,
    {
        let rows = Rows::insertable(rows);
        let request = UpsertRequest { rows, on: None, fields: None, if_changed: false, within: None };
        Upsert { backend: Arc::clone(&self.backend), request }
    }

    /// Reads entities by key, in the order of the keys. Keys that were not found are left out;
    /// `.aligned()` tells which.
    pub fn batch_get<'a, I>(&self, keys: I) -> Get<'a, E>
    where
        I: IntoIterator<IntoIter: Send + 'a, Item: KeyFor<E::Key> + Send + 'a>,
    {
        let request = GetRequest::new(Keys::primary(keys));
        Get(GetAligned { backend: Arc::clone(&self.backend), request })
    }

    /// Removes stored entities by key. Answers how many there were. Where the model has a `soft_delete` they are
    /// marked, and no longer seen; `.hard()` removes them for real.
    pub fn batch_remove<'a, I>(&self, keys: I) -> Remove<'a, E>
    where
        I: IntoIterator<IntoIter: Send + 'a, Item: KeyFor<E::Key> + Send + 'a>,
    {
        Remove {
            backend: Arc::clone(&self.backend),
            request: RemoveRequest { keys: Keys::primary(keys), hard: false, within: None },
        }
    }

    /// Reads the entities that fulfil a filter, in the order of the key if none is said: `.order_by(…)`,
    /// `.limit(n)`, `.after(&last)`, `.page(n)`.
    ///
    /// ```no_run
    /// # use batchkit::{BatchModel, Cursor};
    /// # use batchkit_repo::Repository;
    /// # #[derive(BatchModel)] #[batch(table = "products")]
    /// # struct Product { #[batch(key)] id: i64, price: i64 }
    /// # async fn run(repo: Repository<Product>) -> batchkit::Result<()> {
    /// let f = Product::FIELDS;
    /// let dearest = repo.list(f.price.gt(10)).order_by(f.price.desc()).limit(5).await?;
    /// let page = repo.list(f.price.gt(10)).order_by(f.price.desc()).page(50).await?;
    /// # let _ = (dearest, page.next);
    /// # Ok(()) }
    /// ```
    pub fn list<'a>(&self, filter: Filter<E>) -> List<'a, E> {
        List { backend: Arc::clone(&self.backend), request: ListRequest::new(filter) }
    }

    /// Reads the entities that fulfil a filter one after the other, and holds few of them.
    pub fn stream<'a>(&self, filter: Filter<E>) -> Entities<'a, E> {
        Entities::new(Arc::clone(&self.backend), ListRequest::new(filter))
    }

    /// How many entities fulfil a filter.
    pub fn count<'a>(&self, filter: Filter<E>) -> Count<'a, E> {
        let request = CountRequest { filter, limit: None, with_deleted: false, within: None };
        Count { backend: Arc::clone(&self.backend), request }
    }

    /// Whether an entity fulfils a filter; looks no further than the first.
    pub fn exists<'a>(&self, filter: Filter<E>) -> Exists<'a, E> {
        Exists(self.count(filter))
    }

    /// Reads one entity by key.
    pub fn get<'a, K>(&self, key: K) -> GetOne<'a, E>
    where
        K: KeyFor<E::Key> + Send + 'a,
    {
        let request = GetRequest::new(Keys::primary([key]));
        GetOne(GetAligned { backend: Arc::clone(&self.backend), request })
    }

    /// Stores one new row. Answers the stored entity; `None` where a trigger of the table dropped it.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn add<R>(&self, row: R) -> Result<Option<E>>
    where
        R: InsertRow<E> + Send,
    {
        let added = self.backend.add(AddRequest { rows: Rows::insertable([row]), within: None }).await?;
        Ok(added.into_iter().next())
    }

    /// Updates one stored row. Answers whether there was one.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn update<R>(&self, row: R) -> Result<bool>
    where
        R: PatchRow<E> + Send,
    {
        let rows = Rows::patches([row]);
        let request = UpdateRequest { rows, fields: None, if_changed: false, within: None };
        Ok(self.backend.update(request).await? > 0)
    }

    /// Removes one stored entity. Answers whether there was one.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn remove<K>(&self, key: K) -> Result<bool>
    where
        K: KeyFor<E::Key> + Send,
    {
        Ok(self.backend.remove(RemoveRequest { keys: Keys::primary([key]), hard: false, within: None }).await? > 0)
    }
}
