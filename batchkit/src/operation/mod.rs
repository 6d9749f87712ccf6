//! The verbs: one file each for what it asks and answers; [`engine`] is the way that all of them take.

mod answer;
mod arguments;
mod call;
mod count;
mod delete;
mod engine;
mod equal;
mod get;
mod graph;
mod insert;
mod known;
mod list;
mod post_process;
mod pre_process;
mod read;
mod relations;
mod renewal;
mod route;
mod stream;
mod target;
mod update;
mod upsert;
mod verb;

use std::fmt::Display;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;

pub(crate) use answer::{decode, unreadable, without_rejects};
pub use call::{Aligned, Answer, Call, CountVerb, KeyOnly, Plain, Reported, Returned, Returning, WholeRow};
pub use count::{Count, Exists};
use deadpool_postgres::Pool;
pub use delete::Delete;
use engine::Engine;
pub use engine::Explanation;
use futures_util::Stream;
pub use get::Get;
pub use insert::Insert;
pub use list::{List, Page};
pub use post_process::{PostProcess, WithReport};
pub use pre_process::PreProcess;
pub use relations::WithRelations;
pub(crate) use relations::relate_slots;
pub use stream::{RowChunks, RowStream};
pub use update::Update;
pub(crate) use update::resolve as resolve_update;
pub(crate) use upsert::resolve as resolve_upsert;
pub use upsert::{Upsert, Upserted};

use crate::catalog::Table;
use crate::config::BatchConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::filter::Filter;
use crate::metrics::Metrics;
use crate::model::{BatchModel, InsertRow, KeyFor, PatchRow, Unique};
use crate::observe::{ErrorContext, ErrorObserver};
use crate::reject::RejectSink;
use crate::retry::within;
use crate::source::{Feed, Keys, Rows};

/// Bulk operations on the table of `M`, over a pool. Cheap to clone; clones share what they know of the table.
///
/// Every verb takes any iterable of rows or keys (a slice, a `Vec`, an iterator), by value or by reference,
/// and returns a [`Call`] that runs when it is awaited.
pub struct BatchOperations<M> {
    engine: Engine,
    of: PhantomData<fn() -> M>,
}

impl<M> Clone for BatchOperations<M> {
    fn clone(&self) -> Self {
        BatchOperations { engine: self.engine.clone(), of: PhantomData }
    }
}

impl<M> std::fmt::Debug for BatchOperations<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchOperations").field("config", &self.engine.config).finish_non_exhaustive()
    }
}

/// Builds [`BatchOperations`].
#[derive(Debug)]
#[must_use = "call build()"]
pub struct BatchOperationsBuilder<M> {
    pool: Pool,
    config: BatchConfig,
    observer: ErrorObserver,
    of: PhantomData<fn() -> M>,
}

impl<M: BatchModel> BatchOperationsBuilder<M> {
    /// The settings of all calls.
    pub fn config(mut self, config: BatchConfig) -> Self {
        self.config = config;
        self
    }

    /// Is told of every error of a chunk, of all calls that have no [callback](Call::error_callback) of their own.
    pub fn error_callback(mut self, callback: impl Fn(&Error, &ErrorContext) + Send + Sync + 'static) -> Self {
        self.observer = ErrorObserver::new(callback);
        self
    }

    /// The finished operations. Nothing is asked of the server yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the settings make no sense.
    pub fn build(self) -> Result<BatchOperations<M>> {
        if let Some(problem) = self.config.problem() {
            return Err(Error::new(ErrorKind::Config, problem));
        }
        let engine = Engine {
            pool: self.pool,
            tables: Arc::default(),
            openings: Arc::default(),
            config: self.config,
            observer: self.observer,
            meter: Arc::default(),
            with_deleted: false,
        };
        Ok(BatchOperations { engine, of: PhantomData })
    }
}

impl<M: BatchModel> BatchOperations<M> {
    /// Operations over `pool` with the default settings.
    #[must_use]
    pub fn new(pool: Pool) -> Self {
        let engine = Engine {
            pool,
            tables: Arc::default(),
            openings: Arc::default(),
            config: BatchConfig::default(),
            observer: ErrorObserver::default(),
            meter: Arc::default(),
            with_deleted: false,
        };
        BatchOperations { engine, of: PhantomData }
    }

