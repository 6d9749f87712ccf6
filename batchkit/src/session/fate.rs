//! What became of a transaction whose connection broke: its backend is ended, then the server is asked.
//!
//! The order matters: as long as the old backend lives, a COMMIT that is still on its way could take effect
//! behind an answer. Once it is gone the answer is final, on the primary and unless the server has crashed
//! in between: then transaction ids may have been given out again.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use deadpool_postgres::Pool;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use super::client::Session;
use super::mark::terminate;
use crate::error::{Error, ErrorKind, Result};

/// How a transaction can be found again.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Its mark, which is held as long as it lives.
    mark: i64,
    xid: String,
    server: Server,
}

/// What moves when the server crashes: the postmaster's start does not when it restarts its children after
/// a backend was killed, but the statistics are reset then.
#[derive(Debug, Clone)]
struct Server {
    started: SystemTime,
    reset: Option<SystemTime>,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is in.
    Committed,
    /// It is not in, and never will be.
    RolledBack,
    /// It cannot be told.
    Undecided,
}

/// What [`Server`] is read from, in binary: as texts they would cost each transaction a microsecond more.
const STARTED: &str = "pg_postmaster_start_time()";
const RESET: &str = "pg_stat_get_bgwriter_stat_reset_time()";

/// The first statement of a transaction: it sets its mark, `$1`, and makes the settings of these names, whose values are
/// the other parameters. One that `writes` tells what it can be found by.
pub(super) fn settle<'n>(names: impl Iterator<Item = &'n str>, writes: bool) -> String {
    let mut text = "SELECT pg_try_advisory_xact_lock_shared($1)".to_owned();
    if writes {
        _ = write!(text, ", pg_current_xact_id()::text, {STARTED}, {RESET}");
    }
    for (name, parameter) in names.zip(2..) {
        _ = write!(text, ", set_config('{name}', ${parameter}, true)");
    }
    text
}

impl Identity {
    /// Reads the answer of [`settle`].
    pub(super) fn read(answer: &Row, mark: i64) -> Option<Self> {
        let server = Server { started: answer.try_get(2).ok()?, reset: answer.try_get(3).ok()? };
        Some(Identity { mark, xid: answer.try_get(1).ok()?, server })
    }
}

/// Ends the transaction and tells what became of it.
pub(crate) async fn fate(pool: &Pool, identity: &Identity) -> Result<Fate> {
    let session = Session::open(pool, None).await?;
    match end(&session, identity.mark).await {
        // A pool that has changed its role may not end its own backends; they may end by themselves.
        Err(error) if error.sqlstate() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {}
        ended => ended?,
    }
    let sql = format!(
        "SELECT CASE WHEN pg_is_in_recovery() OR {STARTED} IS DISTINCT FROM $1 OR {RESET} IS DISTINCT FROM $2 \
         THEN 'undecided' ELSE coalesce(pg_xact_status($3::text::xid8), 'undecided') END"
    );
    let Server { started, reset } = &identity.server;
    let (answer, _) = session.run((&*sql).into(), &[started, reset, &identity.xid]).await?;
    Ok(match (!answer.is_empty()).then(|| answer.row(0)).and_then(|mut fields| fields.next().flatten()) {
        Some(b"in progress") => {
            return Err(Error::new(ErrorKind::Connection, "the transaction is still in progress"));
        }
        Some(b"committed") => Fate::Committed,
        Some(b"aborted") => Fate::RolledBack,
        _ => Fate::Undecided,
    })
}

/// Ends the transaction's backend, and waits until the transaction is gone: its locks are free then, and nothing that
/// the backend had read can still take effect.
async fn end(session: &Session<'_>, mark: i64) -> Result<()> {
    let mut pause = Duration::from_millis(1);
    while terminate(session, mark).await? {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
    Ok(())
}
