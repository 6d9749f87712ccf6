//! Finds the rows to blame, so that the others of their chunk can go in.
//!
//! The constraint that was broken is asked first: one query over the chunk's rows names all that break it.
//! Errors that name no constraint, and constraints that cannot be asked, are found by halving under
//! savepoints. A row is turned away only after the server refused it alone, or its constraint's own query
//! named it. What is not a row's fault (a deadlock, a lost connection) ends the search, and the chunk is
//! tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::client::Session;
use super::run::{ChunkAnswer, Work, send_all};
use super::stored::{RowAnswer, RowAnswers};
use super::transport::Carrier;
use crate::error::{Error, ErrorKind, Result};
use crate::reject::Reject;
use crate::report::Outcome;
use crate::retry::{Answer, Stage, classify};
use crate::sql::Form;
use crate::wire::EncodedRows;

/// A constraint that rows may break, and the query that names those.
#[derive(Debug)]
pub(crate) struct Suspect {
    /// The constraint's name.
    pub(crate) constraint: String,
    /// What breaking it is called.
    pub(crate) kind: ErrorKind,
    /// Its SQLSTATE.
    pub(crate) code: &'static str,
    /// Answers the ordinals of the rows that break it.
    pub(crate) sql: String,
    /// How the rows' columns that matter travel.
    pub(crate) carrier: Carrier,
}

/// The constraints of a call's table.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    all: Vec<Suspect>,
    /// Whether the table has no unique key beside those among them.
    all_keys: bool,
    /// Those that the chunks before have broken: the next ones are asked about them before they are sent.
    active: Mutex<Vec<usize>>,
}

impl Suspects {
    pub(crate) fn new(all: Vec<Suspect>, all_keys: bool) -> Self {
        Suspects { all, all_keys, active: Mutex::default() }
    }

    /// Whether chunks are to be asked about before they are sent.
    pub(crate) fn are_active(&self) -> bool {
        !self.lock().is_empty()
    }

    fn named(&self, constraint: Option<&str>) -> Option<usize> {
        self.all.iter().position(|suspect| Some(suspect.constraint.as_str()) == constraint)
    }

