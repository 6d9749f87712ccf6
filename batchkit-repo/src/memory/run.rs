//! Statements take their turns: one that meets another transaction's row waits for that one's end.

use std::sync::Arc;
use std::time::Duration;

use batchkit::backend::{ErrorBuilder, RawRow};
use batchkit::{Error, ErrorKind, Outcome, Result};
use tokio::time::Instant;

use super::Memory;
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

/// The rows of a chunk: what became of each, or why it was turned away.
pub(super) type Chunk = Vec<Result<Done>>;

/// Does the work of a chunk in an open transaction, all of it or nothing. Where `turns_away` holds, a row that is
/// refused leaves the others in.
pub(super) async fn run(
    memory: &Memory,
    tx: TxId,
    mapped: &Arc<Mapped>,
    verb: &Verb,
    rows: &[RawRow],
    turns_away: bool,
    patience: Patience,
) -> Result<Chunk> {
    loop {
        let (waiting, ended) = {
            let mut state = memory.lock();
            let mark = state.mark(tx);
            let rival = match chunk(&mut state, tx, mapped, verb, rows, turns_away) {
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

fn chunk(
    state: &mut State,
    tx: TxId,
    mapped: &Mapped,
    verb: &Verb,
    rows: &[RawRow],
    turns_away: bool,
) -> Result<Chunk, Stop> {
    if !turns_away {
        let done = Statement::new(state, tx, mapped).run(verb, rows)?;
        return Ok(done.into_iter().map(Ok).collect());
    }
    let mut done = Chunk::new();
    for row in rows {
        let mark = state.mark(tx);
        match Statement::new(state, tx, mapped).run(verb, std::slice::from_ref(row)) {
            Ok(one) => done.extend(one.into_iter().map(Ok)),
            Err(Stop::Failed(error)) if is_of_a_row(&error) => {
                state.undo_to(tx, mark);
                done.push(Err(error));
            }
            Err(Stop::Stale(_)) => {
                state.undo_to(tx, mark);
                done.push(Err(stale().build()));
            }
            Err(stop) => return Err(stop),
        }
    }
    Ok(done)
}

/// The error of rows that give another version than the stored one.
fn stale() -> ErrorBuilder {
    ErrorBuilder::refusal(ErrorKind::Stale)
}

/// Whether an error is one row's fault: the classes of data and of constraints.
fn is_of_a_row(error: &Error) -> bool {
    error.sqlstate().is_some_and(|state| state.code().starts_with("22") || state.code().starts_with("23"))
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
pub(super) fn outcomes(chunk: &mut Chunk) -> Vec<Result<Outcome>> {
    let outcome = |done: Result<Done>| done.map(|(outcome, _)| outcome);
    std::mem::take(chunk).into_iter().map(outcome).collect()
}
