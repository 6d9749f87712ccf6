//! One transaction for all rows first; chunks when it fails for a reason that chunking can help.

use std::sync::Arc;

use super::chunked;
use super::{Runner, book, run_one};
use crate::config::BatchConfig;
use crate::error::{ErrorKind, Result};
use crate::ledger::Ledger;
use crate::retry::{Answer, Stage, classify};
use crate::source::Chunks;

pub(super) async fn run(
    config: &BatchConfig,
    chunks: &mut Chunks<'_>,
    runner: &mut Runner<'_>,
    ledger: &mut Ledger,
) -> Result<()> {
    let Some(whole) = chunks.next()? else { return Ok(()) };
    let whole = Arc::new(whole);
    let ran = runner.run(&whole).await;
    let Err(error) = &ran.result else { return book(&whole, ran, ledger) };
    // In chunks the good rows before a bad one go in, and what is too much for one statement is not.
    let answer = classify(error.failure(Stage::Work));
    let helps = matches!(answer, Answer::FindBadRows | Answer::Halve) && error.is_of_the_server();
    let limits = chunked::limits(config);
    if !(helps || error.kind() == ErrorKind::InvalidRow) || whole.rows.len() <= limits.rows {
        return book(&whole, ran, ledger);
    }
    ledger.retried(ran.retries + 1);
    let mut pieces = whole.cut(limits).into_iter();
    while let Some(piece) = pieces.next() {
        if let Err(error) = run_one(piece, runner, ledger).await {
            pieces.for_each(|piece| ledger.not_attempted(&piece.positions));
            return Err(error);
        }
    }
    Ok(())
}
