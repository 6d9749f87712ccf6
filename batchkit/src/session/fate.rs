//! What became of a transaction whose connection broke: its backend is ended, then the server is asked.
//!
//! The order matters: as long as the old backend lives, a COMMIT that is still on its way could take effect
//! behind an answer. Once it is gone the answer is final, on the primary and unless the server has crashed
//! in between: then transaction ids may have been given out again.

use std::time::Duration;

use deadpool_postgres::Pool;

use super::client::Session;
use crate::error::Result;
use crate::wire::EncodedRows;

/// How a transaction can be found again.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    xid: String,
    backend: Backend,
    crashes: String,
}

/// What a backend is known by: process ids are given out again.
#[derive(Debug, Clone)]
pub(crate) struct Backend {
    pid: i32,
    start: String,
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

/// What moves when the server crashes: the postmaster's start does not when it restarts its children after
/// a backend was killed, but the statistics are reset then.
const CRASHES: &str = "concat_ws(' ', extract(epoch FROM pg_postmaster_start_time()), \
                       extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time()))";

/// Settings of a transaction: `$1` has their names, `$2` their values.
pub(super) const fn settle() -> &'static str {
    "SELECT count(set_config(s.name, s.value, true)) FROM unnest($1::text[], $2::text[]) AS s (name, value)"
}

/// The same, and what the transaction is found by.
pub(super) fn identify() -> String {
    format!(
        "SELECT ({}), pg_current_xact_id()::text, pg_backend_pid(), \
         (SELECT extract(epoch FROM backend_start)::text FROM pg_stat_activity WHERE pid = pg_backend_pid()), {CRASHES}",
        settle()
    )
}

impl Identity {
    /// Reads the answer of [`identify`].
    pub(super) fn read(answer: &EncodedRows) -> Option<Self> {
        let mut fields = if answer.is_empty() { return None } else { answer.row(0).skip(1) };
        let mut text = || fields.next().flatten().map(<[u8]>::to_vec);
        let (xid, pid, backend_start, crashes) = (text()?, text()?, text()?, text()?);
        let string = |bytes: Vec<u8>| String::from_utf8(bytes).ok();
        Some(Identity {
            xid: string(xid)?,
            backend: Backend { pid: i32::from_be_bytes(pid.try_into().ok()?), start: string(backend_start)? },
            crashes: string(crashes)?,
        })
    }
}

impl Backend {
    /// Makes settings as [`settle`] does, and asks what the backend is known by.
    pub(super) fn settle() -> String {
        format!(
            "SELECT ({}), pg_backend_pid(), \
             (SELECT extract(epoch FROM backend_start)::text FROM pg_stat_activity WHERE pid = pg_backend_pid())",
            settle()
        )
    }

    /// Reads the answer of [`settle`](Self::settle).
    pub(super) fn read(answer: &tokio_postgres::Row) -> Option<Self> {
        Some(Backend { pid: answer.try_get(1).ok()?, start: answer.try_get(2).ok()? })
    }
}

/// Ends the backend and tells what became of its transaction.
pub(crate) async fn fate(pool: &Pool, identity: &Identity) -> Result<Fate> {
    let mut session = Session::open(pool, None).await?;
    end_backend(&mut session, &identity.backend).await?;
    let sql = format!(
        "SELECT CASE WHEN pg_is_in_recovery() OR {CRASHES} <> $1 THEN 'undecided' \
         ELSE coalesce(pg_xact_status($2::text::xid8), 'undecided') END"
    );
    let (answer, _) = session.run(&sql, &[&identity.crashes, &identity.xid]).await?;
    let status = if answer.is_empty() { None } else { answer.row(0).next().flatten() };
    Ok(match status {
        Some(b"committed") => Fate::Committed,
        Some(b"aborted") => Fate::RolledBack,
        // In progress without a backend: a prepared transaction of somebody's, not ours.
        _ => Fate::Undecided,
    })
}

/// Ends the backend, and waits until it is gone: its locks are free then, and nothing it had read can still
/// take effect.
pub(super) async fn end_backend(session: &mut Session<'_>, backend: &Backend) -> Result<()> {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE pid = $1 AND extract(epoch FROM backend_start)::text = $2";
    let mut pause = Duration::from_millis(1);
    loop {
        let (living, _) = session.run(sql, &[&backend.pid, &backend.start]).await?;
        if living.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}
