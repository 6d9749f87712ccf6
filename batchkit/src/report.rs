//! What became of every row that was handed over.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use crate::reject::Reject;

/// What became of one input row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Outcome {
    /// A new row was stored.
    Inserted,
    /// A stored row was changed.
    Updated,
    /// A stored row has the wanted values already, or an insert that ignores conflicts met one.
    Unchanged,
    /// A stored row was removed.
    Deleted,
    /// A stored row was read.
    Found,
    /// No stored row has this key, or the one that has it is marked as deleted.
    Missing,
    /// Another row of the same input with an equal key stands for this one.
    Duplicate,
    /// The server did not store the row and raised no error: a trigger or a rule.
    Skipped,
    /// The row was turned away; the others of its chunk went in.
    Rejected,
    /// The caller's own pre-processing dropped the row.
    Filtered,
    /// The chunk that holds the row was rolled back.
    Failed,
    /// The connection broke while the row's chunk was being committed, and the server cannot tell whether it is
    /// in ([`ErrorKind::CommitUnknown`](crate::ErrorKind::CommitUnknown)); or the call was dropped while it wrote the
    /// chunk in the caller's transaction, which is to be rolled back then.
    Unknown,
    /// The run stopped before this row's turn.
    NotAttempted,
}

impl Outcome {
    const ALL: [Outcome; 13] = [
        Outcome::Inserted,
        Outcome::Updated,
        Outcome::Unchanged,
        Outcome::Deleted,
        Outcome::Found,
        Outcome::Missing,
        Outcome::Duplicate,
        Outcome::Skipped,
        Outcome::Rejected,
        Outcome::Filtered,
        Outcome::Failed,
        Outcome::Unknown,
        Outcome::NotAttempted,
    ];

    /// The letter that statements answer with.
    pub(crate) const fn letter(self) -> char {
        match self {
            Outcome::Inserted => 'i',
            Outcome::Updated => 'u',
            Outcome::Unchanged => '=',
            Outcome::Deleted => 'd',
            Outcome::Found => 'f',
            Outcome::Missing => 'm',
            Outcome::Duplicate => '2',
            Outcome::Skipped => 's',
            Outcome::Rejected => 'x',
            Outcome::Filtered => 'p',
            Outcome::Failed => '!',
            Outcome::Unknown => '?',
            Outcome::NotAttempted => '-',
        }
    }

    pub(crate) fn from_letter(letter: u8) -> Option<Self> {
        Outcome::ALL.into_iter().find(|outcome| outcome.letter() == char::from(letter))
    }

    /// Whether an answer with this outcome carries the stored row, where rows are wanted.
    pub(crate) const fn has_row(self) -> bool {
        matches!(self, Outcome::Inserted | Outcome::Updated | Outcome::Unchanged | Outcome::Deleted | Outcome::Found)
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// How many rows had each [`Outcome`].
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([u64; Outcome::ALL.len()]);

impl Counts {
    /// The number of rows with this outcome.
    #[must_use]
    pub const fn of(&self, outcome: Outcome) -> u64 {
        self.0[outcome.index()]
    }

    /// The number of rows of all outcomes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn add(&mut self, outcome: Outcome, rows: u64) {
        self.0[outcome.index()] += rows;
    }

    pub(crate) fn merge(&mut self, other: &Counts) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }

    /// The outcomes that occurred, each with its number of rows.
    pub fn iter(&self) -> impl Iterator<Item = (Outcome, u64)> + '_ {
        Outcome::ALL.into_iter().map(|outcome| (outcome, self.of(outcome))).filter(|(_, rows)| *rows > 0)
    }
}

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// A row that is in, and at which the caller's own [`post_process`](crate::Call::post_process) failed.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostFailure {
    /// The row's position in the input, from 0.
    pub position: usize,
    /// What the caller's code said; `Debug` does not print it.
    pub reason: String,
}

impl fmt::Debug for PostFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostFailure").field("position", &self.position).finish_non_exhaustive()
    }
}

/// What a call did: the answer of `.report()`, and part of the error of a run that stopped.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub(crate) counts: Counts,
    pub(crate) outcomes: Option<Vec<Outcome>>,
    pub(crate) rejects: Vec<Reject>,
    pub(crate) committed: Vec<Range<usize>>,
    pub(crate) chunks: usize,
    pub(crate) retries: u64,
    pub(crate) round_trips: u64,
    pub(crate) post_dropped: u64,
    pub(crate) post_failures: Vec<PostFailure>,
    pub(crate) below: Vec<(String, u64)>,
    pub(crate) elapsed: Duration,
}

