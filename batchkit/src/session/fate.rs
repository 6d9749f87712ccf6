//! What became of a transaction whose connection broke: its backend is ended, then the server is asked.
//!
//! The order matters: as long as the old backend lives, a COMMIT that is still on its way could take effect
//! behind an answer. Once it is gone the answer is final, on the primary and unless the server has crashed
//! in between: then transaction ids may have been given out again.

use std::time::Duration;

use deadpool_postgres::Pool;
use tokio_postgres::SimpleQueryRow;
use tokio_postgres::error::SqlState;

use super::client::Session;
use super::mark::terminate;
use crate::error::{Error, ErrorKind, Result};

/// How a transaction can be found again.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Its mark, which is held as long as it lives.
    mark: i64,
    /// Its id.
    xid: Box<str>,
    /// What moves when the server crashes.
    server: Box<str>,
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

/// What tells that the server has not crashed: the postmaster's start does not move when it restarts its children after
/// a backend was killed, but the statistics are reset then. (As bytes: for texts of them the server would need a
/// microsecond more.)
macro_rules! server {
    () => {
        "encode(timestamptz_send(pg_postmaster_start_time()) \
         || coalesce(timestamptz_send(pg_stat_get_bgwriter_stat_reset_time()), ''), 'hex')"
    };
}

/// What a transaction that writes is asked first.
pub(super) const TOLD: &str = concat!("pg_current_xact_id(), ", server!());

impl Identity {
    /// Reads the answer to [`TOLD`].
    pub(super) fn read(told: &SimpleQueryRow, mark: i64) -> Option<Self> {
        Some(Identity { mark, xid: told.try_get(0).ok()??.into(), server: told.try_get(1).ok()??.into() })
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
    let sql = concat!(
        "SELECT CASE WHEN pg_is_in_recovery() OR ",
        server!(),
        " <> $1 THEN 'undecided' ELSE coalesce(pg_xact_status($2::text::xid8), 'undecided') END"
    );
    let (answer, _) = session.run(sql.into(), &[&&*identity.server, &&*identity.xid]).await?;
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
