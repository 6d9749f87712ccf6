//! Rows that are turned away while the others go in.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};

/// A row that was turned away, and why. It never holds the row's values: `position` tells the caller which.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reject {
    /// The row's position in the input, from 0.
    pub position: usize,
    /// What was wrong with it.
    pub kind: ErrorKind,
    /// The SQLSTATE; `None` for a row that was not sent because it has no form in the table's types.
    pub sqlstate: Option<String>,
    /// The constraint that it breaks.
    pub constraint: Option<String>,
    /// The column to blame, where one is.
    pub column: Option<String>,
}

impl Reject {
    /// The row at this position, turned away for this error.
    pub(crate) fn new(position: usize, error: &Error) -> Self {
        Reject {
            position,
            kind: error.kind(),
            sqlstate: error.sqlstate().map(|state| state.code().to_owned()),
            constraint: error.constraint().map(str::to_owned),
            column: error.column().map(str::to_owned),
        }
    }
}

/// Called with each reject.
type Callback = dyn Fn(&Reject) + Send + Sync;

/// Who is handed each reject, once its chunk is in.
#[derive(Clone, Default)]
pub(crate) struct RejectSink(Option<Arc<Callback>>);

impl RejectSink {
    pub(crate) fn new(sink: impl Fn(&Reject) + Send + Sync + 'static) -> Self {
        RejectSink(Some(Arc::new(sink)))
    }

    pub(crate) fn take(&self, reject: &Reject) {
        if let Some(sink) = &self.0 {
            sink(reject);
        }
    }
}

impl fmt::Debug for RejectSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "RejectSink(set)" } else { "RejectSink" })
    }
}