    /// Remembers whether a constraint was found broken.
    fn remember(&self, suspect: usize, broken: bool) {
        let mut active = self.lock();
        active.retain(|&known| known != suspect);
        if broken {
            active.push(suspect);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<usize>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends the good rows of a chunk, inside of its transaction. `first` is the error that the whole chunk met.
/// Without one, only the constraints are asked that chunks before have broken, and the first error ends the
/// try: savepoints cost as much as the search saves.
pub(crate) async fn isolate(
    session: &Session<'_>,
    work: &Work,
    rows: &EncodedRows,
    first: Option<&Error>,
) -> Result<ChunkAnswer> {
    let mut search = Search {
        work,
        rows,
        left: (0..rows.len()).collect(),
        waiting: Vec::new(),
        rejects: BTreeMap::new(),
        counted: 0,
        asked: Vec::new(),
        answer: ChunkAnswer::default(),
        slots: vec![None; rows.len()],
    };
    let mut to_ask = work.suspects.lock().clone();
    // A constraint that is checked at COMMIT would name no row there.
    if let (Some(_), Session::Pooled(_)) = (first, &session) {
        session.execute("SET CONSTRAINTS ALL IMMEDIATE").await?;
    }
    to_ask.extend(first.and_then(|first| work.suspects.named(first.constraint())));
    loop {
        for suspect in to_ask {
            match first {
                Some(_) => search.ask_guarded(session, suspect).await?,
                None => search.ask(session, suspect).await?,
            }
        }
        match first {
            Some(_) => search.send_the_good(session).await?,
            None => search.send_left(session).await?,
        }
        if search.waiting.is_empty() {
            return Ok(search.finish());
        }
        // Those before them are in or turned away: they are asked about anew.
        search.left = std::mem::take(&mut search.waiting);
        to_ask = std::mem::take(&mut search.asked);
    }
}

/// What is known so far.
struct Search<'a> {
    work: &'a Work,
    rows: &'a EncodedRows,
    /// The rows that are neither in nor turned away, ascending.
    left: Vec<usize>,
    /// The rows that have a key of one before them in the chunk, ascending: their turn comes when that is settled.
    waiting: Vec<usize>,
    rejects: BTreeMap<usize, Reject>,
    /// How many of them the answer's counts have already.
    counted: usize,
    asked: Vec<usize>,
    answer: ChunkAnswer,
    slots: Vec<Option<RowAnswer>>,
}

impl Search<'_> {
    /// Turns away the rows that a constraint's query names; one that fails names none.
    async fn ask_guarded(&mut self, session: &Session<'_>, suspect: usize) -> Result<()> {
        session.execute("SAVEPOINT batchkit").await?;
        match self.ask(session, suspect).await {
            Err(error) if error.is_lost() => return Err(error),
            _ => {}
        }
        session.execute("ROLLBACK TO SAVEPOINT batchkit; RELEASE SAVEPOINT batchkit").await
    }

    /// Turns away the rows that a constraint's query names. Where rows have a key of an earlier one, all keys are
    /// asked about: a row that waits must not be overtaken by a later one with another key of it.
    async fn ask(&mut self, session: &Session<'_>, suspect: usize) -> Result<()> {
        let suspects = &self.work.suspects;
        let mut waiting = BTreeSet::new();
        let mut to_ask = vec![suspect];
        while let Some(suspect) = to_ask.pop() {
            if self.asked.contains(&suspect) || self.left.is_empty() {
                continue;
            }
            self.asked.push(suspect);
            let about = &suspects.all[suspect];
            let rows = self.rows.subset(&self.left);
            let (answer, _) = about.carrier.send(session, (&*about.sql).into(), &rows).await?;
            let error = Error::of_constraint(about.kind, about.code, &about.constraint);
            for row in 0..answer.len() {
                let mut fields = answer.row(row);
                let ordinal = fields.next().flatten().and_then(|bytes| bytes.try_into().ok()).map(i64::from_be_bytes);
                let at = ordinal.and_then(|ordinal| usize::try_from(ordinal - 1).ok());
                let Some(&row) = at.and_then(|at| self.left.get(at)) else { continue };
                if fields.next().flatten() == Some(&[1]) {
                    waiting.insert(row);
                } else {
                    self.rejects.insert(row, Reject::new(row, &error));
                }
            }
            suspects.remember(suspect, !answer.is_empty());
            self.left.retain(|row| !self.rejects.contains_key(row));
            if !waiting.is_empty() {
                let keys =
                    suspects.all.iter().enumerate().filter(|(_, about)| about.kind == ErrorKind::UniqueViolation);
                to_ask.extend(keys.map(|(suspect, _)| suspect));
            }
        }
        // Where a key cannot be asked about, rows go in in their order, and halving finds those to blame.
        if suspects.all_keys {
            self.left.retain(|row| !waiting.contains(row));
            waiting.retain(|row| !self.rejects.contains_key(row));
            self.waiting.extend(waiting);
            self.waiting.sort_unstable();
        }
        Ok(())
    }

    /// Sends what is left, as it is.
    async fn send_left(&mut self, session: &Session<'_>) -> Result<()> {
        let left = std::mem::take(&mut self.left);
        if !left.is_empty() {
            let answer = send_all(session, self.work, &self.rows.subset(&left)).await?;
            self.take(&left, answer);
        }
        Ok(())
    }

    /// Sends what is left, and turns away what the server refuses of it.
    async fn send_the_good(&mut self, session: &Session<'_>) -> Result<()> {
        loop {
            let left = std::mem::take(&mut self.left);
            let Some(error) = self.send(session, &left).await? else { return Ok(()) };
            let suspect = self.work.suspects.named(error.constraint()).filter(|suspect| !self.asked.contains(suspect));
            self.left = left;
            let before = self.left.len();
            if let Some(suspect) = suspect {
                self.ask_guarded(session, suspect).await?;
            }
            if self.left.len() == before {
                return self.halve(session).await;
            }
        }
    }

    /// Takes down what became of these rows.
    fn take(&mut self, part: &[usize], answer: ChunkAnswer) {
        self.answer.counts.merge(&answer.counts);
        self.answer.graph.merge(answer.graph);
        self.counted += answer.rejects.len();
        for reject in answer.rejects {
            let row = part[reject.position];
            self.rejects.insert(row, Reject { position: row, ..reject });
        }
        for (&row, slot) in part.iter().zip(answer.rows.into_each()) {
            self.slots[row] = Some(slot);
        }
    }

    /// Sends these rows under a savepoint: they are in, or an error that is a row's fault is answered.
    async fn send(&mut self, session: &Session<'_>, part: &[usize]) -> Result<Option<Error>> {
        if part.is_empty() {
            return Ok(None);
        }
        let rows = self.rows.subset(part);
        session.execute("SAVEPOINT batchkit").await?;
        match send_all(session, self.work, &rows).await {
            Ok(answer) => {
                session.execute("RELEASE SAVEPOINT batchkit").await?;
                self.take(part, answer);
                Ok(None)
            }
            Err(error) if !error.is_lost() && classify(error.failure(Stage::Work, false)) == Answer::FindBadRows => {
                session.execute("ROLLBACK TO SAVEPOINT batchkit; RELEASE SAVEPOINT batchkit").await?;
                Ok(Some(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Sends what is left in ever smaller parts, in order; what fails alone is turned away.
    async fn halve(&mut self, session: &Session<'_>) -> Result<()> {
        let mut parts = vec![std::mem::take(&mut self.left)];
        while let Some(mut part) = parts.pop() {
            let Some(error) = self.send(session, &part).await? else { continue };
            match part[..] {
                [row] => {
                    self.rejects.insert(row, Reject::new(row, &error));
                }
                _ => {
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second, part]);
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> ChunkAnswer {
        let uncounted = self.rejects.len() - self.counted;
        self.answer.counts.add(Outcome::Rejected, u64::try_from(uncounted).unwrap_or(u64::MAX));
        if self.work.form != Form::Count {
            let rejected = (Outcome::Rejected, None);
            let rows = self.slots.into_iter().map(|slot| slot.unwrap_or_else(|| rejected.clone()));
            self.answer.rows = RowAnswers::Each(rows.collect());
        }
        self.answer.rejects = self.rejects.into_values().collect();
        self.answer
    }
}
