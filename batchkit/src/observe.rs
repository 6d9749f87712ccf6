//! What can be seen of a call while it runs: errors as they come, and spans.
//!
//! A call is a span `batchkit.call` (INFO), in it each chunk is one, `batchkit.chunk` (DEBUG), and in it each try,
//! `batchkit.attempt` (DEBUG). Attributes have OpenTelemetry's names for databases (the stable ones of its semantic
//! conventions), and `batchkit.…` where it has none; none of them holds a value of a row. `server.address` is not
//! among them: a pool does not tell it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use tracing::Span;
use tracing::field::Empty;

use crate::config::ExecutionStrategy;
use crate::error::Error;
use crate::metrics::Meter;
use crate::model::Model;
use crate::report::Report;
use crate::retry::Answer;

/// What is known of an error besides itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ErrorContext {
    /// The number of the chunk, from 0.
    pub chunk: usize,
    /// The input positions of the chunk's rows.
    pub rows: Vec<Range<usize>>,
    /// Which try of the chunk it was, from 1.
    pub attempt: u32,
    /// What is done about it.
    pub answer: Answer,
}

/// Called with every error of a call, also those that a retry mends.
type Callback = dyn Fn(&Error, &ErrorContext) + Send + Sync;

/// The caller's error callback, if there is one.
#[derive(Clone, Default)]
pub(crate) struct ErrorObserver(Option<Arc<Callback>>);

impl ErrorObserver {
    pub(crate) fn new(callback: impl Fn(&Error, &ErrorContext) + Send + Sync + 'static) -> Self {
        ErrorObserver(Some(Arc::new(callback)))
    }

    pub(crate) fn tell(&self, error: &Error, context: &ErrorContext) {
        let ErrorContext { chunk, attempt, answer, .. } = context;
        tracing::debug!(chunk, attempt, ?answer, %error, "a try of a chunk failed");
        if let Some(callback) = &self.0 {
            callback(error, context);
        }
    }
}

impl fmt::Debug for ErrorObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "ErrorObserver(set)" } else { "ErrorObserver" })
    }
}

/// The span of a call of this verb on this table.
pub(crate) fn call_span(verb: &'static str, model: &Model, strategy: ExecutionStrategy) -> Span {
    // Where nobody listens, none of these texts is made.
    tracing::info_span!(
        "batchkit.call",
        otel.name = format!("{verb} {}", model.display_name()),
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = "postgresql",
        db.namespace = Empty,
        db.collection.name = model.display_name(),
        db.operation.name = verb,
        db.query.summary = format!("{verb} {}", model.display_name()),
        db.response.status_code = Empty,
        "error.type" = Empty,
        batchkit.strategy = ?strategy,
        batchkit.transport = Empty,
        batchkit.rows = Empty,
        batchkit.chunks = Empty,
        batchkit.retries = Empty,
        batchkit.round_trips = Empty,
        batchkit.rejects = Empty,
    )
}

/// The span of a chunk.
pub(crate) fn chunk_span(chunk: usize, rows: usize) -> Span {
    tracing::debug_span!(
        "batchkit.chunk",
        otel.status_code = Empty,
        db.response.status_code = Empty,
        "error.type" = Empty,
        batchkit.chunk = chunk,
        batchkit.rows = rows,
    )
}

/// The span of one try of a chunk.
pub(crate) fn attempt_span(attempt: u32) -> Span {
    tracing::debug_span!(
        "batchkit.attempt",
        otel.status_code = Empty,
        db.response.status_code = Empty,
        "error.type" = Empty,
        batchkit.attempt = attempt,
    )
}

/// Notes in a span that it ended with an error.
pub(crate) fn record_error(span: &Span, error: &Error) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", tracing::field::debug(error.kind()));
    if let Some(state) = error.sqlstate() {
        span.record("db.response.status_code", state.code());
    }
}

/// What is told of a call when it has ended, once: in its span, and in the metrics.
#[derive(Debug)]
pub(crate) struct Observation {
    span: Span,
    /// Where it is counted, if it is.
    meter: Option<Arc<Meter>>,
}

impl Observation {
    /// Tells it in this span, and counts it if there is a meter.
    pub(crate) fn new(span: Span, meter: Option<Arc<Meter>>) -> Self {
        Observation { span, meter }
    }

    /// The call has ended.
    pub(crate) fn end(mut self, report: &Report, ending: Ending) {
        if !self.span.is_disabled() {
            self.span.record("batchkit.rows", report.total());
            self.span.record("batchkit.chunks", report.chunks());
            self.span.record("batchkit.retries", report.retries());
            self.span.record("batchkit.round_trips", report.round_trips());
            self.span.record("batchkit.rejects", report.rejected());
        }
        if let Some(meter) = self.meter.take() {
            meter.add(report, ending);
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        // The call was dropped before it had any books.
        if let Some(meter) = self.meter.take() {
            meter.add(&Report::default(), Ending::Dropped);
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With an answer.
    Answered,
    /// With an error.
    Failed,
    /// Its future was dropped.
    Dropped,
}
