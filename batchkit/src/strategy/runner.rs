//! Where chunks run: on connections of the pool, each in a task of its own, or in the caller's transaction.

use std::future::Future;
use std::sync::Arc;

use deadpool_postgres::Pool;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::chunks_help;
use super::lasting::Lasting;
use crate::books::Books;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{self, ErrorContext};
use crate::report::Outcome;
use crate::retry::{self, Answer, FirstTry, Policy, Ran, Shared, Stage, classify};
use crate::session::{ChunkAnswer, Mode, Session, Within, Work, run_chunk};
use crate::source::{Chunk, Limits, Pace, Positions};

/// Where chunks run.
pub(crate) enum Runner<'a> {
    /// On connections of the pool.
    Pool(InPool),
    /// Under savepoints of the caller's transaction. Nothing is repeated there.
    Caller(InCaller<'a>),
}

/// Chunks in transactions of their own.
#[derive(Clone)]
pub(crate) struct InPool {
    pub(crate) shared: Arc<Shared>,
    pub(crate) books: Arc<Books>,
    /// The chunks that are tried when a larger one fails.
    pub(crate) fallback: Option<Limits>,
    /// Is told how long each chunk took.
    pub(crate) pace: Arc<Pace>,
}

/// Chunks in the caller's transaction.
pub(crate) struct InCaller<'a> {
    pub(crate) pool: Pool,
    pub(crate) within: Within<'a>,
    pub(crate) work: Arc<Work>,
    pub(crate) books: Arc<Books>,
    pub(crate) policy: Arc<Policy>,
    /// The chunks that are tried when a larger one fails.
    pub(crate) fallback: Option<Limits>,
    /// Is told how long each chunk took.
    pub(crate) pace: Arc<Pace>,
}

impl Runner<'_> {
    /// The call's books.
    pub(crate) fn books(&self) -> &Arc<Books> {
        match self {
            Runner::Pool(runner) => &runner.books,
            Runner::Caller(runner) => &runner.books,
        }
    }

    /// The caller's transaction, for a question between chunks.
    pub(crate) fn lend(&mut self) -> Option<Within<'_>> {
        match self {
            Runner::Pool(_) => None,
            Runner::Caller(runner) => Some(runner.within.lend()),
        }
    }

    /// Does a chunk's work, all of it or nothing, and books what became of it.
    pub(super) async fn run(&mut self, chunk: Chunk) -> Result<()> {
        match self {
            Runner::Pool(runner) => Lasting::new(runner.work(chunk)).await,
            Runner::Caller(runner) => {
                let books = Arc::clone(&runner.books);
                let (fallback, pace) = (runner.fallback, Arc::clone(&runner.pace));
                in_parts(runner, &books, fallback, &pace, chunk, None).await
            }
        }
    }
}

/// Runs a chunk once, with its retries.
trait TryChunk: Send {
    /// What the chunks of its call have in common.
    fn policy(&self) -> &Policy;

    fn try_chunk(&mut self, chunk: &Chunk, first_try: Option<FirstTry>) -> impl Future<Output = Ran> + Send;
}

/// A chunk that was begun elsewhere.
pub(super) struct Begun {
    /// How its first try ended.
    pub(super) first_try: FirstTry,
    /// The chunk's span.
    pub(super) span: Span,
}

/// Runs a chunk, and books what became of it. One that is too much for the server is run in parts.
async fn in_parts(
    runner: &mut impl TryChunk,
    books: &Books,
    fallback: Option<Limits>,
    pace: &Pace,
    chunk: Chunk,
    mut begun: Option<Begun>,
) -> Result<()> {
    let mut open = Open { parts: vec![chunk], under_way: Positions::default(), books };
    while let Some(part) = open.parts.pop() {
        open.under_way.clone_from(&part.positions);
        let (span, first_try) = match begun.take() {
            Some(Begun { first_try, span }) => (span, Some(first_try)),
            None => (observe::chunk_span(part.index, part.rows.len()), None),
        };
        let (started, is_whole) = (Instant::now(), first_try.is_none());
        let ran = runner.try_chunk(&part, first_try).instrument(span.clone()).await;
        if ran.result.is_ok() && ran.retries == 0 && is_whole {
            let latency = runner.policy().opening.latency();
            pace.took(part.rows.len(), part.rows.byte_len(), started.elapsed(), latency);
        }
        open.under_way = Positions::default();
        let smaller = match (&ran.result, fallback) {
            (Err(error), Some(limits)) if chunks_help(error, ran.stage, &part, limits) => part.cut(limits),
            _ if ran.halve => part.halves().into(),
            _ => Vec::new(),
        };
        if !smaller.is_empty() {
            books.retried(ran.retries + 1);
            open.parts.extend(smaller.into_iter().rev());
            continue;
        }
        if let Err(error) = books.ran(&part, ran) {
            observe::record_error(&span, &error);
            return Err(error);
        }
    }
    Ok(())
}

