//! What a service holds of its database: where transactions and repositories come from.

use batchkit::{BatchModel, ReadRow, Result};
use deadpool_postgres::{Object, Pool};

use crate::memory::{Memory, Open};
use crate::repository::{Repository, RepositoryBuilder};
use crate::transaction::Transaction;

/// A database: PostgreSQL behind a pool, or one in memory. Cheap to clone.
///
/// A service that takes a `Database` can be tested without a server, its transactions included:
///
/// ```
/// use batchkit::{BatchModel, Filter, Result};
/// use batchkit_repo::Database;
///
/// #[derive(Debug, Clone, BatchModel)]
/// #[batch(table = "accounts")]
/// struct Account {
///     #[batch(key)]
///     id: i64,
///     balance: i64,
/// }
///
/// /// Moves an amount from one account to another.
/// async fn transfer(db: &Database, from: i64, to: i64, amount: i64) -> Result<bool> {
///     let accounts = db.repository::<Account>();
///     let mut connection = db.connect().await?;
///     let mut tx = connection.transaction().await?;
///     let mut both = accounts.batch_get([from, to]).within(&mut tx).await?;
///     let [giver, taker] = &mut both[..] else { return Ok(false) };
///     giver.balance -= amount;
///     taker.balance += amount;
///     accounts.batch_update(&both).within(&mut tx).await?;
///     if both[0].balance < 0 {
///         tx.rollback().await?;
///         return Ok(false);
///     }
///     tx.commit().await?;
///     Ok(true)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// // In production: Database::postgres(pool).
/// let db = Database::memory();
/// let accounts = db.repository::<Account>();
/// accounts.batch_add([Account { id: 1, balance: 10 }, Account { id: 2, balance: 0 }]).await?;
/// assert!(!transfer(&db, 1, 2, 11).await?);
/// assert!(transfer(&db, 1, 2, 4).await?);
/// assert_eq!(accounts.get(2).await?.unwrap().balance, 4);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Database(Kind);

#[derive(Clone)]
enum Kind {
    Postgres(Pool),
    Memory(Memory),
}

// A pool's own form prints how it connects.
impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Postgres(_) => "Postgres",
            Kind::Memory(_) => "Memory",
        })
    }
}

impl Database {
    /// PostgreSQL, over the connections of a pool.
    #[must_use]
    pub fn postgres(pool: Pool) -> Self {
        Database(Kind::Postgres(pool))
    }

    /// An empty database in memory: see [`Memory`], which can be told more and is made a `Database` by
    /// [`From`].
    #[must_use]
    pub fn memory() -> Self {
        Memory::new().into()
    }

    /// The database in memory, if it is one.
    #[must_use]
    pub fn as_memory(&self) -> Option<&Memory> {
        match &self.0 {
            Kind::Postgres(_) => None,
            Kind::Memory(memory) => Some(memory),
        }
    }

    /// A connection, for transactions.
    ///
    /// # Errors
    /// [`ErrorKind::Pool`](batchkit::ErrorKind::Pool) when none can be had.
    pub async fn connect(&self) -> Result<Connection> {
        Ok(Connection(match &self.0 {
            Kind::Postgres(pool) => Client::Postgres(Box::new(pool.get().await?)),
            Kind::Memory(memory) => Client::Memory(memory.clone()),
        }))
    }

    /// A repository on this database with the default settings.
    #[must_use]
    pub fn repository<E: ReadRow + 'static>(&self) -> Repository<E> {
        match &self.0 {
            Kind::Postgres(pool) => Repository::postgres(pool.clone()),
            Kind::Memory(memory) => Repository::memory(memory),
        }
    }

    /// A repository on this database, to be configured.
    pub fn repository_builder<E: BatchModel + 'static>(&self) -> RepositoryBuilder<E> {
        Repository::builder(self.clone())
    }

    pub(crate) fn pool(self) -> std::result::Result<Pool, Memory> {
        match self.0 {
            Kind::Postgres(pool) => Ok(pool),
            Kind::Memory(memory) => Err(memory),
        }
    }
}

impl From<Pool> for Database {
    fn from(pool: Pool) -> Self {
        Database::postgres(pool)
    }
}

impl From<Memory> for Database {
    fn from(memory: Memory) -> Self {
        Database(Kind::Memory(memory))
    }
}

impl From<&Memory> for Database {
    fn from(memory: &Memory) -> Self {
        memory.clone().into()
    }
}

impl From<&Database> for Database {
    fn from(database: &Database) -> Self {
        database.clone()
    }
}

/// A connection to a [`Database`]; it goes back to the pool when it is dropped.
#[derive(Debug)]
pub struct Connection(Client);

enum Client {
    Postgres(Box<Object>),
    Memory(Memory),
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Client::Postgres(_) => "Postgres",
            Client::Memory(_) => "Memory",
        })
    }
}

impl Connection {
    /// Opens a transaction, one at a time.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn transaction(&mut self) -> Result<Transaction<'_>> {
        Ok(match &mut self.0 {
            Client::Postgres(client) => Transaction::postgres(client.transaction().await?),
            Client::Memory(memory) => Transaction::memory(Open::begin(memory)),
        })
    }
}
