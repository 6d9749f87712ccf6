//! Where chunks run: on connections of the pool, each in a task of its own, or in the caller's transaction.

use std::sync::Arc;

use deadpool_postgres::Pool;
use tokio::task::JoinHandle;

use crate::error::{Error, ErrorKind, Result};
use crate::retry::{self, Answer, Policy, Ran, Stage, classify};
use crate::session::{ChunkAnswer, Mode, Session, Within, Work, run_chunk};
use crate::source::Chunk;

/// Where chunks run.
pub(crate) enum Runner<'a> {
    /// On connections of the pool.
    Pool(InPool),
    /// Under savepoints of the caller's transaction. Nothing is repeated there.
    Caller(InCaller<'a>),
}

/// Chunks in transactions of their own.
pub(crate) struct InPool {
    pub(crate) pool: Pool,
    pub(crate) work: Arc<Work>,
    pub(crate) policy: Arc<Policy>,
}

/// Chunks in the caller's transaction.
pub(crate) struct InCaller<'a> {
    pub(crate) pool: Pool,
    pub(crate) within: Within<'a>,
    pub(crate) work: Arc<Work>,
    /// Whether bad rows are turned away.
    pub(crate) rejects: bool,
}

impl Runner<'_> {
    /// Does a chunk's work, all of it or nothing.
    pub(super) async fn run(&mut self, chunk: &Arc<Chunk>) -> Ran {
        match self {
            Runner::Pool(runner) => ran(runner.start(Arc::clone(chunk)).await),
            Runner::Caller(runner) => Ran { result: runner.run(chunk).await, retries: 0 },
        }
    }
}

impl InCaller<'_> {
    /// A chunk that fails for a row's fault is rolled back to its savepoint and sent again without its bad
    /// rows, if these may be turned away.
    async fn run(&mut self, chunk: &Chunk) -> Result<ChunkAnswer> {
        let error = match self.attempt(chunk, Mode::Whole).await {
            Err(error) if self.rejects && classify(error.failure(Stage::Work)) == Answer::FindBadRows => error,
            result => return result,
        };
        self.attempt(chunk, Mode::Isolate(Some(&error))).await
    }

    async fn attempt(&mut self, chunk: &Chunk, mode: Mode<'_>) -> Result<ChunkAnswer> {
        let session = Session::open(&self.pool, Some(self.within.lend())).await?;
        run_chunk(session, &self.work, &chunk.rows, None, mode).await.map_err(|broken| broken.error)
    }
}

impl InPool {
    /// Starts a chunk in a task that a dropped call does not cut short.
    pub(super) fn start(&self, chunk: Arc<Chunk>) -> JoinHandle<Ran> {
        let (pool, work, policy) = (self.pool.clone(), Arc::clone(&self.work), Arc::clone(&self.policy));
        tokio::spawn(async move { retry::run(&pool, &work, &chunk, &policy).await })
    }
}

/// What a task answered; one that panicked or was stopped with its runtime has answered nothing.
pub(super) fn ran(answer: std::result::Result<Ran, tokio::task::JoinError>) -> Ran {
    answer.unwrap_or_else(|stopped| {
        let error = Error::new(ErrorKind::Connection, format!("the chunk's task ended: {stopped}"));
        Ran { result: Err(error), retries: 0 }
    })
}
