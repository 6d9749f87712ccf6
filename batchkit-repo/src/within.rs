//! The caller's transaction, lent to one call of a repository.

use std::fmt;

use batchkit::backend::ErrorBuilder;
use batchkit::model::Model;
use batchkit::{ErrorKind, Result};

use crate::memory::{Memory, Open};
use crate::transaction::Transaction;

/// A transaction of the caller's, lent to one call: made from `&mut` of a [`Transaction`] of this crate, or of
/// tokio-postgres's or deadpool-postgres's.
#[derive(Debug)]
#[non_exhaustive]
pub enum Within<'a> {
    /// On a connection to PostgreSQL.
    Postgres(batchkit::Within<'a>),
    /// Of a database in memory.
    Memory(MemoryWithin<'a>),
}

/// A transaction of a database in memory, lent to one call.
pub struct MemoryWithin<'a>(&'a Open);

impl fmt::Debug for MemoryWithin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryWithin")
    }
}

impl<'a> Within<'a> {
    pub(crate) fn memory(open: &'a Open) -> Self {
        Within::Memory(MemoryWithin(open))
    }

    /// The transaction on PostgreSQL.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for one of a database in memory.
    pub fn postgres(self, model: &Model) -> Result<batchkit::Within<'a>> {
        match self {
            Within::Postgres(within) => Ok(within),
            Within::Memory(_) => Err(other(model, "the repository is on PostgreSQL, the transaction of one in memory")),
        }
    }

    /// The transaction of this database in memory.
    pub(crate) fn memory_of(self, memory: &Memory, model: &Model) -> Result<&'a Open> {
        match self {
            Within::Memory(MemoryWithin(open)) if open.memory().is(memory) => Ok(open),
            Within::Memory(_) => Err(other(model, "the transaction is of another database in memory")),
            Within::Postgres(_) => Err(other(model, "the repository is in memory, the transaction on PostgreSQL")),
        }
    }
}

fn other(model: &Model, what: &str) -> batchkit::Error {
    ErrorBuilder::new(ErrorKind::Config, what).table(model.display_name()).build()
}

impl<'a> From<batchkit::Within<'a>> for Within<'a> {
    fn from(within: batchkit::Within<'a>) -> Self {
        Within::Postgres(within)
    }
}

impl<'a, 'b: 'a> From<&'a mut tokio_postgres::Transaction<'b>> for Within<'a> {
    fn from(transaction: &'a mut tokio_postgres::Transaction<'b>) -> Self {
        Within::Postgres(transaction.into())
    }
}

impl<'a, 'b: 'a> From<&'a mut deadpool_postgres::Transaction<'b>> for Within<'a> {
    fn from(transaction: &'a mut deadpool_postgres::Transaction<'b>) -> Self {
        Within::Postgres(transaction.into())
    }
}

impl<'a, 'b: 'a> From<&'a mut Transaction<'b>> for Within<'a> {
    fn from(transaction: &'a mut Transaction<'b>) -> Self {
        transaction.lend()
    }
}
