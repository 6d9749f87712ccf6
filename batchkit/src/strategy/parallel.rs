//! Chunks over several pooled connections at once.
//!
//! No two chunks have a row of the same key: the source has seen to that. After the first failure no further
//! chunk is started; those on their way end by themselves, and the ledger tells which are in.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::runner::ran;
use super::{Runner, book};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Ledger;
use crate::source::Chunks;

pub(super) async fn run(
    workers: usize,
    chunks: &mut Chunks<'_>,
    runner: &mut Runner<'_>,
    ledger: &mut Ledger,
) -> Result<()> {
    let Runner::Pool(runner) = runner else {
        let what = "Parallel needs connections of its own; a caller's transaction has one: use Chunked there";
        return Err(Error::new(ErrorKind::Config, what));
    };
    let mut running = FuturesUnordered::new();
    let mut stopped = None;
    loop {
        while running.len() < workers && stopped.is_none() {
            match chunks.next() {
                Ok(Some(chunk)) => {
                    let chunk = Arc::new(chunk);
                    let task = runner.start(Arc::clone(&chunk));
                    // Dropping the handle, as a dropped call does, lets the task go on to its end.
                    running.push(async move { (chunk, ran(task.await)) });
                }
                Ok(None) => break,
                Err(error) => stopped = Some(error),
            }
        }
        let Some((chunk, ran)) = running.next().await else { break };
        if let Err(error) = book(&chunk, ran, ledger) {
            stopped.get_or_insert(error);
        }
    }
    stopped.map_or(Ok(()), Err)
}
