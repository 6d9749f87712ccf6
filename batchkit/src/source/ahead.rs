//! Rows made ready on other cores before their chunk's turn, in their order, a bounded number of them.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::task::JoinHandle;

use super::chunks::Limits;
use super::feed::{Feed, Layout, Piece};
use crate::error::{Error, ErrorKind, Result};
use crate::wire::{RowForm, RowsBuilder};

/// The encoding of rows on other cores.
pub(super) struct Ahead {
    layout: Arc<Layout>,
    /// How many jobs there are at once.
    cores: usize,
    /// How many rows a job has.
    rows: usize,
    jobs: FuturesOrdered<JoinHandle<Piece>>,
    /// A piece that the last chunk had no room for.
    held: Option<Piece>,
    /// How many rows the jobs under way have.
    taken: usize,
}

/// The most rows of one job: enough to be worth a task, few enough to share out.
const JOB_ROWS: usize = 1_000;

impl Ahead {
    pub(super) fn new(layout: Arc<Layout>, chunk_rows: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let rows = chunk_rows.div_ceil(cores).clamp(1, JOB_ROWS);
        Ahead { layout, cores, rows, jobs: FuturesOrdered::new(), held: None, taken: 0 }
    }

    /// The next rows in order, for this chunk; `None` at the end, or when they are more than there is room for in one
    /// that has rows.
    pub(super) async fn next(
        &mut self,
        feed: &mut dyn Feed,
        room: Limits,
        chunk: &RowsBuilder,
    ) -> Result<Option<Piece>> {
        let piece = match self.held.take() {
            Some(piece) => Some(piece),
            None => self.encoded(feed, chunk.form()).await?,
        };
        match piece {
            Some(piece) if chunk.len() > 0 && (piece.rows.len() > room.rows || piece.rows.byte_len() > room.bytes) => {
                self.held = Some(piece);
                Ok(None)
            }
            piece => {
                self.taken -= piece.as_ref().map_or(0, |piece| piece.fates.len());
                Ok(piece)
            }
        }
    }

    /// The next job's rows, in this form if it is begun now; as many jobs as there are cores are kept going.
    async fn encoded(&mut self, feed: &mut dyn Feed, form: &RowForm) -> Result<Option<Piece>> {
        while self.jobs.len() < self.cores {
            let Some((rows, job)) = feed.take_job(self.rows) else { break };
            self.taken += rows;
            let (layout, into) = (Arc::clone(&self.layout), self.layout.builder(form));
            self.jobs.push_back(tokio::task::spawn_blocking(move || job(&layout, into)));
        }
        match self.jobs.next().await.transpose() {
            Ok(piece) => Ok(piece),
            Err(error) => match error.try_into_panic() {
                // As if the caller's code had run right here.
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::new(ErrorKind::Connection, "the runtime is shutting down")),
            },
        }
    }

    /// The number of rows under way.
    pub(super) fn under_way(&self) -> usize {
        self.taken
    }

    /// Gives up what is under way; the number of its rows.
    pub(super) fn abandon(&mut self) -> usize {
        self.jobs.clear();
        self.held = None;
        std::mem::take(&mut self.taken)
    }
}
