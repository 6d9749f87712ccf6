//! All rows in one transaction, in as few statements as the limits allow: all or nothing.

use super::{Runner, run_one};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::source::{Chunks, Limits};

/// One chunk, however large.
pub(super) const LIMITS: Limits = Limits { rows: usize::MAX, bytes: usize::MAX };

pub(super) async fn run(chunks: &mut Chunks<'_>, runner: &mut Runner<'_>, ledger: &mut Ledger) -> Result<()> {
    match chunks.next()? {
        Some(chunk) => run_one(chunk, runner, ledger).await,
        None => Ok(()),
    }
}
