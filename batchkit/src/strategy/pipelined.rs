//! Chunks one after the other, while the rows of the next ones are made ready and the answers of those before are
//! worked up: three stages that overlap, with a bounded number of chunks between them.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Post, Runner};
use crate::books::Books;
use crate::error::Result;
use crate::report::Outcome;
use crate::source::{Chunk, Chunks};

/// How many chunks wait between two stages: one is enough to keep the next stage from waiting.
const WAITING: usize = 1;

pub(super) async fn run(chunks: &mut Chunks<'_>, runner: &mut Runner<'_>, post: Option<&Arc<Post>>) -> Result<()> {
    let books = Arc::clone(runner.books());
    let (ready, mut to_run) = mpsc::channel::<Ready>(WAITING);
    let (written, mut to_work_up) = mpsc::channel::<Vec<usize>>(WAITING);
    let prepare = async {
        while let Some(chunk) = chunks.next().await? {
            let chunk = Ready { chunk: Some(chunk), books: &books };
            if ready.send(chunk).await.is_err() {
                // The next stage has stopped, and tells why.
                break;
            }
        }
        drop(ready);
        Ok(())
    };
    let execute = async {
        while let Some(mut ready) = to_run.recv().await {
            let Some(chunk) = ready.chunk.take() else { continue };
            let positions = post.map(|_| chunk.positions.clone());
            runner.run(chunk).await?;
            if let Some(positions) = positions {
                // Received until this stage has ended.
                let _ = written.send(positions).await;
            }
        }
        drop((written, to_run));
        Ok(())
    };
    let work_up = async {
        while let Some(positions) = to_work_up.recv().await {
            if let Some(post) = post {
                post.run(&books, Some(positions)).await;
            }
        }
        Ok(())
    };
    let (prepared, executed, worked_up) = tokio::join!(prepare, execute, work_up);
    let result: Result<()> = executed;
    result.and(prepared).and(worked_up)
}

/// A chunk between two stages. One that never gets to the next was not attempted.
struct Ready<'b> {
    chunk: Option<Chunk>,
    books: &'b Arc<Books>,
}

impl Drop for Ready<'_> {
    fn drop(&mut self) {
        if let Some(chunk) = &self.chunk {
            self.books.book(&chunk.positions, Outcome::NotAttempted);
        }
    }
}
