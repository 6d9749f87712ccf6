//! The backend on a database in memory.

use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use batchkit::backend::{
    Batch, ErrorBuilder, RawRow, decode, encode_keys, load_graph, load_relations, resolve_update, resolve_upsert,
};
use batchkit::wire::ColumnType;
use batchkit::{
    BatchConfig, BatchModel, Cursor, DuplicatePolicy, ErrorKind, Order, OrderColumn, Outcome, Page, Position, ReadRow,
    RelationPaths, Report, Result, Upserted,
};
use futures_util::stream;
use postgres_types::Type;
use tokio::time::Instant;

use super::Memory;
use super::graph::{Below, Inserted};
use super::read;
use super::related::{Children, Relatives};
use super::run::{Chunk, Open, Patience, Work, outcomes, run};
use super::state::{Mapped, config};
use super::statement::{Removal, Verb};
use super::table::{Row, TxId, field};
use super::value::Value;
use crate::backend::{
    AddRequest, CountRequest, EntityStream, GetRequest, ListRequest, RemoveRequest, RepositoryBackend, UpdateRequest,
    UpsertRequest,
};
use crate::within::Within;

/// A [`RepositoryBackend`] on a [`Memory`].
///
/// Of the [`BatchConfig`] it looks at what decides about rows and transactions: strategy (`Parallel` runs as
/// `Chunked`), batch size, duplicates, bad rows, and how long locks and calls are waited for.
#[derive(Debug)]
pub struct MemoryBackend<E> {
    memory: Memory,
    config: BatchConfig,
    of: PhantomData<fn() -> E>,
}

impl<E: ReadRow> MemoryBackend<E> {
    /// A backend that stores in `memory`, with these settings.
    #[must_use]
    pub fn new(memory: Memory, config: BatchConfig) -> Self {
        MemoryBackend { memory, config, of: PhantomData }
    }

    fn mapped(&self) -> Result<Arc<Mapped>> {
        self.memory.lock().mapped(E::MODEL, &[])
    }

    /// The caller's transaction, if there is one: it has to be one of this database.
    fn tx(&self, within: Option<Within<'_>>) -> Result<Option<TxId>> {
        within.map(|within| within.memory_of(&self.memory, E::MODEL).map(Open::tx)).transpose()
    }

    /// Runs all chunks.
    async fn write(
        &self,
        mut batch: Batch<'_>,
        mapped: &Arc<Mapped>,
        verb: &Verb,
        unique: Option<Unique<'_>>,
        within: Option<Within<'_>>,
    ) -> Result<Written> {
        let mut written = Written::default();
        let result = async {
            let caller = self.tx(within)?;
            if let Some(Unique { columns, policy, refuses_null }) = unique {
                let firsts = |keys: &[RawRow]| firsts(mapped, columns, keys);
                batch.keep_one_of_each(columns, policy, refuses_null, firsts).await?;
            }
            if caller.is_some() {
                Batch::refuse_in_transaction(&self.config)?;
            }
            let patience = self.patience(caller.is_some());
            while let Some(chunk) = batch.next().await? {
                let own = caller.is_none().then(|| Open::begin(&self.memory));
                let tx = own.as_ref().map(Open::tx).or(caller).unwrap_or_default();
                let below = Below::of(&mut self.memory.lock(), &chunk.below())?;
                let work = Work { mapped, verb, rows: chunk.rows(), below, turns_away: batch.turns_away() };
                match run(&self.memory, tx, &work, patience).await {
                    Err(error) => batch.failed(chunk, error)?,
                    Ok(Chunk { rows, below }) => {
                        if let Some(own) = own {
                            own.commit();
                        }
                        for (position, done) in chunk.positions().zip(&rows) {
                            if let Ok((_, Some(row))) = done {
                                written.rows.insert(position, Arc::clone(row));
                            }
                        }
                        below.counts().for_each(|(relation, rows)| batch.inserted_below(relation, rows as u64));
                        written.below.merge(below);
                        batch.written(&chunk, outcomes(rows))?;
                    }
                }
            }
            Ok(())
        }
        .await;
        written.report = batch.end_without_rejects(result)?;
        Ok(written)
    }

