//! Statements take their turns: one that meets another transaction's row waits for that one's end.

use std::time::Duration;

use batchkit::backend::{ErrorBuilder, RawRow};
use batchkit::{Error, ErrorKind, Outcome, Result};
use tokio::time::Instant;

use super::Memory;
use super::graph::{Below, Inserted, insert_below};
use super::state::{Mapped, State};
use super::statement::{Done, Statement, Stop, Verb};
use super::table::TxId;

/// An open transaction, or a savepoint in one. Dropped, what it wrote is taken back.
pub(crate) struct Open {
    memory: Memory,
    tx: TxId,
    /// Where a savepoint begins; a transaction of its own ends with this value.
    savepoint: Option<usize>,
    is_over: bool,
}

impl Open {
    /// A transaction of its own.
    pub(crate) fn begin(memory: &Memory) -> Self {
        let tx = memory.lock().begin();
        Open { memory: memory.clone(), tx, savepoint: None, is_over: false }
    }

    /// A savepoint in it.
    pub(crate) fn savepoint(&self) -> Self {
        let mark = self.memory.lock().mark(self.tx);
        Open { memory: self.memory.clone(), tx: self.tx, savepoint: Some(mark), is_over: false }
    }

    /// Keeps what it wrote.
    pub(crate) fn commit(mut self) {
        self.is_over = true;
        if self.savepoint.is_none() {
            self.memory.lock().end(self.tx, true);
        }
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) fn tx(&self) -> TxId {
        self.tx
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut state = self.memory.lock();
        match self.savepoint {
            Some(mark) => state.undo_to(self.tx, mark),
            None => state.end(self.tx, false),
        }
    }
}

/// How long a statement waits for others.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Patience {
    /// For each lock.
    pub(super) lock: Option<Duration>,
    /// In all.
    pub(super) deadline: Option<Instant>,
}

/// What is done with a chunk.
pub(super) struct Work<'w> {
    pub(super) mapped: &'w Mapped,
    pub(super) verb: &'w Verb,
    pub(super) rows: Vec<RawRow>,
    /// What is inserted below the rows.
    pub(super) below: Vec<Below>,
    /// Whether a row that is refused leaves the others in.
    pub(super) turns_away: bool,
}

/// What became of a chunk.
#[derive(Default)]
pub(super) struct Chunk {
    /// What became of each of its rows, or why it was turned away.
    pub(super) rows: Vec<Result<Done>>,
    /// What was inserted below them.
    pub(super) below: Inserted,
}

/// Does the work of a chunk in an open transaction, all of it or nothing.
pub(super) async fn run(memory: &Memory, tx: TxId, work: &Work<'_>, patience: Patience) -> Result<Chunk> {
    loop {
        let (waiting, ended) = {
            let mut state = memory.lock();
            let mark = state.mark(tx);
            let rival = match chunk(&mut state, tx, work) {
                Ok(done) => return Ok(done),
                Err(stop) => {
                    state.undo_to(tx, mark);
                    match stop {
                        Stop::Failed(error) => return Err(error),
                        Stop::Stale(rows) => {
                            return Err(stale().rows(rows.into_iter().map(|row| row..row + 1)).build());
                        }
                        Stop::Wait(rival) => rival,
                    }
                }
            };
            let ended = state.wait(tx, rival)?;
            (Waiting { memory, tx }, ended)
        };
        wait(ended, patience).await?;
        drop(waiting);
    }
}

fn chunk(state: &mut State, tx: TxId, work: &Work<'_>) -> Result<Chunk, Stop> {
    let Work { mapped, verb, rows, below, turns_away } = work;
    let mut chunk = Chunk::default();
    let parts = if *turns_away { 1 } else { rows.len().max(1) };
    for (number, part) in rows.chunks(parts).enumerate() {
        let mark = state.mark(tx);
        let first = number * parts;
        let graph = Statement::new(state, tx, mapped).run(verb, part).and_then(|done| {
            let stored = done.iter().zip(first..).filter_map(|((_, row), at)| Some((at, row.clone()?))).collect();
            Ok((done, insert_below(state, tx, mapped, &stored, below)?))
        });
        let refused = match graph {
            Ok((done, below)) => {
                chunk.rows.extend(done.into_iter().map(Ok));
                chunk.below.merge(below);
                continue;
            }
            Err(Stop::Failed(error)) if *turns_away && is_of_a_row(&error) => error,
            Err(Stop::Stale(_)) if *turns_away => stale().build(),
            Err(stop) => return Err(stop),
        };
        state.undo_to(tx, mark);
        chunk.rows.push(Err(refused));
    }
    Ok(chunk)
}

/// The error of rows that give another version than the stored one.
fn stale() -> ErrorBuilder {
    ErrorBuilder::refusal(ErrorKind::Stale)
}

/// Whether an error is one row's fault: the classes of data and of constraints, and what is found before these.
fn is_of_a_row(error: &Error) -> bool {
    error.kind() == ErrorKind::InvalidRow
        || error.sqlstate().is_some_and(|state| state.code().starts_with("22") || state.code().starts_with("23"))
}

/// A transaction that waits.
struct Waiting<'m> {
    memory: &'m Memory,
    tx: TxId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.memory.lock().stop_waiting(self.tx);
    }
}

/// Waits for the end of a rival.
async fn wait(mut ended: tokio::sync::watch::Receiver<()>, patience: Patience) -> Result<()> {
    // Nothing is ever sent: the channel closes when the rival ends.
    let end = async move { while ended.changed().await.is_ok() {} };
    let lock = patience.lock.map(|lock| Instant::now() + lock);
    let Some(until) = lock.into_iter().chain(patience.deadline).min() else {
        end.await;
        return Ok(());
    };
    if tokio::time::timeout_at(until, end).await.is_ok() {
        return Ok(());
    }
    if patience.deadline.is_some_and(|deadline| deadline <= until) {
        return Err(ErrorBuilder::new(ErrorKind::Timeout, "the call's timeout has passed").build());
    }
    let what = "the server refused: canceling statement due to lock timeout";
    Err(ErrorBuilder::new(ErrorKind::Database, what).sqlstate("55P03").build())
}

/// Only the outcomes.
pub(super) fn outcomes(rows: Vec<Result<Done>>) -> impl Iterator<Item = Result<Outcome>> {
    rows.into_iter().map(|done| done.map(|(outcome, _)| outcome))
}
