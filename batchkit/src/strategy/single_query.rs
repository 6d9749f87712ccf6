//! All rows in one transaction, in as few statements as the limits allow: all or nothing.

use super::Runner;
use crate::error::Result;
use crate::source::{Chunks, Limits};

/// One chunk, however large.
pub(super) const LIMITS: Limits = Limits { rows: usize::MAX, bytes: usize::MAX };

pub(super) async fn run(chunks: &mut Chunks<'_>, runner: &mut Runner<'_>) -> Result<()> {
    match chunks.next().await? {
        Some(chunk) => runner.run(chunk).await,
        None => Ok(()),
    }
}
