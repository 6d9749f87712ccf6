//! The books of one call: what became of each row, as the chunks' answers come in.

use std::ops::Range;
use std::sync::Arc;

use tokio::time::Instant;

use crate::config::BatchConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::reject::{KeyShape, Reject};
use crate::report::{Counts, Outcome, PostFailure, Report};
use crate::session::{ChunkAnswer, Graph, Kind, RowAnswers, StoredRow, Total};
use crate::source::{Chunk, Positions};
use crate::sql::Form;
use crate::stored::StoredRows;
use crate::wire::EncodedRows;

/// What became of each row so far.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    form: Form,
    started: Instant,
    counts: Counts,
    outcomes: Vec<Outcome>,
    stored: StoredRows,
    committed: Vec<Range<usize>>,
    chunks: usize,
    retries: u64,
    rejects: Vec<Reject>,
    post_dropped: u64,
    post_failures: Vec<PostFailure>,
    max_rejects: u64,
    max_reject_percent: u64,
    key: Arc<KeyShape>,
    graph: Graph,
    /// What was asked along with the chunks that are in, of each that was.
    along: Vec<Vec<Vec<EncodedRows>>>,
    round_trips: Total,
}

impl Ledger {
    /// Empty books of rows with keys of this shape, of a call that started then.
    pub(crate) fn new(form: Form, config: &BatchConfig, key: Arc<KeyShape>, started: Instant) -> Self {
        Ledger {
            form,
            started,
            counts: Counts::default(),
            outcomes: Vec::new(),
            stored: StoredRows::default(),
            committed: Vec::new(),
            chunks: 0,
            retries: 0,
            rejects: Vec::new(),
            post_dropped: 0,
            post_failures: Vec::new(),
            max_rejects: config.max_rejects.unwrap_or(u64::MAX),
            max_reject_percent: config.max_reject_percent.map_or(100, u64::from),
            key,
            graph: Graph::default(),
            along: Vec::new(),
            round_trips: Total::default(),
        }
    }

    /// The same of a call whose round trips are counted there.
    pub(crate) fn counting(self, round_trips: &Total) -> Self {
        Ledger { round_trips: Total::clone(round_trips), ..self }
    }

    /// Books rows that are not sent, or were rolled back.
    pub(crate) fn book(&mut self, positions: &Positions, outcome: Outcome) {
        for range in positions.ranges() {
            self.counts.add(outcome, u64::try_from(range.len()).unwrap_or(u64::MAX));
            self.set_all(range, outcome);
        }
    }

    /// Books rows that were turned away before they were sent.
    pub(crate) fn unsent(&mut self, rejects: &[Reject]) -> Result<()> {
        for reject in rejects {
            self.book(&reject.position.into(), Outcome::Rejected);
        }
        self.reject(rejects)
    }

    /// Books how many times a chunk was tried again.
    pub(crate) fn retried(&mut self, retries: u32) {
        self.retries += u64::from(retries);
    }

    /// Books a chunk that is in; its rejects, by their input positions and with their keys.
    pub(crate) fn committed(&mut self, chunk: &Chunk, answer: ChunkAnswer) -> Vec<Reject> {
        self.chunks += 1;
        self.committed.extend(chunk.ranges());
        self.counts.merge(&answer.counts);
        self.graph.merge(answer.graph);
        if !answer.along.is_empty() {
            self.along.push(answer.along);
        }
        match answer.rows {
            RowAnswers::Each(rows) => {
                for (position, row) in chunk.positions.iter().zip(rows) {
                    self.set(position, row.0);
                    self.stored.put(position, row);
                }
            }
            RowAnswers::InStep(outcome, rows) => {
                chunk.positions.ranges().into_iter().for_each(|range| self.set_all(range, outcome));
                self.stored.put_all(&chunk.positions, &rows);
            }
        }
        let placed = |reject: Reject| {
            let key = self.key.of(&chunk.rows.row(reject.position));
            Some(Reject { position: chunk.positions.get(reject.position)?, ..reject }.with_key(key))
        };
        answer.rejects.into_iter().filter_map(placed).collect()
    }

