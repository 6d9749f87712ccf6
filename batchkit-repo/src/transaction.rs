//! A transaction of the caller's, on PostgreSQL or in memory.

use std::fmt;
use std::marker::PhantomData;

use batchkit::Result;

use crate::memory::Open;
use crate::within::Within;

/// A transaction that several repositories can work in: `repo.batch_add(rows).within(&mut transaction)`.
///
/// Nothing is committed or tried again there behind the caller's back. Each call runs under a savepoint: after an
/// error the transaction is usable, without what the failed chunk wrote. Dropped, it is rolled back.
///
/// Read committed, as is PostgreSQL's default: each call sees what is committed when it starts.
#[must_use = "a transaction that is dropped is rolled back"]
pub struct Transaction<'c>(Kind<'c>);

enum Kind<'c> {
    Postgres(deadpool_postgres::Transaction<'c>),
    // It borrows its connection, as the other does: one transaction at a time.
    Memory(Open, PhantomData<&'c mut ()>),
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}

impl<'c> Transaction<'c> {
    pub(crate) fn postgres(transaction: deadpool_postgres::Transaction<'c>) -> Self {
        Transaction(Kind::Postgres(transaction))
    }

    pub(crate) fn memory(open: Open) -> Self {
        Transaction(Kind::Memory(open, PhantomData))
    }

    /// Makes what was written in it visible to all; of a nested one, to the transaction around it.
    ///
    /// # Errors
    /// Those of the server: a deferred constraint, a lost connection. What was written is not in then; where the
    /// connection was lost while COMMIT was on its way, only the server can tell.
    pub async fn commit(self) -> Result<()> {
        match self.0 {
            Kind::Postgres(transaction) => Ok(transaction.commit().await?),
            Kind::Memory(open, _) => {
                open.commit();
                Ok(())
            }
        }
    }

    /// Takes back what was written in it.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn rollback(self) -> Result<()> {
        match self.0 {
            Kind::Postgres(transaction) => Ok(transaction.rollback().await?),
            Kind::Memory(open, _) => {
                drop(open);
                Ok(())
            }
        }
    }

    /// A nested transaction: a savepoint, which can be rolled back alone.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn transaction(&mut self) -> Result<Transaction<'_>> {
        Ok(match &mut self.0 {
            Kind::Postgres(transaction) => Transaction::postgres(transaction.transaction().await?),
            Kind::Memory(open, _) => Transaction::memory(open.savepoint()),
        })
    }

    /// The driver's transaction, for statements of your own; `None` in memory.
    pub fn as_postgres(&mut self) -> Option<&mut deadpool_postgres::Transaction<'c>> {
        match &mut self.0 {
            Kind::Postgres(transaction) => Some(transaction),
            Kind::Memory(..) => None,
        }
    }

    pub(crate) fn lend<'a>(&'a mut self) -> Within<'a>
    where
        'c: 'a,
    {
        match &mut self.0 {
            Kind::Postgres(transaction) => transaction.into(),
            Kind::Memory(open, _) => Within::memory(open),
        }
    }
}