    /// Operations over `pool`, to be configured.
    pub fn builder(pool: Pool) -> BatchOperationsBuilder<M> {
        BatchOperationsBuilder {
            pool,
            config: BatchConfig::default(),
            observer: ErrorObserver::default(),
            of: PhantomData,
        }
    }

    /// The same operations, whose reads ([`batch_get`](Self::batch_get), [`list`](Self::list),
    /// [`count`](Self::count)) find also rows that are marked by the model's `soft_delete`.
    #[must_use]
    pub fn with_deleted(&self) -> Self {
        let mut engine = self.engine.clone();
        engine.with_deleted = true;
        BatchOperations { engine, of: PhantomData }
    }

    /// Compares the model with the table now: columns, types, nullability, and that each declared key has a
    /// real unique index. Every call does so at its first use of the table. Never changes anything.
    ///
    /// # Errors
    /// [`ErrorKind::Schema`] with all [`mismatches`](Error::mismatches).
    pub async fn check_schema(&self) -> Result<()> {
        self.engine.tables.clear();
        self.engine.pool.manager().statement_caches.clear();
        self.describe().await.map(drop)
    }

    /// What the server says about the table; asked once and kept.
    ///
    /// # Errors
    /// Those of [`check_schema`](Self::check_schema).
    pub async fn describe(&self) -> Result<Arc<Table>> {
        within(self.engine.deadline(), pin!(self.engine.known(M::MODEL, None)))
            .await
            .map(|known| Arc::clone(&known.table))
    }

    /// Inserts rows: of the model, or of its `new` form, where the server sets the `auto` columns.
    ///
    /// `.await` counts the rows inserted; `.returning()` gives the stored rows in input order.
    pub fn batch_insert<'a, I>(&self, rows: I) -> Call<'a, M, Insert>
    where
        M: 'a,
        I: IntoIterator<IntoIter: Send + 'a, Item: InsertRow<M> + Send + 'a>,
    {
        self.insert_rows(Rows::insertable(rows))
    }

