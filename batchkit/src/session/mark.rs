//! The mark of a transaction, by which the server finds and ends it when nobody waits for its answer any longer.
//!
//! It is an advisory lock with a key that is drawn here. So a transaction can be found before the server has told
//! anything about it, and the mark is gone with the transaction: whatever the backend does next is safe,
//! also behind a pooler that lends one backend to many.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::Pool;
use tokio::runtime::Handle;

use super::client::Session;
use crate::error::Result;

/// The mark of a connection's transactions, one after the other.
#[derive(Debug)]
pub(super) struct Mark {
    key: i64,
    /// The runtime on which the end is asked for. None before the first transaction.
    runtime: OnceLock<Handle>,
    /// Whether the server has answered that the lock is held.
    is_set: AtomicBool,
    /// Whether whoever repeats the work knows by other means what to end.
    is_left: AtomicBool,
}

impl Mark {
    /// A mark that no transaction has yet.
    pub(super) fn new() -> Self {
        let (runtime, is_set, is_left) = (OnceLock::new(), AtomicBool::new(false), AtomicBool::new(false));
        Mark { key: fastrand::i64(..), runtime, is_set, is_left }
    }

    /// A transaction is about to be sent: the key to lock.
    pub(super) fn begin(&self) -> i64 {
        if let Ok(runtime) = Handle::try_current() {
            let _ = self.runtime.set(runtime);
        }
        self.is_set.store(false, Ordering::Relaxed);
        self.is_left.store(false, Ordering::Relaxed);
        self.key
    }

    /// The server has answered: the lock is held until the end of the transaction.
    pub(super) fn set(&self) {
        self.is_set.store(true, Ordering::Relaxed);
    }

    /// The transaction's end is somebody else's matter from now on: that of whoever finds out what became of it.
    pub(super) fn leave(&self) {
        self.is_left.store(true, Ordering::Relaxed);
    }

    /// Ends the transaction whose connection was just discarded, which the server would notice only when it is done.
    /// (A cancel request needs a connection of its own, encrypted as the pool's are, which the pool cannot make.)
    pub(super) fn end(&mut self, pool: &Pool) {
        if let (Some(runtime), false) = (self.runtime.take(), *self.is_left.get_mut()) {
            runtime.spawn(end(pool.clone(), self.key, *self.is_set.get_mut()));
        }
    }
}

async fn end(pool: Pool, key: i64, is_set: bool) {
    /// The server, or the pool, may have no connection to spare at once; and what was on its way may not
    /// have begun.
    const TRIES: u32 = 5;
    for attempt in 0..TRIES {
        let told = async { terminate(&Session::open(&pool, None).await?, key).await };
        if told.await.is_ok_and(|was_there| was_there || is_set) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100) * 2u32.pow(attempt)).await;
    }
    tracing::debug!("a transaction that was given up was not found, or its end could not be asked for");
}

/// Tells the backend with this mark to end; whether there was one.
pub(super) async fn terminate(session: &Session<'_>, key: i64) -> Result<bool> {
    // A key of 64 bits is shown as two halves.
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' \
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
               AND (classid::int8 << 32) | objid::int8 = $1 AND objsubid = 1";
    let (living, _) = session.run(sql.into(), &[&key]).await?;
    Ok(!living.is_empty())
}
