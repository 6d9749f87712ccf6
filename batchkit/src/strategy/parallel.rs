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
use crate::source::{Chunks, Limits};

/// Fewer rows than that are not worth another worker's connection and transaction.
const LEAST_ROWS: usize = 5_000;

/// Chunks that are as large as may be, and of one size: as many as all workers have the same number of.
pub(super) fn limits(limits: Limits, workers: usize, rows: Option<usize>) -> Limits {
    let Some(rows) = rows else { return limits };
    let rounds = rows.div_ceil(limits.rows.saturating_mul(workers)).max(1);
    let each = rows.div_ceil(rounds.saturating_mul(workers));
    Limits { rows: each.max(LEAST_ROWS).min(limits.rows), ..limits }
}

pub(super) async fn run(workers: usize, chunks: &mut Chunks<'_>, runner: &mut Runner<'_>) -> Result<()> {
    let Runner::Pool(pool) = &*runner else { return Err(refused_within()) };
    let pool = pool.clone();
    let mut first = chunks.next().await?;
    if let Some(only) = first.take_if(|_| !chunks.may_have_more()) {
        // Right here, as by the other strategies: a task would be handed to another thread, which takes as long as a
        // round trip to a server nearby.
        return runner.run(only).await;
    }
    let mut running = FuturesUnordered::new();
    let mut stopped = None;
    // The rows behind the others go one chunk after the other: they may share keys among themselves.
    for places in [workers, 1] {
        loop {
            while running.len() < places && stopped.is_none() {
                let next = match first.take() {
                    Some(first) => Ok(Some(first)),
                    None => chunks.next().await,
                };
                match next {
                    // Dropping the handle, as a dropped call does, lets the task go on to its end.
                    Ok(Some(chunk)) => running.push(pool.start(chunk)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_workers_have_the_same_number_of_chunks() {
        let rows = |workers, rows| limits(Limits { rows: 100_000, bytes: 1 << 20 }, workers, rows).rows;
        assert_eq!(rows(2, Some(100_000)), 50_000);
        assert_eq!(rows(2, Some(300_000)), 75_000);
        assert_eq!(rows(4, Some(30_000)), 7_500);
        assert_eq!(rows(4, Some(1_000)), LEAST_ROWS);
        assert_eq!((rows(2, Some(0)), rows(2, None)), (LEAST_ROWS, 100_000));
    }
}
