//! The loop around one chunk: try, decide, wait, try again, and never twice what is in.

use std::time::Duration;

use deadpool_postgres::Pool;
use tokio::time::Instant;

use super::policy::{Policy, within};
use super::{Answer, Backoff, Stage, classify};
use crate::error::{Error, Result};
use crate::observe::ErrorContext;
use crate::session::{Broken, ChunkAnswer, Fate, Identity, Mode, Session, Work, fate, run_chunk};
use crate::source::Chunk;

/// What became of a chunk, and how many times it was tried.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) result: Result<ChunkAnswer>,
    pub(crate) retries: u32,
}

/// Runs a chunk on connections of the pool until it is in, or there is no more to be done about it.
pub(crate) async fn run(pool: &Pool, work: &Work, chunk: &Chunk, policy: &Policy) -> Ran {
    let mut backoff = Backoff::new(policy.retry_delay, fastrand::Rng::new());
    let mut retries = 0;
    // What is worth one more try is worth only one.
    let mut tried_once = Vec::new();
    // The error of a row's making that the whole chunk met: from then on its bad rows are looked for.
    let mut first: Option<Error> = None;
    let result = loop {
        let mode = match &first {
            Some(error) => Mode::Isolate(Some(error)),
            None if policy.rejects && work.suspects.are_active() => Mode::Isolate(None),
            None => Mode::Whole,
        };
        let broken = match attempt(pool, work, chunk, policy, mode).await {
            Ok(answer) => break Ok(answer),
            Err(broken) => *broken,
        };
        let Broken { error, stage, identity, answer } = broken;
        if !error.is_of_the_server() || (policy.is_abandoned() && stage == Stage::Connect) {
            break Err(error);
        }
        let mut decision = classify(error.failure(stage));
        if let (true, Some(identity)) = (error.is_lost(), &identity) {
            // Also before COMMIT: the old backend may hold locks that the next try would wait for.
            match look_up(pool, identity, policy).await {
                Fate::Committed if answer.is_some() => {
                    tell(policy, chunk, retries, &error, decision);
                    break answer.ok_or(error);
                }
                Fate::RolledBack if decision == Answer::Resolve => decision = Answer::Fresh,
                Fate::Undecided if decision == Answer::Resolve => {
                    tell(policy, chunk, retries, &error, Answer::Stop);
                    break Err(error.commit_unknown());
                }
                _ => {}
            }
        }
        if decision == Answer::FindBadRows && policy.rejects && first.is_none() {
            tell(policy, chunk, retries, &error, decision);
            first = Some(error);
            continue;
        }
        let once = matches!(decision, Answer::AgainOnce | Answer::FreshOnce | Answer::ClearCaches);
        let again = match decision {
            Answer::Again | Answer::Fresh => true,
            _ if once && !tried_once.contains(&decision) => {
                tried_once.push(decision);
                true
            }
            _ => false,
        };
        if !again || retries >= policy.retry_count || !policy.budget.take() {
            tell(policy, chunk, retries, &error, Answer::Stop);
            break Err(error);
        }
        tell(policy, chunk, retries, &error, decision);
        if decision == Answer::ClearCaches {
            // Each of the pool's connections may have the stale statement.
            pool.manager().statement_caches.clear();
        }
        retries += 1;
        let pause = backoff.next().unwrap_or_default();
        if policy.deadline.is_some_and(|deadline| Instant::now() + pause >= deadline) {
            break Err(error);
        }
        tokio::time::sleep(pause).await;
    };
    Ran { result, retries }
}

/// One try. When the deadline passes, its connection is given up, and the server is asked what became of it.
async fn attempt(
    pool: &Pool,
    work: &Work,
    chunk: &Chunk,
    policy: &Policy,
    mode: Mode<'_>,
) -> Result<ChunkAnswer, Box<Broken>> {
    let session = policy.within_deadline(Session::open(pool, None)).await;
    let session = session.map_err(|error| Box::new(Broken::at_connecting(error)))?;
    // The call may have been dropped while its chunk waited for the connection: then it is not begun.
    if policy.is_abandoned() {
        return Err(Box::new(Broken::at_connecting(Error::abandoned())));
    }
    run_chunk(session, work, &chunk.rows, policy.deadline, mode).await
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

fn tell(policy: &Policy, chunk: &Chunk, retries: u32, error: &Error, answer: Answer) {
    policy
        .observer
        .tell(error, &ErrorContext { chunk: chunk.index, rows: chunk.ranges(), attempt: retries + 1, answer });
}
