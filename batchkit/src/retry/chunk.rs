//! The loop around one chunk: try, decide, wait, try again, and never twice what is in.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::policy::{Policy, within};
use super::tries::Tries;
use super::{Answer, Backoff, Stage, Works, classify};
use crate::error::{Error, Result};
use crate::observe::{self, ErrorContext};
use crate::session::{Broken, ChunkAnswer, Fate, Identity, Mode, Session, Work, fate, run_chunk};
use crate::source::Chunk;

/// What became of a chunk, and how many times it was tried.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) result: Result<ChunkAnswer>,
    pub(crate) retries: u32,
    /// How far the last try came, if it failed.
    pub(crate) stage: Stage,
    /// Whether its halves are to be tried: it was too much for the server.
    pub(crate) halve: bool,
}

impl Ran {
    /// A chunk that was tried once.
    pub(crate) fn once(result: Result<ChunkAnswer>) -> Self {
        Ran { result, retries: 0, stage: Stage::Work, halve: false }
    }
}

/// What the chunks of a call have in common.
pub(crate) struct Shared {
    pub(crate) pool: Pool,
    pub(crate) works: Works,
    pub(crate) policy: Arc<Policy>,
}

/// The first try of a chunk, which was had beforehand.
pub(crate) struct FirstTry {
    /// What was tried.
    pub(crate) work: Arc<Work>,
    /// How it ended.
    pub(crate) tried: Result<ChunkAnswer, Box<Broken>>,
    /// The span of the try.
    pub(crate) span: Span,
}

/// Runs a chunk on connections of the pool until it is in, or there is no more to be done about it. (What most chunks do
/// not need is on the heap: it is not to be a part of each chunk's future.)
pub(crate) async fn run(shared: &Shared, chunk: &Chunk, mut first_try: Option<FirstTry>) -> Ran {
    let Shared { pool, works, policy } = shared;
    let mut tries = Tries::new(policy);
    let listeners = Listeners { policy, chunk };
    let mut work = first_try.as_ref().map_or_else(|| works.current(), |first| Arc::clone(&first.work));
    // The error of a row's making that the whole chunk met: from then on its bad rows are looked for.
    let mut first: Option<Error> = None;
    let mut halve = false;
    let mut last_stage = Stage::Connect;
    let result = loop {
        let mode = match &first {
            Some(error) => Mode::Isolate(Some(error)),
            None if policy.rejects && work.suspects.are_active() => Mode::Isolate(None),
            None => Mode::Whole,
        };
        let attempt = tries.retries() + 1;
        let (span, tried) = match first_try.take() {
            Some(FirstTry { tried, span, .. }) => (span, tried),
            None => {
                let span = observe::attempt_span(attempt);
                let tried = Box::pin(try_once(pool, &work, chunk, policy, mode)).instrument(span.clone()).await;
                (span, tried)
            }
        };
        let Broken { error, stage, identity, answer } = match tried {
            Ok(answer) => break Ok(answer),
            Err(broken) => *broken,
        };
        let error = error.at(&chunk.positions);
        observe::record_error(&span, &error);
        last_stage = stage;
        if !error.can_be_answered() || (policy.is_abandoned() && stage == Stage::Connect) {
            listeners.tell(&error, attempt, Answer::Stop);
            break Err(error);
        }
        // What a rival's row may have caused is its own row's fault the second time.
        let snapshot = policy.is_snapshot && !tries.had(Answer::AgainOnce);
        let mut decision = classify(error.failure(stage, snapshot));
        if decision == Answer::Resolve && !work.writes {
            // Nothing was to be committed: there is nothing to find out.
            decision = Answer::Fresh;
        }
        if let (true, Some(identity)) = (error.is_lost(), &identity) {
            // Also before COMMIT: the old backend may hold locks that the next try would wait for.
            match Box::pin(look_up(pool, identity, policy)).await {
                Fate::Committed if answer.is_some() => {
                    listeners.tell(&error, attempt, decision);
                    break answer.ok_or(error);
                }
                Fate::RolledBack if decision == Answer::Resolve => {
                    // As if it had happened before COMMIT was sent.
                    decision = match classify(error.failure(Stage::Work, snapshot)) {
                        Answer::Resolve => Answer::Fresh,
                        other => other,
                    };
                }
                Fate::Undecided if decision == Answer::Resolve || stage == Stage::Commit => {
                    listeners.tell(&error, attempt, Answer::Stop);
                    break Err(error.commit_unknown("the connection broke during COMMIT"));
                }
                _ => {}
            }
        }
        if stage == Stage::Commit && work.writes_elsewhere {
            listeners.tell(&error, attempt, Answer::Stop);
            break Err(
                error.commit_unknown("COMMIT failed, and tables on other servers may have been committed before")
            );
        }
        if decision == Answer::FindBadRows && policy.rejects && first.is_none() {
            listeners.tell(&error, attempt, decision);
            first = Some(error);
            continue;
        }
        if decision == Answer::FindBadRows && !policy.rejects && !work.below.is_empty() {
            // Of a graph, the error names the root: a chunk has many rows below each.
            listeners.tell(&error, attempt, Answer::Stop);
            break Err(match Box::pin(try_once(pool, &work, chunk, policy, Mode::Blame(&error))).await {
                Ok(answer) => error.blaming(&answer.rejects).at(&chunk.positions),
                Err(_) => error,
            });
        }
        if decision == Answer::Halve && policy.is_divisible && chunk.rows.len() > 1 {
            listeners.tell(&error, attempt, decision);
            halve = true;
            break Err(error);
        }
        if error.sqlstate().is_some_and(|state| state.code() == "25006") {
            // Every connection of the pool may reach the server that only reads now.
            pool.retain(|_, _| false);
        }
        let pause = tries.again(decision);
        listeners.tell(&error, attempt, if pause.is_some() { decision } else { Answer::Stop });
        let Some(pause) = pause else { break Err(error) };
        if decision == Answer::ClearCaches {
            // Each of the pool's connections may have the stale statement.
            pool.manager().statement_caches.clear();
            let other = policy.within_deadline(Box::pin(works.instead_of(&work)).as_mut()).await;
            work = match other {
                Ok(work) => work,
                Err(error) => break Err(error),
            };
        }
        let slept = async {
            tokio::time::sleep(pause).await;
            Ok(())
        };
        if policy.while_wanted(pin!(slept)).await.is_err() {
            break Err(error);
        }
    };
    Ran { result, retries: tries.retries(), stage: last_stage, halve }
}

