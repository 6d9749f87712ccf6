//! A transaction per chunk, one after the other. The first failure stops the run; what was committed stays.

use super::{Lane, Runner};
use crate::config::BatchConfig;
use crate::error::Result;
use crate::source::{Chunks, Limits};

pub(super) fn limits(config: &BatchConfig) -> Limits {
    Limits { rows: config.chunk_rows(), bytes: BatchConfig::CHUNK_BYTES }
}

pub(super) async fn run(chunks: &mut Chunks<'_>, runner: &mut Runner<'_>) -> Result<()> {
    let Some(first) = chunks.next().await? else { return Ok(()) };
    match runner {
        Runner::Pool(pool) if chunks.may_have_more() => Lane::new(pool.clone(), None).run(first, chunks).await,
        _ => {
            runner.run(first).await?;
            while let Some(chunk) = chunks.next().await? {
                runner.run(chunk).await?;
            }
            Ok(())
        }
    }
}
