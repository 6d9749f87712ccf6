//! The books of one call: what became of each row, as the chunks' answers come in.

use std::time::Instant;

use crate::config::BatchConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::reject::{Reject, RejectSink};
use crate::report::{Counts, Outcome, Report};
use crate::session::{ChunkAnswer, StoredRow};
use crate::source::{Chunk, ranges};
use crate::sql::Form;

/// What became of each row so far.
#[derive(Debug)]
pub(crate) struct Ledger {
    form: Form,
    started: Instant,
    counts: Counts,
    outcomes: Vec<Outcome>,
    stored: Vec<Option<StoredRow>>,
    committed: Vec<std::ops::Range<usize>>,
    chunks: usize,
    retries: u64,
    rejects: Vec<Reject>,
    sink: RejectSink,
    max_rejects: u64,
    log_progress: bool,
}

impl Ledger {
    /// Empty books. Rejects go to `sink`.
    pub(crate) fn new(form: Form, sink: RejectSink, config: &BatchConfig) -> Self {
        Ledger {
            form,
            started: Instant::now(),
            counts: Counts::default(),
            outcomes: Vec::new(),
            stored: Vec::new(),
            committed: Vec::new(),
            chunks: 0,
            retries: 0,
            rejects: Vec::new(),
            sink,
            max_rejects: config.max_rejects.unwrap_or(u64::MAX),
            log_progress: config.log_progress,
        }
    }

    /// Books rows that were dropped as duplicates before anything was sent.
    pub(crate) fn duplicates(&mut self, positions: &[usize]) {
        self.book(positions, Outcome::Duplicate);
    }

    /// Books rows that were turned away before they were sent.
    pub(crate) fn unsent(&mut self, rejects: Vec<Reject>) -> Result<()> {
        for reject in &rejects {
            self.book(&[reject.position], Outcome::Rejected);
        }
        self.reject(rejects)
    }

    /// Hands rejects to the sink; too many are an error.
    fn reject(&mut self, rejects: Vec<Reject>) -> Result<()> {
        for reject in rejects {
            self.sink.take(&reject);
            self.rejects.push(reject);
        }
        if u64::try_from(self.rejects.len()).unwrap_or(u64::MAX) <= self.max_rejects {
            return Ok(());
        }
        let what = format!("{} rows were turned away; {} were allowed", self.rejects.len(), self.max_rejects);
        Err(Error::new(ErrorKind::TooManyRejects, what))
    }

    /// Books how many times a chunk was tried again.
    pub(crate) fn retried(&mut self, retries: u32) {
        self.retries += u64::from(retries);
    }

    /// Books a chunk that is in.
    pub(crate) fn committed(&mut self, chunk: &Chunk, answer: ChunkAnswer) -> Result<()> {
        self.chunks += 1;
        if self.log_progress {
            let (elapsed, rejected) = (self.started.elapsed(), answer.rejects.len());
            tracing::info!(chunk = chunk.index, rows = chunk.positions.len(), rejected, ?elapsed, "chunk is in");
        }
        self.committed.extend(chunk.ranges());
        self.counts.merge(&answer.counts);
        for (&position, (outcome, stored)) in chunk.positions.iter().zip(answer.rows) {
            self.set(position, outcome);
            if stored.is_some() {
                if self.stored.len() <= position {
                    self.stored.resize(position + 1, None);
                }
                self.stored[position] = stored;
            }
        }
        let at = |reject: Reject| Reject { position: chunk.positions[reject.position], ..reject };
        self.reject(answer.rejects.into_iter().map(at).collect())
    }

    /// Books a chunk that was rolled back.
    pub(crate) fn failed(&mut self, chunk: &Chunk) {
        self.book(&chunk.positions, Outcome::Failed);
    }

    /// Books rows that no chunk had.
    pub(crate) fn not_attempted(&mut self, positions: &[usize]) {
        self.book(positions, Outcome::NotAttempted);
    }

    /// Closes the books: the report, and the stored rows in input order.
    pub(crate) fn close(mut self) -> (Report, Vec<Option<StoredRow>>) {
        self.rejects.sort_unstable_by_key(|reject| reject.position);
        self.committed.sort_unstable_by_key(|range| range.start);
        self.committed.dedup_by(|next, last| {
            let joined = last.end == next.start;
            if joined {
                last.end = next.end;
            }
            joined
        });
        let total = usize::try_from(self.counts.total()).unwrap_or(usize::MAX);
        self.stored.resize(total, None);
        let outcomes = (self.form != Form::Count).then(|| {
            self.outcomes.resize(total, Outcome::NotAttempted);
            self.outcomes
        });
        let report = Report {
            counts: self.counts,
            outcomes,
            committed: self.committed,
            chunks: self.chunks,
            retries: self.retries,
            rejects: self.rejects,
            elapsed: self.started.elapsed(),
        };
        (report, self.stored)
    }

    fn book(&mut self, positions: &[usize], outcome: Outcome) {
        for range in ranges(positions) {
            self.counts.add(outcome, u64::try_from(range.len()).unwrap_or(u64::MAX));
            range.for_each(|position| self.set(position, outcome));
        }
    }

    fn set(&mut self, position: usize, outcome: Outcome) {
        if self.form == Form::Count {
            return;
        }
        if self.outcomes.len() <= position {
            self.outcomes.resize(position + 1, Outcome::NotAttempted);
        }
        self.outcomes[position] = outcome;
    }
}
