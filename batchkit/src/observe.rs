//! Who is told of errors while a call runs.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::error::Error;
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
