//! Chunks one after the other, while the rows of the next ones are made ready and the answers of those before are
//! worked up: three stages that overlap, with a bounded number of chunks between them.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::lane::Ready;
use super::{Lane, Post, Runner};
use crate::books::Books;
use crate::error::Result;
use crate::source::{Chunks, Positions};

/// How many chunks wait between two stages: one is enough to keep the next stage from waiting.
const WAITING: usize = 1;

pub(super) async fn run(chunks: &mut Chunks<'_>, runner: &mut Runner<'_>, post: Option<&Arc<Post>>) -> Result<()> {
    let books = Arc::clone(runner.books());
    let (written, mut to_work_up) = mpsc::channel::<Positions>(WAITING);
    let written = post.map(|_| written);
    let execute = async {
        match runner {
            Runner::Pool(pool) => match chunks.next().await? {
                Some(first) => Lane::new(pool.clone(), written).run(first, chunks).await,
                None => Ok(()),
            },
            Runner::Caller(_) => in_transaction(chunks, runner, &books, written).await,
        }
    };
    let work_up = async {
        while let Some(positions) = to_work_up.recv().await {
            if let Some(post) = post {
                post.run(&books, Some(positions)).await;
            }
        }
    };
    tokio::join!(execute, work_up).0
}

/// The first two stages in the caller's transaction.
async fn in_transaction(
    chunks: &mut Chunks<'_>,
    runner: &mut Runner<'_>,
    books: &Arc<Books>,
    written: Option<mpsc::Sender<Positions>>,
) -> Result<()> {
    let (ready, mut to_run) = mpsc::channel::<Ready>(WAITING);
    let prepare = async {
        while let Some(chunk) = chunks.next().await? {
            if ready.send(Ready::new(chunk, books)).await.is_err() {
                // The next stage has stopped, and tells why.
                break;
            }
        }
        drop(ready);
        Ok(())
    };
    let execute = async {
        while let Some(ready) = to_run.recv().await {
            let Some(chunk) = ready.take() else { continue };
            let positions = chunk.positions.clone();
            runner.run(chunk).await?;
            if let Some(written) = &written {
                // Received until this stage has ended.
                let _ = written.send(positions).await;
            }
        }
        drop((written, to_run));
        Ok(())
    };
    let (prepared, executed) = tokio::join!(prepare, execute);
    let result: Result<()> = executed;
    result.and(prepared)
}
