//! How chunks follow each other. A strategy knows no SQL: it takes chunks from the source, hands them to
//! the runner, and gives what became of them to the ledger.

mod chunked;
mod optimistic;
mod parallel;
mod runner;
mod single_query;

use std::sync::Arc;

pub(crate) use runner::{InCaller, InPool, Runner};

use crate::config::{BatchConfig, ExecutionStrategy};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::retry::Ran;
use crate::source::{Chunk, Chunks, Limits};

/// How large the strategy's chunks are.
pub(crate) fn limits(config: &BatchConfig) -> Limits {
    match config.execution_strategy {
        ExecutionStrategy::SingleQuery | ExecutionStrategy::Optimistic => single_query::LIMITS,
        ExecutionStrategy::Chunked | ExecutionStrategy::Parallel => chunked::limits(config),
    }
}

/// Runs all chunks. On an error the ledger knows what was done before it.
pub(crate) async fn run(
    config: &BatchConfig,
    chunks: &mut Chunks<'_>,
    runner: &mut Runner<'_>,
    ledger: &mut Ledger,
) -> Result<()> {
    match config.execution_strategy {
        ExecutionStrategy::SingleQuery => single_query::run(chunks, runner, ledger).await,
        ExecutionStrategy::Chunked => chunked::run(chunks, runner, ledger).await,
        ExecutionStrategy::Parallel => parallel::run(config.max_workers, chunks, runner, ledger).await,
        ExecutionStrategy::Optimistic => optimistic::run(config, chunks, runner, ledger).await,
    }
}

/// Runs one chunk and books what became of it.
async fn run_one(chunk: Chunk, runner: &mut Runner<'_>, ledger: &mut Ledger) -> Result<()> {
    let chunk = Arc::new(chunk);
    let ran = runner.run(&chunk).await;
    book(&chunk, ran, ledger)
}

/// Books what became of a chunk.
fn book(chunk: &Chunk, ran: Ran, ledger: &mut Ledger) -> Result<()> {
    ledger.retried(ran.retries);
    match ran.result {
        Ok(answer) => ledger.committed(chunk, answer),
        Err(error) => {
            ledger.failed(chunk);
            Err(error.of_rows(chunk.ranges()).in_chunk(chunk.index))
        }
    }
}
