//! Errors that look like those of the server.

use std::ops::Range;

use crate::config::BatchConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::report::Report;

/// Builds an [`Error`].
///
/// ```
/// use batchkit::{ErrorKind, backend::ErrorBuilder};
///
/// let error = ErrorBuilder::refusal(ErrorKind::UniqueViolation).constraint("products_sku_key").rows([3..4]).build();
/// assert_eq!(error.sqlstate().map(|state| state.code()), Some("23505"));
/// assert_eq!(error.rows(), std::slice::from_ref(&(3..4)));
/// ```
#[derive(Debug)]
#[must_use = "call build()"]
pub struct ErrorBuilder(Error);

impl ErrorBuilder {
    /// An error of this kind. `what` is printed: it must not hold a row's value.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        ErrorBuilder(Error::new(kind, what))
    }

    /// An error of this kind with the text and, for the violations, the SQLSTATE that it has when the server
    /// refuses. The rows of a [`ErrorKind::Stale`] are told by their positions in the chunk, for
    /// [`Batch::failed`](super::Batch::failed).
    pub fn refusal(kind: ErrorKind) -> Self {
        ErrorBuilder(Error::refusal(kind))
    }

    /// The table, as the model names it.
    pub fn table(self, table: impl Into<String>) -> Self {
        ErrorBuilder(self.0.in_table(table))
    }

    /// The column to blame.
    pub fn column(self, column: impl Into<String>) -> Self {
        ErrorBuilder(self.0.in_column(column))
    }

    /// The constraint that was broken.
    pub fn constraint(self, constraint: impl Into<String>) -> Self {
        ErrorBuilder(self.0.with_constraint(constraint.into()))
    }

    /// The SQLSTATE.
    pub fn sqlstate(self, code: &str) -> Self {
        ErrorBuilder(self.0.with_sqlstate(code))
    }

    /// The positions in the input of the rows concerned, from 0, ascending.
    pub fn rows(self, rows: impl IntoIterator<Item = Range<usize>>) -> Self {
        ErrorBuilder(self.0.of_rows(rows))
    }

    /// The error is about rows below others, by the relation of this name: its rows become the ones above them, of
    /// which `owners` tells each one's.
    pub fn met_below(self, relation: &str, owners: &[usize]) -> Self {
        ErrorBuilder(self.0.met_below(relation, |row| owners.get(row).copied()))
    }

    /// Everything in which a model differs from what is stored.
    pub fn mismatches(self, mismatches: Vec<String>) -> Self {
        ErrorBuilder(self.0.with_mismatches(mismatches))
    }

    /// What became of the rows all the same.
    pub fn report(self, report: Report) -> Self {
        ErrorBuilder(self.0.with_report(report))
    }

    /// The error.
    #[must_use]
    pub fn build(self) -> Error {
        self.0
    }
}

impl From<Error> for ErrorBuilder {
    /// More can be said of an error: what it says by itself stays.
    fn from(error: Error) -> Self {
        ErrorBuilder(error)
    }
}

/// Refuses settings that make no sense.
///
/// # Errors
/// [`ErrorKind::Config`].
pub fn check_config(config: &BatchConfig) -> Result<()> {
    config.problem().map_or(Ok(()), |problem| Err(Error::new(ErrorKind::Config, problem)))
}
