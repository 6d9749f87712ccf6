//! The numbers of the guide: of the last call, and of all calls together.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::observe::Ending;
use crate::report::{Counts, Outcome, Report};

/// What was measured of one call, or of several together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct BatchMetrics {
    /// How long it took.
    pub elapsed: Duration,
    /// The rows handed over.
    pub total_records: u64,
    /// Those of them whose turn came: not what pre-processing dropped, what another row of the same key stood for,
    /// or what was never attempted.
    pub processed_records: u64,
    /// Those of them that the server answered without an error. Keys that it does not have and rows that a trigger
    /// left out are among them; a [`Report`] tells these apart.
    pub successful_records: u64,
    /// Those of the processed that were turned away, whose chunk was rolled back, or whose fate is unknown.
    pub failed_records: u64,
    /// The chunks that are in.
    pub chunks: u64,
    /// How many times a chunk was tried again.
    pub retries: u64,
    /// How often connections of the pool were waited for: what is sent before anything is received is one round trip.
    /// What is asked about a table, once, is not among them.
    pub round_trips: u64,
    /// The calls that ended with an error. (A call whose rows were turned away has done what it was told, with
    /// `.report()` or without.)
    pub errors: u64,
    /// The calls that were dropped half-way.
    pub dropped: u64,
}

impl BatchMetrics {
    /// The successful rows per second.
    #[must_use]
    pub fn records_per_second(&self) -> f64 {
        rate(self.successful_records, self.elapsed)
    }

    fn of(report: &Report, ending: Ending) -> Self {
        let counts: &Counts = report.counts();
        let not_sent =
            [Outcome::NotAttempted, Outcome::Duplicate, Outcome::Filtered].map(|o| counts.of(o)).iter().sum::<u64>();
        let processed = counts.total() - not_sent;
        let failed = counts.of(Outcome::Failed) + counts.of(Outcome::Unknown) + counts.of(Outcome::Rejected);
        BatchMetrics {
            elapsed: report.elapsed(),
            total_records: counts.total(),
            processed_records: processed,
            successful_records: processed - failed,
            failed_records: failed,
            chunks: u64::try_from(report.chunks()).unwrap_or(u64::MAX),
            retries: report.retries(),
            round_trips: report.round_trips(),
            errors: u64::from(ending == Ending::Failed),
            dropped: u64::from(ending == Ending::Dropped),
        }
    }

    fn add(&mut self, more: &BatchMetrics) {
        self.elapsed += more.elapsed;
        self.total_records += more.total_records;
        self.processed_records += more.processed_records;
        self.successful_records += more.successful_records;
        self.failed_records += more.failed_records;
        self.chunks += more.chunks;
        self.retries += more.retries;
        self.round_trips += more.round_trips;
        self.errors += more.errors;
        self.dropped += more.dropped;
    }
}

/// Rows per second.
#[expect(clippy::cast_precision_loss, reason = "a rate to read")]
pub(crate) fn rate(rows: u64, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 { rows as f64 / seconds } else { 0.0 }
}

/// What was measured so far: see [`BatchOperations::metrics`](crate::BatchOperations::metrics).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Metrics {
    /// Of the call that ended last. Where several run at the same time, that may be another one than the caller's
    /// own: a [`Report`] has the numbers of one call.
    pub last_batch: BatchMetrics,
    /// Of all calls; `elapsed` is the sum of theirs.
    pub total: BatchMetrics,
    /// How many calls there were.
    pub batches: u64,
}

/// The metrics that calls add to as they end.
#[derive(Debug, Default)]
pub(crate) struct Meter(Mutex<Metrics>);

impl Meter {
    pub(crate) fn add(&self, report: &Report, ending: Ending) {
        let batch = BatchMetrics::of(report, ending);
        let mut metrics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        metrics.last_batch = batch;
        metrics.total.add(&batch);
        metrics.batches += 1;
    }

    pub(crate) fn read(&self) -> Metrics {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