/// Who is told of a chunk's errors.
struct Listeners<'a> {
    policy: &'a Policy,
    chunk: &'a Chunk,
}

impl Listeners<'_> {
    /// Tells of an error of this try, and what is done about it.
    fn tell(&self, error: &Error, attempt: u32, answer: Answer) {
        let (chunk, rows) = (self.chunk.index, self.chunk.ranges());
        self.policy.observer.tell(error, &ErrorContext { chunk, rows, attempt, answer });
    }
}

/// One try. When the deadline passes, its connection is given up, and the server is asked what became of it.
async fn try_once(
    pool: &Pool,
    work: &Arc<Work>,
    chunk: &Chunk,
    policy: &Policy,
    mode: Mode<'_>,
) -> Result<ChunkAnswer, Box<Broken>> {
    let (session, _place) = connect(pool, policy).await?;
    let running = run_chunk(session, work, &chunk.rows, &policy.opening, policy.deadline, mode);
    if work.writes {
        return running.await;
    }
    // Nobody is told what a dropped call has read: it does not go on.
    tokio::select! {
        ran = running => ran,
        () = policy.abandoned() => Err(Box::new(Broken::at_connecting(Error::abandoned()))),
    }
}

/// A connection of the pool for one chunk, and the worker's place that it has.
pub(crate) async fn connect<'p>(
    pool: &Pool,
    policy: &'p Policy,
) -> Result<(Session<'static>, Option<SemaphorePermit<'p>>), Box<Broken>> {
    let failed = |error| Box::new(Broken::at_connecting(error));
    let connected = loop {
        let place = policy.while_wanted(pin!(async { Ok(policy.workers.place().await) })).await.map_err(failed)?;
        match policy.while_wanted(pin!(Session::open(pool, None))).await {
            Ok(session) => break (session.counted(&policy.round_trips), place),
            // The server has no connection to spare: this worker's place is given up, and another one's awaited.
            Err(error) if error.is_of_too_many_connections() && policy.workers.give_up(place) => {}
            Err(error) => return Err(failed(error)),
        }
    };
    // The call may have been dropped while its chunk waited for the connection: then it is not begun.
    if policy.is_abandoned() { Err(failed(Error::abandoned())) } else { Ok(connected) }
}

/// How long the server is asked at the most what became of a transaction, once the call's deadline has passed.
const GRACE: Duration = Duration::from_secs(5);

/// What became of a transaction; asked as often as a chunk may be retried, for the server may be restarting.
async fn look_up(pool: &Pool, identity: &Identity, policy: &Policy) -> Fate {
    let pauses = Backoff::new(policy.retry_delay, fastrand::Rng::new());
    let tries = usize::try_from(policy.retry_count).unwrap_or(usize::MAX);
    let asked = async {
        for pause in std::iter::once(Duration::ZERO).chain(pauses.take(tries)) {
            tokio::time::sleep(pause).await;
            if let Ok(fate) = fate(pool, identity).await {
                return Ok(fate);
            }
        }
        Ok(Fate::Undecided)
    };
    let over = policy.deadline.map(|deadline| deadline.max(Instant::now()) + GRACE);
    within(over, pin!(asked)).await.unwrap_or(Fate::Undecided)
}