    /// [`batch_insert`](Self::batch_insert) of rows whose type is forgotten.
    pub fn insert_rows<'a>(&self, rows: Rows<'a, M>) -> Call<'a, M, Insert> {
        self.call(rows.feed, Insert::new(rows.columns))
    }

    /// [`batch_insert`](Self::batch_insert) of rows that a stream gives. They are taken as chunks need them, so that of
    /// any number of rows only those of the chunks under way are in memory (all, where one transaction has all:
    /// [`ExecutionStrategy::SingleQuery`](crate::ExecutionStrategy::SingleQuery)).
    ///
    /// Rows come as `Result`: what a list of another table streams, for instance, can be handed on. A stream that
    /// gives an error ends the call with [`ErrorKind::Input`], which tells what was written before; rows that cannot
    /// fail are mapped to `Ok::<_, Infallible>`. What a dropped or failed call had not taken from the stream is not in
    /// its report.
    ///
    /// ```no_run
    /// # use batchkit::BatchModel;
    /// # #[derive(batchkit::BatchModel)] #[batch(table = "readings")]
    /// # struct Reading { #[batch(key)] id: i64, value: f64 }
    /// # async fn run(here: batchkit::BatchOperations<Reading>, there: batchkit::BatchOperations<Reading>)
    /// # -> batchkit::Result<()> {
    /// let rows = here.list(Reading::FIELDS.value.gt(0.0)).stream();
    /// let copied = there.batch_insert_stream(rows).await?;
    /// # Ok(()) }
    /// ```
    pub fn batch_insert_stream<'a, S, R, E>(&self, rows: S) -> Call<'a, M, Insert>
    where
        M: 'a,
        S: Stream<Item = std::result::Result<R, E>> + Send + 'a,
        R: InsertRow<M> + Send + 'a,
        E: Display + Send + 'a,
    {
        self.insert_rows(Rows::streamed(rows))
    }

    /// Updates each row by its primary key to its own values: whole rows, or patches.
    ///
    /// `.await` counts the rows found and updated. What input rows of one key do, the
    /// [`DuplicatePolicy`](crate::DuplicatePolicy) says.
    pub fn batch_update<'a, I>(&self, rows: I) -> Call<'a, M, Update>
    where
        M: 'a,
        I: IntoIterator<IntoIter: Send + 'a, Item: PatchRow<M> + Send + 'a>,
    {
        self.update_rows(Rows::patches(rows))
    }

    /// [`batch_update`](Self::batch_update) of rows whose type is forgotten.
    pub fn update_rows<'a>(&self, rows: Rows<'a, M>) -> Call<'a, M, Update> {
        self.call(rows.feed, Update::new(rows.columns))
    }

    /// Inserts rows that are new and updates those that are known by a declared unique key.
    ///
    /// `.await` counts inserted, updated and unchanged rows apart.
    pub fn batch_upsert<'a, I>(&self, rows: I) -> Call<'a, M, Upsert>
    where
        M: 'a,
        I: IntoIterator<IntoIter: Send + 'a, Item: InsertRow<M> + Send + 'a>,
    {
        self.upsert_rows(Rows::insertable(rows))
    }

    /// [`batch_upsert`](Self::batch_upsert) of rows whose type is forgotten.
    pub fn upsert_rows<'a>(&self, rows: Rows<'a, M>) -> Call<'a, M, Upsert> {
        self.call(rows.feed, Upsert::new(rows.columns))
    }

    /// [`batch_upsert`](Self::batch_upsert) of rows that a stream gives, as in
    /// [`batch_insert_stream`](Self::batch_insert_stream).
    ///
    /// The keys of rows are compared with each other within a chunk, and within those that run at once: there the
    /// [`DuplicatePolicy`](crate::DuplicatePolicy) decides. A key that comes again in a later chunk updates the row
    /// again, as under [`LastWins`](crate::DuplicatePolicy::LastWins): of hundreds of millions of keys not all can be
    /// kept. [`FirstWins`](crate::DuplicatePolicy::FirstWins) cannot be held this way, and is refused.
    pub fn batch_upsert_stream<'a, S, R, E>(&self, rows: S) -> Call<'a, M, Upsert>
    where
        M: 'a,
        S: Stream<Item = std::result::Result<R, E>> + Send + 'a,
        R: InsertRow<M> + Send + 'a,
        E: Display + Send + 'a,
    {
        self.upsert_rows(Rows::streamed(rows))
    }

    /// Deletes the rows with these primary keys: the key's own type or a reference, a tuple for a
    /// composite one. Where the model has a `soft_delete`, they are marked instead; `.hard()` deletes them.
    ///
    /// `.await` counts the rows deleted; a key that is named twice counts once.
    pub fn batch_delete<'a, I>(&self, keys: I) -> Call<'a, M, Delete>
    where
        M: 'a,
        I: IntoIterator<IntoIter: Send + 'a, Item: KeyFor<M::Key> + Send + 'a>,
    {
        self.delete_keys(Keys::primary(keys))
    }

    /// Deletes the rows with these values of a declared unique key: `Product::KEYS.sku`.
    pub fn batch_delete_by<'a, K, I>(&self, key: Unique<M, K>, keys: I) -> Call<'a, M, Delete>
    where
        M: 'a,
        K: 'a,
        I: IntoIterator<IntoIter: Send + 'a, Item: KeyFor<K> + Send + 'a>,
    {
        self.delete_keys(Keys::of(key, keys))
    }

    /// [`batch_delete`](Self::batch_delete) of keys whose type is forgotten.
    pub fn delete_keys<'a>(&self, keys: Keys<'a, M>) -> Call<'a, M, Delete> {
        self.call(keys.feed, Delete::new(keys.key))
    }

    /// Reads the rows with these primary keys, in the order of the keys; a key named twice gives its row
    /// twice. Keys that were not found are left out, told by `.aligned()` and by `.report()`.
    pub fn batch_get<'a, I>(&self, keys: I) -> Call<'a, M, Get, Returning>
    where
        M: 'a,
        I: IntoIterator<IntoIter: Send + 'a, Item: KeyFor<M::Key> + Send + 'a>,
    {
        self.get_keys(Keys::primary(keys))
    }

    /// Reads the rows with these values of a declared unique key: `Product::KEYS.sku`.
    pub fn batch_get_by<'a, K, I>(&self, key: Unique<M, K>, keys: I) -> Call<'a, M, Get, Returning>
    where
        M: 'a,
        K: 'a,
        I: IntoIterator<IntoIter: Send + 'a, Item: KeyFor<K> + Send + 'a>,
    {
        self.get_keys(Keys::of(key, keys))
    }

    /// [`batch_get`](Self::batch_get) of keys whose type is forgotten.
    pub fn get_keys<'a>(&self, keys: Keys<'a, M>) -> Call<'a, M, Get, Returning> {
        self.call(keys.feed, Get::new(keys.key, self.engine.with_deleted))
    }

    /// Makes rows of values of any kind, a record of a file for instance, before they are written: `Ok(Some(row))`
    /// goes on, `Ok(None)` drops the value ([`Outcome::Filtered`](crate::Outcome::Filtered)), and an error is that
    /// row's own: it stops the call, or turns the row away where
    /// [`OnRowError::Reject`](crate::OnRowError::Reject) holds. Under
    /// [`ExecutionStrategy::Pipelined`](crate::ExecutionStrategy::Pipelined) it runs on all cores, while the rows
    /// before are being written; otherwise right before its chunk is sent.
    ///
    /// ```no_run
    /// # #[derive(batchkit::BatchModel)] #[batch(table = "readings")]
    /// # struct Reading { #[batch(key)] id: i64, value: f64 }
    /// # async fn run(readings: batchkit::BatchOperations<Reading>, lines: Vec<String>) -> batchkit::Result<()> {
    /// use batchkit::{ExecutionStrategy, OnRowError};
    ///
    /// let report = readings
    ///     .pre_process(|line: String| -> Result<Option<Reading>, String> {
    ///         let Some((id, value)) = line.split_once(',') else { return Ok(None) };
    ///         let id = id.parse().map_err(|_| "the id is no number")?;
    ///         Ok(Some(Reading { id, value: value.parse().map_err(|_| "the value is no number")? }))
    ///     })
    ///     .batch_insert(lines)
    ///     .strategy(ExecutionStrategy::Pipelined)
    ///     .on_row_error(OnRowError::Reject)
    ///     .report()
    ///     .await?;
    /// println!("{} in, {} left out, {} turned away", report.inserted(), report.filtered(), report.rejected());
    /// # Ok(()) }
    /// ```
    pub fn pre_process<T, R, E, F>(&self, process: F) -> PreProcess<M, F>
    where
        F: Fn(T) -> Result<Option<R>, E> + Send + Sync + 'static,
    {
        PreProcess::new(self.clone(), process)
    }

    /// Reads the rows that fulfil a filter: all of them, or by pages, or as a stream. See [`List`].
    pub fn list<'a>(&self, filter: Filter<M>) -> List<'a, M> {
        List::new(self.engine.clone(), filter)
    }

    /// How many rows fulfil a filter. `.limit(n)` counts no further.
    pub fn count<'a>(&self, filter: Filter<M>) -> Count<'a, M> {
        Count::new(self.engine.clone(), filter)
    }

    /// Whether a row fulfils a filter; looks no further than the first.
    pub fn exists<'a>(&self, filter: Filter<M>) -> Exists<'a, M> {
        Exists::new(self.engine.clone(), filter)
    }

    /// What was measured of the calls so far, of this value and its clones: of all that have ended, also with an
    /// error, unless their [`collect_metrics`](crate::BatchConfig::collect_metrics) is off. A call that was dropped
    /// half-way counts as [`dropped`](crate::BatchMetrics::dropped) once its last chunk has ended, with the rows that
    /// it had taken from its input by then.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.engine.meter.read()
    }

    fn call<'a, V, A>(&self, feed: Box<dyn Feed + 'a>, verb: V) -> Call<'a, M, V, A> {
        Call {
            engine: self.engine.clone(),
            feed,
            verb,
            config: self.engine.config.clone(),
            within: None,
            observer: self.engine.observer.clone(),
            sink: RejectSink::default(),
            tracker: None,
            of: PhantomData,
        }
    }
}