impl Report {
    /// How many rows had each outcome. The sum is [`total`](Self::total).
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The number of rows that were handed over.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.total()
    }

    /// The number of rows inserted.
    #[must_use]
    pub const fn inserted(&self) -> u64 {
        self.counts.of(Outcome::Inserted)
    }

    /// The number of rows updated.
    #[must_use]
    pub const fn updated(&self) -> u64 {
        self.counts.of(Outcome::Updated)
    }

    /// The number of rows that were stored like that already, or met a conflict that was to be ignored.
    #[must_use]
    pub const fn unchanged(&self) -> u64 {
        self.counts.of(Outcome::Unchanged)
    }

    /// The number of rows deleted.
    #[must_use]
    pub const fn deleted(&self) -> u64 {
        self.counts.of(Outcome::Deleted)
    }

    /// The number of rows read.
    #[must_use]
    pub const fn found(&self) -> u64 {
        self.counts.of(Outcome::Found)
    }

    /// The number of keys that no stored row has.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.counts.of(Outcome::Missing)
    }

    /// The number of rows that another row of the input with the same key stood for.
    #[must_use]
    pub const fn duplicates(&self) -> u64 {
        self.counts.of(Outcome::Duplicate)
    }

    /// The number of rows that the server left out without an error.
    #[must_use]
    pub const fn skipped(&self) -> u64 {
        self.counts.of(Outcome::Skipped)
    }

    /// The number of rows that were turned away.
    #[must_use]
    pub const fn rejected(&self) -> u64 {
        self.counts.of(Outcome::Rejected)
    }

    /// The rows that were turned away, in input order, each with its reason.
    #[must_use]
    pub fn rejects(&self) -> &[Reject] {
        &self.rejects
    }

    /// The number of rows that the caller's own pre-processing dropped.
    #[must_use]
    pub const fn filtered(&self) -> u64 {
        self.counts.of(Outcome::Filtered)
    }

    /// The number of rows of which it is not known whether they are in: see [`Outcome::Unknown`].
    #[must_use]
    pub const fn unknown(&self) -> u64 {
        self.counts.of(Outcome::Unknown)
    }

    /// The number of rows whose chunk was rolled back.
    #[must_use]
    pub const fn failed(&self) -> u64 {
        self.counts.of(Outcome::Failed)
    }

    /// The number of rows that were never sent because the run stopped before.
    #[must_use]
    pub const fn not_attempted(&self) -> u64 {
        self.counts.of(Outcome::NotAttempted)
    }

    /// The outcome of each row, in input order; `None` in the report of a call that only counted.
    #[must_use]
    pub fn outcomes(&self) -> Option<&[Outcome]> {
        self.outcomes.as_deref()
    }

    /// The positions in the input, from 0, of the rows with this outcome; empty where only counts are known.
    pub fn positions(&self, outcome: Outcome) -> impl Iterator<Item = usize> + '_ {
        let outcomes = self.outcomes.as_deref().unwrap_or_default();
        outcomes.iter().enumerate().filter(move |(_, is)| **is == outcome).map(|(position, _)| position)
    }

    /// The ranges of input positions whose chunks were committed, ascending.
    #[must_use]
    pub fn committed(&self) -> &[Range<usize>] {
        &self.committed
    }

    /// The number of chunks that were committed, each in a transaction of its own. (In a transaction of the
    /// caller's: that were written.)
    #[must_use]
    pub const fn chunks(&self) -> usize {
        self.chunks
    }

    /// How many times a chunk was tried again.
    #[must_use]
    pub const fn retries(&self) -> u64 {
        self.retries
    }

    /// How often connections of the pool were waited for: what is sent before anything is received is one round trip,
    /// however many statements it is. What is asked about a table, once, is not among them.
    #[must_use]
    pub const fn round_trips(&self) -> u64 {
        self.round_trips
    }

    /// The number of rows that are in and that the caller's own [`post_process`](crate::Call::post_process) dropped.
    #[must_use]
    pub const fn post_dropped(&self) -> u64 {
        self.post_dropped
    }

    /// The rows that are in and at which the caller's own [`post_process`](crate::Call::post_process) failed, in
    /// input order.
    #[must_use]
    pub fn post_failures(&self) -> &[PostFailure] {
        &self.post_failures
    }

    /// In a graph, how many rows were inserted below the call's own, by the relation that leads to them:
    /// `Order.lines`.
    pub fn below(&self) -> impl Iterator<Item = (&str, u64)> {
        self.below.iter().map(|(relation, rows)| (relation.as_str(), *rows))
    }

    /// The time from the start of the call to its end.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.elapsed
    }
}
