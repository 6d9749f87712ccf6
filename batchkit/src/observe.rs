//! What can be seen of a call while it runs: errors as they come, and spans.
//!
//! A call is a span `batchkit.call`, in it each chunk is one, and in it each attempt. Attributes have
//! OpenTelemetry's names for databases (semantic conventions 1.30), and `batchkit.…` where it has none; none of
//! them holds a value of a row.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use tracing::Span;
use tracing::field::Empty;

use crate::error::Error;
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
        tracing::debug!(chunk = context.chunk, attempt = context.attempt, answer = ?context.answer, %error);
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
pub(crate) fn call_span(verb: &'static str, table: &str, strategy: &str) -> Span {
    tracing::info_span!(
        "batchkit.call",
        otel.name = format!("{verb} {table}"),
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = "postgresql",
        db.collection.name = table,
        db.operation.name = verb,
        db.query.summary = format!("{verb} {table}"),
        db.response.status_code = Empty,
        "error.type" = Empty,
        batchkit.strategy = strategy,
        batchkit.transport = Empty,
        batchkit.rows = Empty,
        batchkit.chunks = Empty,
        batchkit.retries = Empty,
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

/// Notes in a call's span what it did.
pub(crate) fn record_report(span: &Span, report: &Report) {
    span.record("batchkit.rows", report.total());
    span.record("batchkit.chunks", report.chunks());
    span.record("batchkit.retries", report.retries());
    span.record("batchkit.rejects", report.rejected());
}