    /// The entities that are listed, each with its place in the order.
    fn select(&self, request: ListRequest<'_, E>) -> Result<Selected<'_, E>> {
        let ListRequest { filter, order, after, before, limit, offset, with_deleted, relations, within } = request;
        let named = |error| ErrorBuilder::from(error).table(E::MODEL.display_name()).build();
        let mapped = self.mapped()?;
        let tx = self.tx(within)?;
        if after.is_some() || before.is_some() {
            needs_key::<E>()?;
        }
        let order = Order::columns(&order).map_err(named)?;
        let types: Vec<Type> = order.iter().map(|by| mapped.types[by.column].ty().clone()).collect();
        let place = |at: Option<Position<'_, E>>| at.map(|at| at.values(&order, &types)).transpose();
        let (after, before) = (place(after).map_err(named)?, place(before).map_err(named)?);
        let filter = filter.expression();
        let selection = read::Selection { filter, order, after, before, limit, offset, with_deleted };
        let rows = read::select(&self.memory.lock(), tx, &mapped, &selection)?;
        let order = &selection.order;
        let cursor = |row: &Row| {
            let value = |by: &OrderColumn| field(row, mapped.columns[by.column]).map(|bytes| bytes.to_vec());
            Cursor::new::<E>(order, &types, order.iter().map(value).collect())
        };
        let cursors = rows.iter().map(cursor).collect();
        let entities = rows.iter().map(|row| entity(&mapped, row).map(Some)).collect::<Result<_>>()?;
        Ok(Selected { entities, cursors, relations, relatives: Relatives { memory: &self.memory, tx, with_deleted } })
    }

    /// How long this call waits. In a caller's transaction its own settings hold.
    fn patience(&self, in_caller: bool) -> Patience {
        match in_caller {
            true => Patience::default(),
            false => Patience {
                lock: self.config.database.lock_timeout,
                deadline: self.config.timeout.map(|timeout| Instant::now() + timeout),
            },
        }
    }
}

/// What was selected.
struct Selected<'m, E> {
    entities: Vec<Option<E>>,
    /// Their places in the order.
    cursors: Vec<Cursor>,
    /// What is to be loaded with them.
    relations: RelationPaths<E>,
    relatives: Relatives<'m>,
}

impl<E: ReadRow> Selected<'_, E> {
    /// The entities, with their relations.
    async fn load(mut self) -> Result<Vec<E>> {
        let entities = load_relations(self.entities, &self.relations, &mut self.relatives).await?;
        Ok(entities.into_iter().flatten().collect())
    }
}

/// What a call wrote.
#[derive(Default)]
struct Written {
    report: Report,
    /// The stored rows by their input positions.
    rows: BTreeMap<usize, Row>,
    /// What was inserted below them.
    below: Inserted,
}

/// Places in an order need a key.
fn needs_key<E: BatchModel>() -> Result<()> {
    if E::MODEL.key.is_some() {
        return Ok(());
    }
    let what = format!("`{}` declares no key: mark its field or fields with #[batch(key)]", E::MODEL.name);
    Err(ErrorBuilder::new(ErrorKind::UnknownKey, what).table(E::MODEL.display_name()).build())
}

/// The key of which the input may have each value only once.
struct Unique<'k> {
    columns: &'k [usize],
    policy: DuplicatePolicy,
    refuses_null: bool,
}

/// The first row with each row's key.
fn firsts(mapped: &Mapped, columns: &[usize], keys: &[RawRow]) -> Vec<usize> {
    let mut known: HashMap<Vec<Value>, usize> = HashMap::with_capacity(keys.len());
    let first = |(row, key): (usize, &RawRow)| {
        let parts =
            columns.iter().zip(key).map(|(&column, part)| Some(Value::of(mapped.types[column].ty(), part.as_ref()?)));
        // A key with a NULL equals none.
        parts.collect::<Option<Vec<_>>>().map_or(row, |key| *known.entry(key).or_insert(row))
    };
    keys.iter().enumerate().map(first).collect()
}

/// Reads a row of the table as an entity.
fn entity<E: ReadRow>(mapped: &Mapped, row: &Row) -> Result<E> {
    let types: &[ColumnType] = &mapped.types;
    let fields: RawRow = mapped.columns.iter().map(|&column| field(row, column).cloned()).collect();
    decode(&fields, types)
}

