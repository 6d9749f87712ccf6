//! What became of a transaction whose connection broke: its backend is ended, then the server is asked.
//!
//! The order matters: as long as the old backend lives, a COMMIT that is still on its way could take effect
//! behind an answer. Once it is gone the answer is final, on the primary and unless the server has crashed
//! in between: then transaction ids may have been given out again.

use std::time::Duration;

use deadpool_postgres::Pool;

use super::client::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::wire::EncodedRows;

/// A process of the server's that works for us. Process ids are given out again: its start tells it from others.
#[derive(Debug, Clone)]
struct Backend {
    pid: i32,
    start: String,
}

/// How a transaction can be found again.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Unknown where the current role may not see whose it is: that of a pool that has changed its role.
    backend: Option<Backend>,
    xid: String,
    crashes: String,
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

/// Makes the settings of a transaction (`$1` has their names, `$2` their values), and sets its mark, `$3`.
const SETTLE: &str = "SELECT (SELECT count(set_config(s.name, s.value, true)) \
                      FROM unnest($1::text[], $2::text[]) AS s (name, value)), pg_try_advisory_xact_lock_shared($3)";

/// The first statement of a transaction; one that `writes` tells what it can be found by.
pub(super) fn settle(writes: bool) -> String {
    if !writes {
        return SETTLE.to_owned();
    }
    format!(
        "{SETTLE}, pg_backend_pid(), \
         (SELECT extract(epoch FROM backend_start)::text FROM pg_stat_activity WHERE pid = pg_backend_pid()), \
         pg_current_xact_id()::text, {CRASHES}"
    )
}

impl Backend {
    /// Reads the answer of [`settle`].
    fn read(answer: &EncodedRows) -> Option<Self> {
        let pid = field(answer, 2)?.try_into().ok().map(i32::from_be_bytes)?;
        Some(Backend { pid, start: text(answer, 3)? })
    }
}

impl Identity {
    /// Reads the answer of [`settle`].
    pub(super) fn read(answer: &EncodedRows) -> Option<Self> {
        Some(Identity { backend: Backend::read(answer), xid: text(answer, 4)?, crashes: text(answer, 5)? })
    }
}

fn field(answer: &EncodedRows, at: usize) -> Option<&[u8]> {
    if answer.is_empty() { None } else { answer.row(0).nth(at).flatten() }
}

fn text(answer: &EncodedRows, at: usize) -> Option<String> {
    String::from_utf8(field(answer, at)?.to_vec()).ok()
}

/// Ends the backend and tells what became of its transaction.
pub(crate) async fn fate(pool: &Pool, identity: &Identity) -> Result<Fate> {
    let session = Session::open(pool, None).await?;
    if let Some(backend) = &identity.backend {
        end(&session, backend).await?;
    }
    let sql = format!(
        "SELECT CASE WHEN pg_is_in_recovery() OR {CRASHES} <> $1 THEN 'undecided' \
         ELSE coalesce(pg_xact_status($2::text::xid8), 'undecided') END"
    );
    let (answer, _) = session.run(&sql, &[&identity.crashes, &identity.xid]).await?;
    Ok(match field(&answer, 0) {
        // Nobody could end it; it may end by itself.
        Some(b"in progress") if identity.backend.is_none() => {
            return Err(Error::new(ErrorKind::Connection, "the transaction is still in progress"));
        }
        Some(b"committed") => Fate::Committed,
        Some(b"aborted") => Fate::RolledBack,
        // In progress without a backend: a prepared transaction of somebody's, not ours.
        _ => Fate::Undecided,
    })
}

/// Ends the backend, and waits until it is gone: its locks are free then, and nothing it had read can still
/// take effect.
async fn end(session: &Session<'_>, backend: &Backend) -> Result<()> {
    let mut pause = Duration::from_millis(1);
    while terminate(session, backend).await? {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
    Ok(())
}

/// Tells a backend to end; whether it was still there.
async fn terminate(session: &Session<'_>, backend: &Backend) -> Result<bool> {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE pid = $1 AND extract(epoch FROM backend_start)::text = $2";
    let (living, _) = session.run(sql, &[&backend.pid, &backend.start]).await?;
    Ok(!living.is_empty())
}
