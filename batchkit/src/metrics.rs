//! The numbers of the guide: of the last call, and of all calls together.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::report::{Counts, Outcome, Report};

/// What was measured of one call, or of several together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct BatchMetrics {
    /// How long it took.
    pub elapsed: Duration,
    /// The rows handed over.
    pub total_records: u64,
    /// Those of them that were sent.
    pub processed_records: u64,
    /// Those of them that are in.
    pub successful_records: u64,
    /// Those of them that were turned away, whose chunk was rolled back, or whose fate is unknown.
    pub failed_records: u64,
    /// The chunks that are in.
    pub chunks: u64,
    /// How many times a chunk was tried again.
    pub retries: u64,
    /// The calls that ended with an error.
    pub errors: u64,
}

impl BatchMetrics {
    /// The rows that are in, per second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate to read")]
    pub fn records_per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.successful_records as f64 / seconds } else { 0.0 }
    }

    fn of(report: &Report, is_error: bool) -> Self {
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
            errors: u64::from(is_error),
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
        self.errors += more.errors;
    }
}

/// What was measured so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Metrics {
    /// Of the call that ended last.
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
    pub(crate) fn add(&self, report: &Report, failed: bool) {
        let batch = BatchMetrics::of(report, failed);
        let mut metrics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        metrics.last_batch = batch;
        metrics.total.add(&batch);
        metrics.batches += 1;
    }

    pub(crate) fn read(&self) -> Metrics {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