/// The parts of a chunk that are not booked yet.
struct Open<'b> {
    /// Those whose turn has not come, the next one last.
    parts: Vec<Chunk>,
    /// The positions of the one that is being tried.
    under_way: Positions,
    books: &'b Books,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        // Dropped half-way: a call in the caller's transaction, or a task with its runtime.
        self.books.book(&self.under_way, Outcome::Unknown);
        self.parts.iter().for_each(|part| self.books.book(&part.positions, Outcome::NotAttempted));
    }
}

impl TryChunk for InPool {
    fn policy(&self) -> &Policy {
        &self.shared.policy
    }

    async fn try_chunk(&mut self, chunk: &Chunk, first_try: Option<FirstTry>) -> Ran {
        retry::run(&self.shared, chunk, first_try).await
    }
}

impl TryChunk for InCaller<'_> {
    fn policy(&self) -> &Policy {
        &self.policy
    }

    /// A chunk that fails for a row's fault is rolled back to its savepoint and sent again without its bad
    /// rows, if these may be turned away.
    async fn try_chunk(&mut self, chunk: &Chunk, _: Option<FirstTry>) -> Ran {
        let error = match self.attempt(chunk, Mode::Whole).await {
            Ok(answer) => return Ran::once(Ok(answer)),
            Err(error) => error,
        };
        let classified = classify(error.failure(Stage::Work, false));
        let finds_bad_rows = classified == Answer::FindBadRows && error.can_be_answered();
        let decision = match classified {
            _ if !error.can_be_answered() => Answer::Stop,
            Answer::FindBadRows if self.policy.rejects => Answer::FindBadRows,
            Answer::Halve if self.policy.is_divisible && chunk.rows.len() > 1 => Answer::Halve,
            _ => Answer::Stop,
        };
        self.policy
            .observer
            .tell(&error, &ErrorContext { chunk: chunk.index, rows: chunk.ranges(), attempt: 1, answer: decision });
        match decision {
            Answer::FindBadRows => Ran::once(self.attempt(chunk, Mode::Isolate(Some(&error))).await),
            _ if finds_bad_rows && !self.work.below.is_empty() => {
                let blamed = self.attempt(chunk, Mode::Blame(&error)).await;
                Ran::once(Err(match blamed {
                    Ok(answer) => error.blaming(&answer.rejects).at(&chunk.positions),
                    Err(_) => error,
                }))
            }
            _ => Ran { halve: decision == Answer::Halve, ..Ran::once(Err(error)) },
        }
    }
}

impl InCaller<'_> {
    async fn attempt(&mut self, chunk: &Chunk, mode: Mode<'_>) -> Result<ChunkAnswer> {
        let session = Session::open(&self.pool, Some(self.within.lend())).await?;
        let ran = run_chunk(session, &self.work, &chunk.rows, &self.policy.opening, None, mode).await;
        ran.map_err(|broken| broken.error.at(&chunk.positions))
    }
}

impl InPool {
    /// Starts a chunk in a task that a dropped call does not cut short.
    pub(super) fn start(&self, chunk: Chunk) -> JoinHandle<Result<()>> {
        tokio::spawn(self.work(chunk))
    }

    /// A chunk's work, to be done anywhere.
    fn work(&self, chunk: Chunk) -> impl Future<Output = Result<()>> + Send + 'static {
        let mut runner = self.clone();
        let under_way = self.books.start_work();
        let run = async move {
            let result = runner.finish(chunk, None).await;
            drop(under_way);
            result
        };
        run.in_current_span()
    }

    /// Runs a chunk, which may have been begun, to its end, and books it.
    pub(super) async fn finish(&mut self, chunk: Chunk, begun: Option<Begun>) -> Result<()> {
        let books = Arc::clone(&self.books);
        let (fallback, pace) = (self.fallback, Arc::clone(&self.pace));
        in_parts(self, &books, fallback, &pace, chunk, begun).await
    }
}

/// What a chunk's task answered; one that panicked or was stopped with its runtime has answered nothing.
pub(super) fn finished(answer: std::result::Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    answer.unwrap_or_else(|stopped| {
        Err(if stopped.is_panic() { panicked() } else { failed_task("was stopped with its runtime") })
    })
}

/// The error of a chunk in whose work the caller's own code panicked. (What it panicked with may quote a row.)
pub(super) fn panicked() -> Error {
    failed_task("panicked")
}

fn failed_task(why: &str) -> Error {
    Error::new(ErrorKind::Connection, format!("the chunk's task {why}"))
}
