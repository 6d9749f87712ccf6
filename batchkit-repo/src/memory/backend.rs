//! The backend on a database in memory.

use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use batchkit::backend::{Batch, RawRow, decode, encode_keys, resolve_update, resolve_upsert};
use batchkit::wire::ColumnType;
use batchkit::{BatchConfig, DuplicatePolicy, Outcome, ReadRow, Report, Result, Upserted};
use tokio::time::Instant;

use super::Memory;
use super::read;
use super::run::{Open, Patience, outcomes, run};
use super::state::Mapped;
use super::statement::Verb;
use super::table::{Row, TxId, field};
use super::value::Value;
use crate::backend::{
    AddRequest, CountRequest, GetRequest, ListRequest, RemoveRequest, RepositoryBackend, UpdateRequest, UpsertRequest,
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

    /// Runs all chunks; the stored rows by their input positions.
    async fn write(
        &self,
        mut batch: Batch<'_>,
        mapped: &Arc<Mapped>,
        verb: &Verb,
        unique: Option<Unique<'_>>,
        within: Option<Within<'_>>,
    ) -> Result<(Report, BTreeMap<usize, Row>)> {
        let mut stored = BTreeMap::new();
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
                let turns_away = batch.turns_away();
                match run(&self.memory, tx, mapped, verb, &chunk.rows(), turns_away, patience).await {
                    Err(error) => batch.failed(chunk, error)?,
                    Ok(mut done) => {
                        if let Some(own) = own {
                            own.commit();
                        }
                        for (&position, done) in chunk.positions().iter().zip(&done) {
                            if let Ok((_, Some(row))) = done {
                                stored.insert(position, Arc::clone(row));
                            }
                        }
                        batch.written(&chunk, outcomes(&mut done))?;
                    }
                }
            }
            Ok(())
        }
        .await;
        Ok((batch.end_without_rejects(result)?, stored))
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
        let given = request.rows.columns();
        let batch = Batch::of_rows(request.rows, given, &mapped.types, &self.config)?;
        let verb = Verb::Insert(given.to_vec());
        let (_, stored) = self.write(batch, &mapped, &verb, None, request.within).await?;
        stored.values().map(|row| entity(&mapped, row)).collect()
    }

    async fn update(&self, request: UpdateRequest<'_, E>) -> Result<u64> {
        let names = resolve_update(E::MODEL, request.rows.columns(), request.fields)?;
        let mapped = self.mapped()?;
        let batch = Batch::of_rows(request.rows, &names.given, &mapped.types, &self.config)?;
        let key = names.key.clone();
        let unique = Unique { columns: &key, policy: self.config.duplicates, refuses_null: false };
        let verb = Verb::Update(names, request.if_changed);
        let (report, _) = self.write(batch, &mapped, &verb, Some(unique), request.within).await?;
        Ok(report.updated())
    }

    async fn upsert(&self, request: UpsertRequest<'_, E>) -> Result<Upserted> {
        let names = resolve_upsert(E::MODEL, request.rows.columns(), request.on, request.fields)?;
        let mapped = self.mapped()?;
        let batch = Batch::of_rows(request.rows, &names.given, &mapped.types, &self.config)?;
        let key = names.key.clone();
        let unique = Unique { columns: &key, policy: self.config.duplicates, refuses_null: true };
        let verb = Verb::Upsert(names, request.if_changed);
        let (report, _) = self.write(batch, &mapped, &verb, Some(unique), request.within).await?;
        Ok(Upserted { inserted: report.inserted(), updated: report.updated(), unchanged: report.unchanged() })
    }

    async fn get(&self, request: GetRequest<'_, E>) -> Result<Vec<Option<E>>> {
        let mapped = self.mapped()?;
        let tx = self.tx(request.within)?;
        let columns = request.keys.key().columns;
        let keys = encode_keys(request.keys, &mapped.types)?;
        let rows = read::by_keys(&self.memory.lock(), tx, &mapped, columns, &keys);
        rows.iter().map(|row| row.as_ref().map(|row| entity(&mapped, row)).transpose()).collect()
    }

    async fn remove(&self, request: RemoveRequest<'_, E>) -> Result<u64> {
        let mapped = self.mapped()?;
        let key = request.keys.key().columns;
        let batch = Batch::of_keys(request.keys, &mapped.types, &self.config)?;
        // A key that is named twice is deleted once: nothing to decide.
        let unique = Unique { columns: key, policy: DuplicatePolicy::FirstWins, refuses_null: false };
        let verb = Verb::Delete(key.to_vec());
        let (report, _) = self.write(batch, &mapped, &verb, Some(unique), request.within).await?;
        Ok(report.counts().of(Outcome::Deleted))
    }

    async fn list(&self, request: ListRequest<'_, E>) -> Result<Vec<E>> {
        let mapped = self.mapped()?;
        let tx = self.tx(request.within)?;
        let rows = read::list(&self.memory.lock(), tx, &mapped, request.filter.expression(), request.limit)?;
        rows.iter().map(|row| entity(&mapped, row)).collect()
    }

    async fn count(&self, request: CountRequest<'_, E>) -> Result<u64> {
        let mapped = self.mapped()?;
        let tx = self.tx(request.within)?;
        read::count(&self.memory.lock(), tx, &mapped, request.filter.expression(), request.limit)
    }
}
