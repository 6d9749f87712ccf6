//! The rows of a call in chunks, and the books of what became of them: what every strategy does with PostgreSQL,
//! for a store that does the work of a chunk by itself.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::encode::{RawRow, layout, raw_rows, refuse_below};
use super::failure::check_config;
use super::graph::{RawBelow, RawGraph, TypesOf, layouts};
use crate::config::{BatchConfig, DuplicatePolicy, ExecutionStrategy, OnRowError};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Ledger;
use crate::model::{Association, BatchModel, GraphRows, Model};
use crate::operation::without_rejects;
use crate::plan;
use crate::reject::Reject;
use crate::report::{Outcome, Report};
use crate::retry::Stage;
use crate::session::{ChunkAnswer, Graph, Kind};
use crate::source::{ChildLayout, Chunk, Chunks, Feed, Keys, Layout, Limits, Rows, Style};
use crate::sql::Form;
use crate::strategy;
use crate::wire::{ColumnType, Fault};

/// The rows or keys of one call, encoded and cut into chunks as its settings say; and the books.
///
/// A chunk is one transaction: a store does all of it or nothing, and tells what became of it. The loop is always
/// the same:
///
/// ```
/// # use batchkit::{BatchConfig, BatchModel, Outcome, Report, Result, Rows, backend};
/// # use batchkit::backend::{Batch, RawRow};
/// # fn store(rows: &[RawRow]) -> Result<()> { Ok(()) }
/// # async fn insert<M: BatchModel>(rows: Rows<'_, M>, config: &BatchConfig) -> Result<Report> {
/// let types = backend::declared_types(M::MODEL)?;
/// let columns = rows.columns();
/// let mut batch = Batch::of_rows(rows, columns, &types, config)?;
/// let result = async {
///     while let Some(chunk) = batch.next().await? {
///         match store(&chunk.rows()) {
///             Ok(()) => batch.written(&chunk, chunk.rows().iter().map(|_| Ok(Outcome::Inserted)))?,
///             Err(error) => batch.failed(chunk, error)?,
///         }
///     }
///     Ok(())
/// };
/// let result = result.await;
/// batch.end(result)
/// # }
/// ```
pub struct Batch<'a> {
    chunks: Chunks<'a>,
    ledger: Ledger,
    model: &'static Model,
    layout: Arc<Layout>,
    turns_away: bool,
    /// The chunks that are tried when a larger one fails.
    fallback: Option<Limits>,
    /// The parts of such a chunk, the next one last.
    parts: Vec<Chunk>,
    /// What was inserted below the rows of the chunk whose turn it is.
    below: Graph,
}

impl std::fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("model", &self.model.name).finish_non_exhaustive()
    }
}

/// The rows of one transaction.
#[derive(Debug)]
pub struct RawChunk {
    chunk: Chunk,
    layout: Arc<Layout>,
}

impl RawChunk {
    /// The rows' fields: those of the batch's columns, in their order.
    #[must_use]
    pub fn rows(&self) -> Vec<RawRow> {
        raw_rows(&self.chunk.rows)
    }

    /// The positions of the rows in the input, from 0.
    #[must_use]
    pub fn positions(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        (0..self.chunk.positions.len()).map(|row| self.chunk.positions.get(row).unwrap_or_default())
    }

    /// The rows below them, kind by kind.
    #[must_use]
    pub fn below(&self) -> Vec<RawBelow<'_>> {
        RawBelow::of(&self.layout.below, self.chunk.rows.below())
    }
}

impl<'a> Batch<'a> {
    /// A batch of rows, of which these columns are encoded; `types` are those of all of the model's columns.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the settings make no sense.
    pub fn of_rows<M: BatchModel>(
        rows: Rows<'a, M>,
        columns: &[usize],
        types: &[ColumnType],
        config: &BatchConfig,
    ) -> Result<Self> {
        refuse_below(&*rows.feed, M::MODEL)?;
        Batch::new(rows.feed, M::MODEL, columns, types, Vec::new(), config)
    }