    /// Takes down rejects that were booked; too many are an error.
    pub(crate) fn reject(&mut self, rejects: &[Reject]) -> Result<()> {
        /// Fewer rows than these say nothing about the others.
        const SAMPLE: u64 = 1_000;
        self.rejects.extend_from_slice(rejects);
        let (rejected, settled) = (self.counts.of(Outcome::Rejected), self.counts.total());
        let what = if rejected > self.max_rejects {
            format!("{rejected} rows were turned away; {} were allowed", self.max_rejects)
        } else if settled >= SAMPLE && rejected.saturating_mul(100) > settled.saturating_mul(self.max_reject_percent) {
            let percent = self.max_reject_percent;
            format!("{rejected} of {settled} rows were turned away; {percent} % of them were allowed")
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::TooManyRejects, what))
    }

    /// The stored rows of a chunk, or of all, with their input positions.
    pub(crate) fn stored(&self, positions: Option<&Positions>) -> Vec<(usize, StoredRow)> {
        let stored = |position: usize| Some((position, self.stored.get(position)?));
        match positions {
            Some(positions) => positions.iter().filter_map(stored).collect(),
            None => (0..self.stored.end()).filter_map(stored).collect(),
        }
    }

    /// The rows that were inserted below, as they are stored; their number stays in the books.
    pub(crate) fn take_graph(&mut self) -> Graph {
        let counts = self.graph.kinds.iter().map(|(label, kind)| (*label, Kind { stored: Vec::new(), ..*kind }));
        let counted = Graph { kinds: counts.collect(), depth: self.graph.depth };
        std::mem::replace(&mut self.graph, counted)
    }

    /// The answers to what was asked along, chunk by chunk, if it was with all of them.
    pub(crate) fn take_along(&mut self) -> Option<Vec<Vec<Vec<EncodedRows>>>> {
        let along = std::mem::take(&mut self.along);
        (along.len() == self.chunks).then_some(along)
    }

    /// Takes down what the caller's post-processing dropped and failed at.
    pub(crate) fn post_processed(&mut self, dropped: u64, failures: Vec<PostFailure>) {
        self.post_dropped += dropped;
        self.post_failures.extend(failures);
    }

    /// How many rows have an outcome by now.
    pub(crate) fn settled(&self) -> u64 {
        self.counts.total()
    }

    /// How long the call has run.
    pub(crate) fn elapsed(&self) -> std::time::Duration {
        self.started.elapsed()
    }

    /// Closes the books: the report, and the stored rows in input order.
    pub(crate) fn close(mut self) -> (Report, StoredRows) {
        self.rejects.sort_unstable_by_key(|reject| reject.position);
        self.post_failures.sort_unstable_by_key(|failure| failure.position);
        self.committed.sort_unstable_by_key(|range| range.start);
        self.committed.dedup_by(|next, last| {
            let joined = last.end == next.start;
            if joined {
                last.end = next.end;
            }
            joined
        });
        let total = usize::try_from(self.counts.total()).unwrap_or(usize::MAX);
        let outcomes = (self.form != Form::Count).then(|| {
            self.outcomes.resize(total.max(self.outcomes.len()), Outcome::NotAttempted);
            self.outcomes
        });
        let report = Report {
            counts: self.counts,
            outcomes,
            committed: self.committed,
            chunks: self.chunks,
            retries: self.retries,
            round_trips: self.round_trips.count(),
            rejects: self.rejects,
            post_dropped: self.post_dropped,
            post_failures: self.post_failures,
            below: self.graph.kinds.iter().map(|(label, kind)| ((*label).to_owned(), kind.inserted)).collect(),
            elapsed: self.started.elapsed(),
        };
        (report, self.stored)
    }

    fn set(&mut self, position: usize, outcome: Outcome) {
        self.set_all(position..position + 1, outcome);
    }

    fn set_all(&mut self, positions: Range<usize>, outcome: Outcome) {
        if self.form == Form::Count || positions.is_empty() {
            return;
        }
        // Chunks may be booked before those in front of them.
        if self.outcomes.len() < positions.end {
            self.outcomes.resize(positions.end, Outcome::NotAttempted);
        }
        self.outcomes[positions].fill(outcome);
    }
}
