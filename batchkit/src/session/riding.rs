//! A chunk whose transaction stays open when its work is done: its COMMIT leaves together with the BEGIN and the work
//! of the next chunk, so that in a run of chunks each is waited for once.
//!
//! The next chunk's own COMMIT is not sent before it is known what became of the one before: that one's rows may be
//! what it builds on.

use std::pin::pin;
use std::sync::OnceLock;

use tokio::time::Instant;

use super::client::Session;
use super::fate::Identity;
use super::opening::Opening;
use super::run::{Broken, ChunkAnswer, Work, give_up, roll_back, send_all};
use crate::error::{Error, ErrorKind, Result};
use crate::retry::{Stage, within};
use crate::wire::EncodedRows;

/// What is to be done next on a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Next<'n> {
    /// What is done with each chunk.
    pub(crate) work: &'n Work,
    /// The rows.
    pub(crate) rows: &'n EncodedRows,
    /// How transactions are opened.
    pub(crate) opening: &'n Opening,
    /// When it has to be over.
    pub(crate) deadline: Option<Instant>,
}

/// A chunk whose work is done, and whose transaction is open.
pub(crate) struct Uncommitted {
    session: Session<'static>,
    identity: Option<Identity>,
    answer: ChunkAnswer,
}

/// What became of a chunk, and of the one that was begun with its COMMIT.
pub(crate) enum Ridden {
    /// The first one is in, and the next one's work is done.
    On(Box<Uncommitted>),
    /// The first one is in, and the next one is broken.
    Next(Box<Broken>),
    /// The first one is broken. The next one was taken back with it, and is to be tried as if it had not been begun;
    /// where that cannot be, it is broken too.
    First(Box<Broken>, Option<Box<Broken>>),
}

/// Works on a chunk in a transaction that stays open.
pub(crate) async fn begin_chunk(session: Session<'static>, next: Next<'_>) -> Result<Uncommitted, Box<Broken>> {
    let identity = OnceLock::new();
    let worked = within(next.deadline, pin!(async { Ok(work_in(&session, next, &identity).await) })).await;
    finish(session, worked.unwrap_or_else(|error| Err((Stage::Work, error))), identity, next.deadline).await
}

async fn work_in(
    session: &Session<'_>,
    next: Next<'_>,
    identity: &OnceLock<Identity>,
) -> Result<ChunkAnswer, (Stage, Error)> {
    let Next { work, rows, opening, .. } = next;
    let plans = work.ways.of(rows.len()).plans(rows.len());
    let send = Box::pin(send_all(session, work, rows));
    session.begin_with(opening, work.writes, plans, identity, send).await
}

/// The chunk with its transaction open; after an error, that is rolled back.
async fn finish(
    session: Session<'static>,
    worked: Result<ChunkAnswer, (Stage, Error)>,
    identity: OnceLock<Identity>,
    deadline: Option<Instant>,
) -> Result<Uncommitted, Box<Broken>> {
    let identity = identity.into_inner();
    match worked {
        Ok(answer) => Ok(Uncommitted { session, identity, answer }),
        Err((stage, error)) => {
            give_up(session, &error, deadline).await;
            Err(Box::new(Broken { error, stage, identity, answer: None }))
        }
    }
}

impl Uncommitted {
    /// Commits; what became of the chunk.
    pub(crate) async fn commit(self, deadline: Option<Instant>) -> Result<ChunkAnswer, Box<Broken>> {
        let Uncommitted { session, identity, answer } = self;
        match within(deadline, pin!(session.commit())).await {
            Ok(()) => Ok(answer),
            Err(error) => Err(Box::new(Broken { error, stage: Stage::Commit, identity, answer: Some(answer) })),
        }
    }

    /// Commits, and works on the next chunk without waiting for that. `committed` is told as soon as the first one is
    /// in.
    pub(crate) async fn commit_and_begin(self, next: Next<'_>, committed: impl FnOnce(ChunkAnswer) + Send) -> Ridden {
        let Uncommitted { session, identity: before, answer } = self;
        let next_deadline = next.deadline;
        let (identity, told) = (OnceLock::new(), std::sync::Mutex::new(Some((answer, committed))));
        let take = || told.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let commit = async {
            let done = session.send_commit().await;
            if done.is_ok()
                && let Some((answer, committed)) = take()
            {
                committed(answer);
            }
            done
        };
        // They are polled in this order, and so they leave.
        let both = async { Ok(tokio::join!(commit, work_in(&session, next, &identity))) };
        let (done, worked) = match within(next.deadline, Box::pin(both).as_mut()).await {
            Ok(both) => both,
            // What is known by now of the first one is known; of the other only that its COMMIT was not sent.
            Err(error) => (Err(error), Err((Stage::Work, Error::timeout()))),
        };
        let Some((answer, _)) = take() else {
            return finish(session, worked, identity, next.deadline)
                .await
                .map_or_else(Ridden::Next, |open| Ridden::On(Box::new(open)));
        };
        let error = done.err().unwrap_or_else(Error::timeout);
        let next = match worked {
            // It was done outside of a transaction: that cannot be taken back, nor done again.
            Err((Stage::Commit, unknown)) if unknown.kind() == ErrorKind::CommitUnknown => {
                let identity = identity.into_inner();
                Some(Box::new(Broken { error: unknown, stage: Stage::Commit, identity, answer: None }))
            }
            _ => None,
        };
        if !error.is_lost() {
            roll_back(session, next_deadline).await;
        }
        let before = Broken { error, stage: Stage::Commit, identity: before, answer: Some(answer) };
        Ridden::First(Box::new(before), next)
    }
}
