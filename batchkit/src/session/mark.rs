//! The mark of a read, by which the server finds and ends it when nobody waits for its answer any longer.
//!
//! Its transaction holds an advisory lock with a key that is drawn here. So a read can be found before the server
//! has told anything about it, and the mark is gone with the transaction: whatever the backend does next is safe,
//! also behind a pooler that lends one backend to many.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::Pool;
use tokio::runtime::Handle;

use super::client::Session;
use crate::error::Result;

/// The mark of a connection's reads, one after the other.
#[derive(Debug)]
pub(super) struct Mark {
    key: i64,
    /// The runtime on which the end of the read is asked for. None before the first read.
    runtime: Option<Handle>,
    /// Whether the server has answered that the lock is held.
    is_set: AtomicBool,
}

impl Mark {
    /// A mark that no read has yet.
    pub(super) fn new() -> Self {
        Mark { key: fastrand::i64(..), runtime: None, is_set: AtomicBool::new(false) }
    }

    /// A read is about to be sent: the key to lock.
    pub(super) fn begin(&mut self) -> i64 {
        self.runtime = Handle::try_current().ok();
        self.is_set.store(false, Ordering::Relaxed);
        self.key
    }

    /// The server has answered: the lock is held until the end of the transaction.
    pub(super) fn set(&self) {
        self.is_set.store(true, Ordering::Relaxed);
    }

    /// Ends the read whose connection was just discarded, which the server would notice only when it is done.
    /// (A cancel request needs a connection of its own, encrypted as the pool's are, which the pool cannot make.)
    pub(super) fn end_read(&mut self, pool: &Pool) {
        if let Some(runtime) = self.runtime.take() {
            runtime.spawn(end_read(pool.clone(), self.key, *self.is_set.get_mut()));
        }
    }
}

async fn end_read(pool: Pool, key: i64, is_set: bool) {
    /// The server, or the pool, may have no connection to spare at once; and a read that was on its way may not
    /// have begun.
    const TRIES: u32 = 5;
    for attempt in 0..TRIES {
        let told = async { terminate(&mut Session::open(&pool, None).await?, key).await };
        if told.await.is_ok_and(|was_there| was_there || is_set) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100) * 2u32.pow(attempt)).await;
    }
    tracing::debug!("a read that was given up was not found, or its end could not be asked for");
}

/// Tells the backend with this mark to end; whether there was one.
async fn terminate(session: &mut Session<'_>, key: i64) -> Result<bool> {
    // A key of 64 bits is shown as two halves.
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' \
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
               AND (classid::int8 << 32) | objid::int8 = $1 AND objsubid = 1";
    let (living, _) = session.run(sql, &[&key]).await?;
    Ok(!living.is_empty())
}