    /// A batch of rows and all that is below them, if anything is; all columns that they give are encoded. `types_of`
    /// tells the types of a model's columns: it is asked about each model in the graph.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the settings make no sense, or when kinds of rows are below themselves by way of
    /// others; [`ErrorKind::Schema`] when a key is handed down to a column of another type; those of `types_of`.
    pub fn of_graph<M: BatchModel>(
        rows: Rows<'a, M>,
        mut types_of: impl FnMut(&'static Model) -> Result<Arc<[ColumnType]>>,
        config: &BatchConfig,
    ) -> Result<Self> {
        let top = GraphRows { model: M::MODEL, columns: &[], children: rows.feed.children() };
        let types_of: &mut TypesOf<'_> = &mut types_of;
        let types = types_of(M::MODEL)?;
        let below = layouts(top, types_of, &mut Vec::new())?;
        Batch::new(rows.feed, M::MODEL, rows.columns, &types, below, config)
    }

    /// A batch of keys, of which each value is one row.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the settings make no sense.
    pub fn of_keys<M: BatchModel>(keys: Keys<'a, M>, types: &[ColumnType], config: &BatchConfig) -> Result<Self> {
        Batch::new(keys.feed, M::MODEL, keys.key.columns, types, Vec::new(), config)
    }

    fn new(
        feed: Box<dyn Feed + 'a>,
        model: &'static Model,
        columns: &[usize],
        types: &[ColumnType],
        below: Vec<ChildLayout>,
        config: &BatchConfig,
    ) -> Result<Self> {
        check_config(config)?;
        let key = model.keys().map(|key| key.columns).find(|key| key.iter().all(|column| columns.contains(column)));
        let layout = layout(model, columns, key.unwrap_or_default(), types)?;
        let layout = Arc::new(Layout { below, ..layout });
        let turns_away = config.on_row_error == OnRowError::Reject;
        // One store has one connection, so to say: its chunks follow each other.
        let style = Style { concurrent: false, ..strategy::style(config, None, turns_away, Some(0)) };
        Ok(Batch {
            ledger: Ledger::new(Form::Outcomes, config, Arc::clone(&layout.key), Instant::now()),
            chunks: Chunks::new(feed, model, Arc::clone(&layout), style),
            model,
            layout,
            turns_away,
            fallback: strategy::fallback(config),
            parts: Vec::new(),
            below: Graph::default(),
        })
    }

    /// Whether rows that are refused are turned away while the others of their chunk go in.
    #[must_use]
    pub fn turns_away(&self) -> bool {
        self.turns_away
    }

    /// Leaves all rows of one key out but one, as the policy says. `firsts` is handed the keys' fields and tells for
    /// each the first one that is equal to it (itself, if none is); it must be its own where the key has a NULL.
    /// Where `refuses_null` holds, a NULL in the key is that row's fault.
    ///
    /// # Errors
    /// [`ErrorKind::DuplicateKey`] under [`DuplicatePolicy::Error`], [`ErrorKind::InvalidRow`] for rows without a
    /// form. Hand it to [`end`](Self::end).
    pub async fn keep_one_of_each(
        &mut self,
        key: &[usize],
        policy: DuplicatePolicy,
        refuses_null: bool,
        firsts: impl FnOnce(&[RawRow]) -> Vec<usize>,
    ) -> Result<()> {
        let (rows, positions) = self.chunks.collect(usize::MAX).await?;
        let at = |column: &usize| self.layout.columns.iter().position(|given| given == column);
        let fields: Vec<usize> = key.iter().filter_map(at).collect();
        let keys: Vec<RawRow> = raw_rows(&rows)
            .into_iter()
            .map(|row| fields.iter().map(|&field| row.get(field).cloned().flatten()).collect())
            .collect();
        let mut dropped = vec![false; rows.len()];
        let mut refused = Vec::new();
        for (row, values) in keys.iter().enumerate().filter(|_| refuses_null) {
            if let Some(part) = values.iter().position(Option::is_none) {
                let name = self.model.columns[self.layout.columns[fields[part]]].name;
                let position = positions.get(row).unwrap_or(row);
                refused.push((row, Error::invalid_row(position, name, Fault::NullKey)));
            }
        }
        if let (Some((_, error)), false) = (refused.first(), self.turns_away) {
            return Err(error.clone_invalid_row());
        }
        let mut pairs: HashMap<usize, usize> = HashMap::new();
        for (row, first) in firsts(&keys).into_iter().enumerate().filter(|(row, first)| row != first) {
            pairs.insert(first, first);
            pairs.insert(row, first);
        }
        for (row, is_dropped) in plan::resolve(policy, &positions, pairs.into_iter().collect())?.into_iter().enumerate()
        {
            if is_dropped {
                dropped[row] = true;
                self.ledger.book(&positions.get(row).unwrap_or(row).into(), Outcome::Duplicate);
            }
        }
        refused.iter().for_each(|(row, _)| dropped[*row] = true);
        self.chunks.leave_out(&dropped);
        let refused = refused.iter().map(|(row, error)| {
            let key = self.layout.key.of(&rows.row(*row));
            Reject::new(positions.get(*row).unwrap_or(*row), error).with_key(key)
        });
        self.ledger.unsent(&refused.collect::<Vec<_>>())
    }

    /// The next chunk; `None` at the end.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRow`] for a row without a form, unless such rows are turned away. Hand it to
    /// [`end`](Self::end).
    pub async fn next(&mut self) -> Result<Option<RawChunk>> {
        if let Some(part) = self.parts.pop() {
            return Ok(Some(self.raw(part)));
        }
        let chunk = self.chunks.next().await?;
        self.ledger.book(&self.chunks.take_dropped().into(), Outcome::Filtered);
        self.ledger.unsent(&self.chunks.take_rejects())?;
        Ok(chunk.map(|chunk| self.raw(chunk)))
    }

    fn raw(&self, chunk: Chunk) -> RawChunk {
        RawChunk { chunk, layout: Arc::clone(&self.layout) }
    }

    /// The kinds of rows below the rows.
    #[must_use]
    pub fn graph(&self) -> RawGraph {
        RawGraph(Arc::clone(&self.layout))
    }

    /// Notes rows that were inserted below those of a chunk, before [`written`](Self::written) books that.
    pub fn inserted_below(&mut self, relation: &'static Association, rows: u64) {
        let kind = Kind { inserted: rows, stored: Vec::new() };
        self.below.merge(Graph { kinds: [(relation.label, kind)].into(), depth: 0 });
    }

    /// Books a chunk that is in: what became of each of its rows, or why it was turned away.
    ///
    /// # Errors
    /// [`ErrorKind::TooManyRejects`]; [`ErrorKind::Accounting`] when the outcomes are not as many as the rows. Hand
    /// it to [`end`](Self::end).
    pub fn written(
        &mut self,
        chunk: &RawChunk,
        outcomes: impl IntoIterator<Item = Result<Outcome, Error>>,
    ) -> Result<()> {
        let graph = std::mem::take(&mut self.below);
        let mut answer = ChunkAnswer { graph, ..ChunkAnswer::default() };
        for (row, outcome) in outcomes.into_iter().enumerate() {
            let outcome = outcome.unwrap_or_else(|error| {
                answer.rejects.push(Reject::new(row, &error));
                Outcome::Rejected
            });
            answer.counts.add(outcome, 1);
            answer.rows.each().push((outcome, None));
        }
        if answer.rows.len() != chunk.chunk.positions.len() {
            return Err(Error::new(ErrorKind::Accounting, "the store did not account for every row"));
        }
        let rejects = self.ledger.committed(&chunk.chunk, answer);
        self.ledger.reject(&rejects)
    }

    /// Books a chunk that was rolled back. Under [`ExecutionStrategy::Optimistic`] its parts come next, where that
    /// can help.
    ///
    /// # Errors
    /// The same error with the chunk's rows. Hand it to [`end`](Self::end).
    pub fn failed(&mut self, chunk: RawChunk, error: Error) -> Result<()> {
        let RawChunk { chunk, .. } = chunk;
        if let Some(limits) = self.fallback
            && strategy::chunks_help(&error, Stage::Work, &chunk, limits)
        {
            self.ledger.retried(1);
            self.parts.extend(chunk.cut(limits).into_iter().rev());
            return Ok(());
        }
        self.ledger.book(&chunk.positions, Outcome::Failed);
        Err(error.at(&chunk.positions).of_rows(chunk.ranges()).in_chunk(chunk.index))
    }

    /// Closes the books.
    ///
    /// # Errors
    /// The one that ended the call, with the table's name and the report.
    pub fn end(mut self, result: Result<()>) -> Result<Report> {
        if result.is_err() {
            for part in std::mem::take(&mut self.parts) {
                self.ledger.book(&part.positions, Outcome::NotAttempted);
            }
            self.ledger.book(&self.chunks.rest().into(), Outcome::NotAttempted);
        }
        let (report, _) = self.ledger.close();
        match result {
            Ok(()) => Ok(report),
            Err(error) => Err(error.with_report(report).in_table(self.model.display_name())),
        }
    }

    /// The report, or the error that holds it if rows were turned away: they are never passed over.
    ///
    /// # Errors
    /// Those of [`end`](Self::end), and [`ErrorKind::Rejected`].
    pub fn end_without_rejects(self, result: Result<()>) -> Result<Report> {
        let table = self.model.display_name();
        without_rejects(self.end(result)?).map_err(|error| error.in_table(table))
    }

    /// Whether the settings ask for connections of the call's own, which a caller's transaction does not have.
    ///
    /// # Errors
    /// [`ErrorKind::Config`].
    pub fn refuse_in_transaction(config: &BatchConfig) -> Result<()> {
        match config.execution_strategy {
            ExecutionStrategy::Parallel => Err(strategy::refused_within()),
            _ => Ok(()),
        }
    }
}
