//! The twin: a database in memory, for the unit tests of code that takes a `Repository`.
//!
//! It does no I/O, and what the repository can do with PostgreSQL it does with the same answers and the same
//! errors: one suite of tests runs over both. See [`Memory`] for what has to be declared and what is not imitated.

mod backend;
mod declare;
mod defaults;
mod graph;
mod read;
mod related;
mod run;
mod state;
mod statement;
mod table;
mod value;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use batchkit::ReadRow;

pub use backend::MemoryBackend;
pub use declare::TableBuilder;
pub(crate) use run::Open;
pub use state::OnDelete;
use state::State;

/// A database in memory. Cheap to clone; clones are the same database.
///
/// ```
/// use batchkit::{BatchModel, ErrorKind, Filter};
/// use batchkit_repo::{Memory, Repository};
///
/// #[derive(Debug, Clone, PartialEq, BatchModel)]
/// #[batch(table = "products", new = "NewProduct")]
/// struct Product {
///     #[batch(key, auto)]
///     id: i64,
///     #[batch(unique)]
///     sku: String,
///     price: i64,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> batchkit::Result<()> {
/// let memory = Memory::new();
/// memory.table::<Product>().check("products_price_check", |product| product.price >= 0).declare()?;
/// let products = Repository::<Product>::memory(&memory);
///
/// let new = |sku: &str, price| NewProduct { sku: sku.to_owned(), price };
/// let added = products.batch_add([new("a", 1), new("b", 2)]).await?;
/// assert_eq!((added[1].id, products.count(Filter::all()).await?), (2, 2));
///
/// let error = products.batch_add([new("a", 3)]).await.unwrap_err();
/// assert_eq!((error.kind(), error.constraint()), (ErrorKind::UniqueViolation, Some("products_sku_key")));
/// let error = products.batch_add([new("c", -1)]).await.unwrap_err();
/// assert_eq!((error.kind(), error.constraint()), (ErrorKind::CheckViolation, Some("products_price_check")));
/// # Ok(()) }
/// ```
///
/// # What is known of a table
///
/// A table is there at its first use, as its models describe it: columns, keys (with PostgreSQL's names for their
/// constraints), and NOT NULL where a field is no `Option`. Columns that the server sets get a number from a
/// sequence (integer keys), a random UUID, or the transaction's time. Whatever else the real table does (defaults,
/// computed columns, checks, foreign keys) is declared: see [`table`](Self::table). What a model says of new rows
/// (`on_insert`, `version`, `soft_delete`) is taken for the table's own default; an `on_insert` that is no time, random
/// UUID, number or boolean is declared with [`default_with`](TableBuilder::default_with).
///
/// # Transactions
///
/// As under PostgreSQL's read committed: each call sees what is committed when it starts, and what its own
/// transaction wrote. A write that meets a row which another open transaction writes (also by its unique key)
/// *waits* until that one ends; transactions that wait for each other get the error of a deadlock (SQLSTATE 40P01).
/// A call outside of a transaction that waits for one of the same task waits for ever, as it does on the server: give
/// [`DatabaseSettings::lock_timeout`](batchkit::DatabaseSettings::lock_timeout), or the call a
/// [`timeout`](batchkit::BatchConfig::timeout), to see where. Sequences are not rolled back.
///
/// # What is not imitated
///
/// Triggers, rules, row security, exclusion and deferred constraints, partial and expression indexes; the rounding
/// and the length limits of `numeric(p, s)` and `varchar(n)`; collations (texts are ordered by their bytes, as under
/// `"C"`); other isolation levels; and all that is about connections and time: retries, transports, metrics.
#[derive(Clone)]
pub struct Memory(Arc<Mutex<State>>);

impl Memory {
    /// An empty database.
    #[must_use]
    pub fn new() -> Self {
        Memory(Arc::new(Mutex::new(State::new())))
    }

    /// Declares what the table of a model does by itself beyond what the model says.
    pub fn table<E: ReadRow + 'static>(&self) -> TableBuilder<E> {
        TableBuilder::new(self.clone())
    }

    /// Takes the time from this function: what `now()` is, that is when a transaction began.
    pub fn set_clock(&self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) {
        self.lock().clock = Arc::new(clock);
    }

    /// Whether these are the same database.
    pub(crate) fn is(&self, other: &Memory) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What it holds. A statement that panicked in a caller's closure is taken back by the end of its transaction.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Memory::new()
    }
}

// Never prints a value.
impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}
