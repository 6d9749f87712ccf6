//! The caller's own work on stored rows, behind their chunk's COMMIT.

use std::sync::Arc;

use crate::books::Books;
use crate::report::PostFailure;
use crate::session::StoredRow;
use crate::source::Positions;
use crate::wire::ColumnType;

/// What the caller's code made of some rows.
#[derive(Debug, Default)]
pub(crate) struct WorkedUp {
    /// How many it dropped.
    pub(crate) dropped: u64,
    /// At which it failed.
    pub(crate) failures: Vec<PostFailure>,
}

/// The caller's code: rows with their input positions, and the types to decode them with.
pub(crate) type Function = dyn Fn(Vec<(usize, StoredRow)>, &[ColumnType]) -> WorkedUp + Send + Sync;

/// The caller's own work on stored rows.
pub(crate) struct Post {
    pub(crate) function: Arc<Function>,
    pub(crate) types: Arc<[ColumnType]>,
}

impl Post {
    /// Works up the rows of a chunk that is in, or all of the call's, beside whatever else the runtime does.
    pub(super) async fn run(self: &Arc<Self>, books: &Arc<Books>, positions: Option<Positions>) {
        let (post, books) = (Arc::clone(self), Arc::clone(books));
        let under_way = books.start_work();
        let done = tokio::task::spawn_blocking(move || {
            let done = (post.function)(books.stored(positions.as_ref()), &post.types);
            books.post_processed(done.dropped, done.failures);
            drop(under_way);
        });
        if let Err(Ok(panic)) = done.await.map_err(tokio::task::JoinError::try_into_panic) {
            // As if the caller's code had run right here.
            std::panic::resume_unwind(panic);
        }
    }
}
