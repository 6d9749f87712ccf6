//! Chunks over several pooled connections at once.
//!
//! No two chunks that run at the same time have a row of the same key: of rows that share one, all but the first
//! wait until the others are through. Within a chunk, rows are in the order of their keys. After the first
//! failure no further chunk is started; those on their way end by themselves, and the books tell which are in.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::Runner;
use super::runner::finished;
use crate::error::{Error, ErrorKind, Result};
use crate::source::Chunks;

pub(super) async fn run(workers: usize, chunks: &mut Chunks<'_>, runner: &mut Runner<'_>) -> Result<()> {
    let Runner::Pool(runner) = runner else {
        return Err(refused_within());
    };
    let mut running = FuturesUnordered::new();
    let mut stopped = None;
    // The rows behind the others go one chunk after the other: they may share keys among themselves.
    for places in [workers, 1] {
        loop {
            while running.len() < places && stopped.is_none() {
                match chunks.next().await {
                    // Dropping the handle, as a dropped call does, lets the task go on to its end.
                    Ok(Some(chunk)) => running.push(runner.start(chunk)),
                    Ok(None) => break,
                    Err(error) => stopped = Some(error),
                }
            }
            let Some(answer) = running.next().await else { break };
            if let Err(error) = finished(answer) {
                stopped.get_or_insert(error);
            }
        }
        if stopped.is_some() || !chunks.start_last() {
            break;
        }
    }
    stopped.map_or(Ok(()), Err)
}

/// The error of a call inside of a caller's transaction.
pub(crate) fn refused_within() -> Error {
    let what = "Parallel needs connections of its own; a caller's transaction has one: use Chunked there";
    Error::new(ErrorKind::Config, what)
}
