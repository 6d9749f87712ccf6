//! Why there is no server, and what to do about it.

use std::fmt;

/// Why there is no server; the message tells what was tried and what to do.
#[derive(Debug)]
pub struct ServerError(String);

impl ServerError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        ServerError(message.into())
    }

    /// What was being done when it happened.
    pub(super) fn while_doing(what: &str, error: impl fmt::Display) -> Self {
        ServerError(format!("{what}: {error}"))
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ServerError {}

impl From<tokio_postgres::Error> for ServerError {
    fn from(error: tokio_postgres::Error) -> Self {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        ServerError(format!("{error}{cause}"))
    }
}
