//! How chunks follow each other. A strategy knows no SQL: it takes chunks from the source, hands them to
//! the runner, and gives what became of them to the ledger.

mod chunked;
mod single_query;

use async_trait::async_trait;

use crate::config::{BatchConfig, ExecutionStrategy};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::session::ChunkAnswer;
use crate::source::{Chunk, Chunks, Limits};

/// Runs one chunk in a transaction of its own, or in the caller's.
#[async_trait]
pub(crate) trait RunChunk: Send {
    /// Does the chunk's work, all of it or nothing.
    async fn run(&mut self, chunk: &Chunk) -> Result<ChunkAnswer>;
}

/// How large the strategy's chunks are.
pub(crate) fn limits(config: &BatchConfig) -> Limits {
    match config.execution_strategy {
        ExecutionStrategy::SingleQuery => single_query::LIMITS,
        ExecutionStrategy::Chunked => chunked::limits(config),
    }
}

/// Runs all chunks. On an error the ledger knows what was done before it.
pub(crate) async fn run(
    strategy: ExecutionStrategy,
    chunks: &mut Chunks<'_>,
    runner: &mut dyn RunChunk,
    ledger: &mut Ledger,
) -> Result<()> {
    match strategy {
        ExecutionStrategy::SingleQuery => single_query::run(chunks, runner, ledger).await,
        ExecutionStrategy::Chunked => chunked::run(chunks, runner, ledger).await,
    }
}

/// Runs one chunk and books what became of it.
async fn run_one(chunk: Chunk, runner: &mut dyn RunChunk, ledger: &mut Ledger) -> Result<()> {
    match runner.run(&chunk).await {
        Ok(answer) => {
            ledger.committed(&chunk, answer);
            Ok(())
        }
        Err(error) => {
            ledger.failed(&chunk);
            Err(error.of_rows(chunk.ranges()).in_chunk(chunk.index))
        }
    }
}
