//! The loop around one chunk: try, decide, wait, try again, and never twice what is in.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use tokio::time::Instant;
use tracing::Instrument;

use super::policy::{Policy, within};
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
    pub(crate) policy: Policy,
}

/// Runs a chunk on connections of the pool until it is in, or there is no more to be done about it.
pub(crate) async fn run(shared: &Shared, chunk: &Chunk) -> Ran {
    let Shared { pool, works, policy } = shared;
    let mut tries = Tries {
        policy,
        chunk,
        pauses: Backoff::new(policy.retry_delay, fastrand::Rng::new()),
        retries: 0,
        tried_once: Vec::new(),
    };
    let mut work = works.current();
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
        let span = observe::attempt_span(tries.retries + 1);
        let tried = attempt(pool, &work, chunk, policy, mode).instrument(span.clone()).await;
        let Broken { error, stage, identity, answer } = match tried {
            Ok(answer) => break Ok(answer),
            Err(broken) => *broken,
        };
        observe::record_error(&span, &error);
        last_stage = stage;
        if !error.is_of_the_server() || (policy.is_abandoned() && stage == Stage::Connect) {
            break Err(error);
        }
        // What a rival's row may have caused is its own row's fault the second time.
        let snapshot = policy.is_snapshot && !tries.tried_once.contains(&Answer::AgainOnce);
        let mut decision = classify(error.failure(stage, snapshot));
        if let (true, Some(identity)) = (error.is_lost(), &identity) {
            // Also before COMMIT: the old backend may hold locks that the next try would wait for.
            match look_up(pool, identity, policy).await {
                Fate::Committed if answer.is_some() => {
                    tries.tell(&error, decision);
                    break answer.ok_or(error);
                }
                Fate::RolledBack if decision == Answer::Resolve => decision = Answer::Fresh,
                Fate::Undecided if decision == Answer::Resolve => {
                    tries.tell(&error, Answer::Stop);
                    break Err(error.commit_unknown());
                }
                _ => {}
            }
        }
        if decision == Answer::FindBadRows && policy.rejects && first.is_none() {
            tries.tell(&error, decision);
            first = Some(error);
            continue;
        }
        if decision == Answer::Halve && policy.is_divisible && chunk.rows.len() > 1 {
            tries.tell(&error, decision);
            halve = true;
            break Err(error);
        }
        if error.sqlstate().is_some_and(|state| state.code() == "25006") {
            // Every connection of the pool may reach the server that only reads now.
            pool.retain(|_, _| false);
        }
        if !tries.may_go_on(&error, decision) {
            break Err(error);
        }
        if decision == Answer::ClearCaches {
            // Each of the pool's connections may have the stale statement.
            pool.manager().statement_caches.clear();
            work = match policy.within_deadline(works.instead_of(&work)).await {
                Ok(work) => work,
                Err(error) => break Err(error),
            };
        }
        if !tries.pause().await {
            break Err(error);
        }
    };
    Ran { result, retries: tries.retries, stage: last_stage, halve }
}

/// How often a chunk was tried, and whether it may be again.
struct Tries<'a> {
    policy: &'a Policy,
    chunk: &'a Chunk,
    pauses: Backoff,
    retries: u32,
    /// What is worth one more try is worth only one.
    tried_once: Vec<Answer>,
}

impl Tries<'_> {
    /// Whether the chunk is tried again after this error; whoever listens is told.
    fn may_go_on(&mut self, error: &Error, decision: Answer) -> bool {
        let once = matches!(decision, Answer::AgainOnce | Answer::FreshOnce | Answer::ClearCaches);
        let again = match decision {
            Answer::Again | Answer::Fresh => true,
            _ if once && !self.tried_once.contains(&decision) => {
                self.tried_once.push(decision);
                true
            }
            _ => false,
        };
        let may = again && self.retries < self.policy.retry_count && self.policy.budget.take();
        self.tell(error, if may { decision } else { Answer::Stop });
        if may {
            self.retries += 1;
        }
        may
    }

    /// Waits before the next try; `false` when it would begin behind the deadline.
    async fn pause(&mut self) -> bool {
        let pause = self.pauses.next().unwrap_or_default();
        if self.policy.deadline.is_some_and(|deadline| Instant::now() + pause >= deadline) {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }

    fn tell(&self, error: &Error, answer: Answer) {
        let (chunk, rows) = (self.chunk.index, self.chunk.ranges());
        self.policy.observer.tell(error, &ErrorContext { chunk, rows, attempt: self.retries + 1, answer });
    }
}

/// One try. When the deadline passes, its connection is given up, and the server is asked what became of it.
async fn attempt(
    pool: &Pool,
    work: &Arc<Work>,
    chunk: &Chunk,
    policy: &Policy,
    mode: Mode<'_>,
) -> Result<ChunkAnswer, Box<Broken>> {
    let failed = |error| Box::new(Broken::at_connecting(error));
    let (session, _place) = loop {
        let place = policy.within_deadline(async { Ok(policy.workers.place().await) }).await.map_err(failed)?;
        match policy.within_deadline(Session::open(pool, None)).await {
            Ok(session) => break (session, place),
            // The server has no connection to spare: this worker's place is given up, and another one's awaited.
            Err(error) if error.is_of_too_many_connections() && policy.workers.give_up(place) => {}
            Err(error) => return Err(failed(error)),
        }
    };
    // The call may have been dropped while its chunk waited for the connection: then it is not begun.
    if policy.is_abandoned() {
        return Err(failed(Error::abandoned()));
    }
    let running = run_chunk(session, work, &chunk.rows, &policy.opening, policy.deadline, mode);
    if work.writes {
        return running.await;
    }
    // Nobody is told what a dropped call has read: it does not go on.
    tokio::select! {
        ran = running => ran,
        () = policy.abandoned() => Err(failed(Error::abandoned())),
    }
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
    within(over, asked).await.unwrap_or(Fate::Undecided)
}