#[async_trait]
impl<E: ReadRow + 'static> RepositoryBackend<E> for MemoryBackend<E> {
    async fn add(&self, request: AddRequest<'_, E>) -> Result<Vec<E>> {
        let mapped = self.mapped()?;
        let verb = Verb::Insert(request.rows.columns().to_vec());
        let types_of = |model| Ok(self.memory.lock().mapped(model, &[])?.types.as_slice().into());
        let batch = Batch::of_graph(request.rows, types_of, &self.config)?;
        let graph = batch.graph();
        let Written { rows, below, .. } = self.write(batch, &mapped, &verb, None, request.within).await?;
        let entities: Vec<Option<E>> =
            rows.values().map(|row| entity(&mapped, row).map(Some)).collect::<Result<_>>()?;
        let mut children = Children { memory: &self.memory, inserted: &below };
        Ok(load_graph(entities, &graph, below.levels, &mut children).await?.into_iter().flatten().collect())
    }

    async fn update(&self, request: UpdateRequest<'_, E>) -> Result<u64> {
        let names = resolve_update(E::MODEL, request.rows.columns(), request.fields)?;
        let mapped = self.mapped()?;
        let batch = Batch::of_rows(request.rows, &names.given, &mapped.types, &self.config)?;
        let key = names.key.clone();
        let unique = Unique { columns: &key, policy: self.config.duplicates, refuses_null: false };
        let verb = Verb::Update(names, request.if_changed);
        let Written { report, .. } = self.write(batch, &mapped, &verb, Some(unique), request.within).await?;
        Ok(report.updated())
    }

    async fn upsert(&self, request: UpsertRequest<'_, E>) -> Result<Upserted> {
        let names = resolve_upsert(E::MODEL, request.rows.columns(), request.on, request.fields)?;
        let mapped = self.mapped()?;
        let batch = Batch::of_rows(request.rows, &names.given, &mapped.types, &self.config)?;
        let key = names.key.clone();
        let unique = Unique { columns: &key, policy: self.config.duplicates, refuses_null: true };
        let verb = Verb::Upsert(names, request.if_changed);
        let Written { report, .. } = self.write(batch, &mapped, &verb, Some(unique), request.within).await?;
        Ok(Upserted { inserted: report.inserted(), updated: report.updated(), unchanged: report.unchanged() })
    }

    async fn get(&self, request: GetRequest<'_, E>) -> Result<Vec<Option<E>>> {
        let mapped = self.mapped()?;
        let tx = self.tx(request.within)?;
        let columns = request.keys.key().columns;
        let keys = encode_keys(request.keys, &mapped.types)?;
        let rows = read::by_keys(&self.memory.lock(), tx, &mapped, columns, &keys, request.with_deleted);
        let entities = rows.iter().map(|row| row.as_ref().map(|row| entity(&mapped, row)).transpose());
        let entities = entities.collect::<Result<_>>()?;
        let mut relatives = Relatives { memory: &self.memory, tx, with_deleted: request.with_deleted };
        load_relations(entities, &request.relations, &mut relatives).await
    }

    async fn remove(&self, request: RemoveRequest<'_, E>) -> Result<u64> {
        let mapped = self.mapped()?;
        let key = request.keys.key().columns;
        let batch = Batch::of_keys(request.keys, &mapped.types, &self.config)?;
        // A key that is named twice is deleted once: nothing to decide.
        let unique = Unique { columns: key, policy: DuplicatePolicy::FirstWins, refuses_null: false };
        let removal = if request.hard { Removal::Hard } else { Removal::Marked };
        let verb = Verb::Delete(key.to_vec(), removal);
        let Written { report, .. } = self.write(batch, &mapped, &verb, Some(unique), request.within).await?;
        Ok(report.counts().of(Outcome::Deleted))
    }

    async fn list(&self, request: ListRequest<'_, E>) -> Result<Vec<E>> {
        self.select(request)?.load().await
    }

    async fn page(&self, mut request: ListRequest<'_, E>, size: u64) -> Result<Page<E>> {
        let most = usize::try_from(size).unwrap_or(usize::MAX);
        let limit = size.checked_add(1).filter(|_| size > 0 && request.limit.is_none());
        let refused = || config(E::MODEL, "a page needs a size, which is its only limit", None);
        request.limit = Some(limit.ok_or_else(refused)?);
        needs_key::<E>()?;
        let (has_after, from_end) = (request.after.is_some(), request.before.is_some() && request.after.is_none());
        let mut selected = self.select(request)?;
        let more = selected.entities.len() > most;
        if more {
            let surplus = if from_end { 0 } else { most };
            selected.entities.remove(surplus);
            selected.cursors.remove(surplus);
        }
        let (behind, before) = if from_end { (true, more) } else { (more, has_after) };
        let next = selected.cursors.last().filter(|_| behind).cloned();
        let previous = selected.cursors.first().filter(|_| before).cloned();
        Ok(Page { rows: selected.load().await?, next, previous })
    }

    fn stream<'a>(&self, request: ListRequest<'a, E>, fetch_size: Option<u32>) -> EntityStream<'a, E> {
        let refused = match (&request.within, fetch_size) {
            _ if !request.relations.is_empty() => Some("a stream loads no relations: read by pages for them"),
            (Some(_), _) => {
                Some("a stream reads in a transaction of its own, not in the caller's: read by pages there")
            }
            (_, Some(0)) => Some("fetch_size must be at least 1"),
            _ => None,
        };
        let selected = match refused {
            Some(what) => Err(config(E::MODEL, what, None)),
            None => self.select(request),
        };
        let items: Vec<Result<E>> = match selected {
            Ok(selected) => selected.entities.into_iter().flatten().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        Box::pin(stream::iter(items))
    }

    async fn count(&self, request: CountRequest<'_, E>) -> Result<u64> {
        let mapped = self.mapped()?;
        let tx = self.tx(request.within)?;
        let filter = request.filter.expression();
        read::count(&self.memory.lock(), tx, &mapped, filter, request.limit, request.with_deleted)
    }
}
