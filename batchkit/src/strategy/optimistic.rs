//! One transaction for all rows first; chunks when it fails for a reason that chunking can help.

use super::single_query;
use crate::error::{Error, ErrorKind, Result};
use crate::retry::{Answer, Stage, classify};
use crate::source::{Chunk, Chunks, Limits};

use super::Runner;

pub(super) async fn run(chunks: &mut Chunks<'_>, runner: &mut Runner<'_>) -> Result<()> {
    single_query::run(chunks, runner).await
}

/// Whether chunks of this size may do what one of all rows could not: the good rows before a bad one go in, and
/// what is too much for one transaction is not.
pub(crate) fn chunks_help(error: &Error, stage: Stage, whole: &Chunk, limits: Limits) -> bool {
    let answer = classify(error.failure(stage, false));
    let helps = matches!(answer, Answer::FindBadRows | Answer::Halve) && error.can_be_answered();
    let are_smaller = whole.rows.len() > limits.rows || whole.rows.byte_len() > limits.bytes;
    (helps || error.kind() == ErrorKind::Stale) && whole.rows.len() > 1 && are_smaller
}
