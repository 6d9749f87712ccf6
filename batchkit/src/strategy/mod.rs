//! How chunks follow each other. A strategy knows no SQL: it takes chunks from the source and hands them to the
//! runner, which books what became of them.

mod chunked;
mod lane;
mod lasting;
mod optimistic;
mod parallel;
mod pipelined;
mod post;
mod runner;
mod single_query;

use std::sync::Arc;

pub(crate) use optimistic::chunks_help;
pub(crate) use parallel::refused_within;
pub(crate) use post::{Function, Post, WorkedUp};
pub(crate) use runner::{InCaller, InPool, Runner};

use lane::Lane;

use crate::books::Books;
use crate::config::{BatchConfig, ExecutionStrategy};
use crate::error::Result;
use crate::source::{Chunks, Limits, Pace, Style};

/// How the strategy's chunks are made, of so many rows if that is known; from `copies_from` rows on they go by COPY into
/// the target, if they do.
pub(crate) fn style(config: &BatchConfig, rows: Option<usize>, turns_away: bool, copies_from: Option<usize>) -> Style {
    use ExecutionStrategy::{Optimistic, Parallel, Pipelined, SingleQuery};
    let strategy = config.execution_strategy;
    let limits = chunked::limits(config);
    let follows = |limits: Limits, far: usize| {
        let (first, pace) = (BatchConfig::WIDE_BYTES, Pace::adaptive(limits));
        let with_wide = |pace: Pace, rows| pace.with_wide(Limits { rows, bytes: first }, BatchConfig::WIDE_FAR_BYTES);
        match copies_from {
            // Wide are rows of which a whole chunk would not go by COPY.
            Some(rows) => {
                with_wide(pace.with_far(Limits { rows, bytes: far }), rows.saturating_mul(first) / limits.bytes)
            }
            None => with_wide(pace, BatchConfig::WIDE_ROWS),
        }
    };
    let pace = match strategy {
        SingleQuery | Optimistic => Pace::fixed(single_query::LIMITS),
        _ if !config.sizes_by_itself() => Pace::fixed(limits),
        Parallel => follows(parallel::limits(limits, config.max_workers, rows), limits.bytes),
        _ => follows(Limits { bytes: BatchConfig::AUTO_BYTES, ..limits }, BatchConfig::FAR_BYTES),
    };
    Style { pace: Arc::new(pace), turns_away, concurrent: strategy == Parallel, ahead: strategy == Pipelined }
}

/// The chunks to fall back to when one of all rows fails.
pub(crate) fn fallback(config: &BatchConfig) -> Option<Limits> {
    (config.execution_strategy == ExecutionStrategy::Optimistic).then(|| chunked::limits(config))
}

/// Runs all chunks. On an error the books know what was done before it.
pub(crate) async fn run(
    config: &BatchConfig,
    chunks: &mut Chunks<'_>,
    runner: &mut Runner<'_>,
    post: Option<&Arc<Post>>,
) -> Result<()> {
    match config.execution_strategy {
        ExecutionStrategy::SingleQuery => single_query::run(chunks, runner).await,
        ExecutionStrategy::Chunked => chunked::run(chunks, runner).await,
        ExecutionStrategy::Parallel => Box::pin(parallel::run(config.max_workers, chunks, runner)).await,
        ExecutionStrategy::Pipelined => Box::pin(pipelined::run(chunks, runner, post)).await,
        ExecutionStrategy::Optimistic => optimistic::run(chunks, runner).await,
    }
}

/// Works up what all chunks have answered, where that was not done behind each.
pub(crate) async fn work_up(config: &BatchConfig, books: &Arc<Books>, post: Option<&Arc<Post>>) {
    if let Some(post) = post.filter(|_| config.execution_strategy != ExecutionStrategy::Pipelined) {
        post.run(books, None).await;
    }
}
