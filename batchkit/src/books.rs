//! The books of a call that its chunks share: each books what became of it in its own task, so that they are
//! true even when the call itself was dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::error::{ErrorKind, Result};
use crate::ledger::Ledger;
use crate::metrics::rate;
use crate::observe::{Ending, Observation};
use crate::reject::{Reject, RejectSink};
use crate::report::{Outcome, PostFailure, Report};
use crate::retry::Ran;
use crate::session::{Graph, StoredRow};
use crate::source::{Chunk, Positions};
use crate::stored::StoredRows;
use crate::wire::EncodedRows;

/// The shared books.
#[derive(Debug)]
pub(crate) struct Books {
    /// `None` once they are closed.
    ledger: Mutex<Option<Ledger>>,
    closed: Mutex<Option<Report>>,
    sink: RejectSink,
    /// Who is told when all has ended; `None` once it was.
    observation: Mutex<Option<Observation>>,
    log_progress: bool,
    tracked: bool,
    state: Mutex<State>,
    /// Tells that something has ended.
    ended: Notify,
}

/// What is still under way.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// How many chunks are, and how much of what works up their rows.
    works: usize,
    /// Whether the call has ended or was dropped.
    is_over: bool,
}

impl State {
    /// Whether nothing of a call that has ended is under way any longer.
    fn is_settled(self) -> bool {
        self.is_over && self.works == 0
    }
}

impl Books {
    /// Empty books. Rejects go to `sink`.
    pub(crate) fn new(
        ledger: Ledger,
        sink: RejectSink,
        observation: Observation,
        log_progress: bool,
        tracker: Option<&Tracker>,
    ) -> Arc<Self> {
        let books = Arc::new(Books {
            ledger: Mutex::new(Some(ledger)),
            closed: Mutex::default(),
            sink,
            observation: Mutex::new(Some(observation)),
            log_progress,
            tracked: tracker.is_some(),
            state: Mutex::default(),
            ended: Notify::new(),
        });
        if let Some(tracker) = tracker {
            *lock(&tracker.0) = Some(Arc::clone(&books));
        }
        books
    }

    fn with<T: Default>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        lock(&self.ledger).as_mut().map(change).unwrap_or_default()
    }

    /// Books rows that are not sent.
    pub(crate) fn book(&self, positions: &Positions, outcome: Outcome) {
        self.with(|ledger| ledger.book(positions, outcome));
    }

    /// Books rows that were turned away before they were sent.
    pub(crate) fn unsent(&self, rejects: &[Reject]) -> Result<()> {
        let booked = lock(&self.ledger).as_mut().map_or(Ok(()), |ledger| ledger.unsent(rejects));
        // The caller's code runs without the lock: it may look at the books.
        self.sink.take(rejects);
        booked
    }

    /// Books that a chunk is tried again in other parts.
    pub(crate) fn retried(&self, retries: u32) {
        self.with(|ledger| ledger.retried(retries));
    }

    /// Books what became of a chunk.
    pub(crate) fn ran(&self, chunk: &Chunk, ran: Ran) -> Result<()> {
        self.retried(ran.retries);
        let answer = match ran.result {
            Ok(answer) => answer,
            Err(error) => {
                let outcome = match error.kind() {
                    ErrorKind::CommitUnknown => Outcome::Unknown,
                    _ if error.is_not_begun() => Outcome::NotAttempted,
                    _ => Outcome::Failed,
                };
                self.book(&chunk.positions, outcome);
                return Err(error.of_rows(chunk.ranges()).in_chunk(chunk.index));
            }
        };
        let rejects = self.with(|ledger| ledger.committed(chunk, answer));
        if self.log_progress {
            self.tell_progress(chunk, rejects.len());
        }
        let booked = lock(&self.ledger).as_mut().map_or(Ok(()), |ledger| ledger.reject(&rejects));
        self.sink.take(&rejects);
        booked
    }

    /// Tells of a chunk that is in, and how far the call has come with it.
    fn tell_progress(&self, chunk: &Chunk, rejected: usize) {
        let (done, elapsed) = self.with(|ledger| (ledger.settled(), ledger.elapsed()));
        let rows_per_second = rate(done, elapsed).round();
        let (chunk, rows) = (chunk.index, chunk.positions.len());
        tracing::info!(chunk, rows, rejected, done, rows_per_second, ?elapsed, "chunk is in");
    }

    /// The stored rows of a chunk, or of all, with their input positions.
    pub(crate) fn stored(&self, positions: Option<&Positions>) -> Vec<(usize, StoredRow)> {
        self.with(|ledger| ledger.stored(positions))
    }

    /// Books what the caller's post-processing dropped and failed at.
    pub(crate) fn post_processed(&self, dropped: u64, failures: Vec<PostFailure>) {
        self.with(|ledger| ledger.post_processed(dropped, failures));
    }

    /// A chunk, or the caller's work on one, is under way as long as the answer lives.
    pub(crate) fn start_work(self: &Arc<Self>) -> UnderWay {
        lock(&self.state).works += 1;
        UnderWay(Arc::clone(self))
    }

    /// The call has ended, or was dropped.
    pub(crate) fn end_call(&self) {
        self.end(|state| state.is_over = true);
    }

    /// Notes that something has ended.
    fn end(&self, change: impl FnOnce(&mut State)) {
        let mut state = lock(&self.state);
        change(&mut state);
        self.tell_of_dropped(*state);
        drop(state);
        self.ended.notify_waiters();
    }

    /// Counts a call that was dropped, when its last chunk has ended: before anybody who waits for that is told.
    fn tell_of_dropped(&self, state: State) {
        if !state.is_settled() {
            return;
        }
        // A call that has ended was told of when its books were closed.
        let observation = lock(&self.observation).take();
        if let Some(observation) = observation {
            observation.end(&self.report(), Ending::Dropped);
        }
    }

    /// What was inserted below the rows.
    pub(crate) fn take_graph(&self) -> Graph {
        self.with(Ledger::take_graph)
    }

    /// The answers to what was asked along, chunk by chunk, if it was with all of them.
    pub(crate) fn take_along(&self) -> Option<Vec<Vec<Vec<EncodedRows>>>> {
        self.with(Ledger::take_along)
    }

    /// Closes the books of a call that ends so: the report, and the stored rows in input order.
    pub(crate) fn close(&self, ending: Ending) -> (Report, StoredRows) {
        let mut closed = lock(&self.closed);
        let (report, rows) = lock(&self.ledger).take().map(Ledger::close).unwrap_or_default();
        if self.tracked {
            *closed = Some(report.clone());
        }
        drop(closed);
        let observation = lock(&self.observation).take();
        if let Some(observation) = observation {
            observation.end(&report, ending);
        }
        self.end_call();
        (report, rows)
    }

    /// What is booked by now.
    fn report(&self) -> Report {
        let closed = lock(&self.closed);
        if let Some(report) = &*closed {
            return report.clone();
        }
        lock(&self.ledger).clone().map(|ledger| ledger.close().0).unwrap_or_default()
    }
}

/// A chunk, or the caller's work on one, that is under way.
pub(crate) struct UnderWay(Arc<Books>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.end(|state| state.works -= 1);
    }
}

/// Looks into the books of a call while it runs, and when it was dropped: which rows are in, which are not.
///
/// ```no_run
/// # #[derive(batchkit::BatchModel)] #[batch(table = "products")] struct Product { #[batch(key)] id: i64 }
/// # async fn run(products: batchkit::BatchOperations<Product>, rows: Vec<Product>) {
/// use batchkit::Tracker;
///
/// let tracker = Tracker::new();
/// tokio::select! {
///     result = products.batch_insert(&rows).report().track(&tracker) => drop(result),
///     () = std::future::pending() => {} // a shutdown signal, say
/// }
/// // What was being committed when the call was dropped ends first.
/// let report = tracker.settled().await.expect("the call was started");
/// println!("{} rows are in: {:?}", report.inserted(), report.committed());
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Tracker(Arc<Mutex<Option<Arc<Books>>>>);

impl Tracker {
    /// A tracker of no call yet: hand it to [`Call::track`](crate::Call::track).
    #[must_use]
    pub fn new() -> Self {
        Tracker::default()
    }

    /// What is booked by now; `None` before the call has begun. Rows that are on their way are not counted yet
    /// (among the outcomes they are "not attempted"), nor are rows that the call has not taken from its input.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        let books = lock(&self.0).clone()?;
        Some(books.report())
    }

    /// Waits until the call has ended, or was dropped and all its chunks have ended, and what of its
    /// post-processing had begun; `None` if it was never begun. Rows that a dropped call had not taken from its input yet are not in the report.
    pub async fn settled(&self) -> Option<Report> {
        let books = lock(&self.0).clone()?;
        loop {
            // Whoever has this is told of what ends from here on, before it is polled too.
            let ended = books.ended.notified();
            if lock(&books.state).is_settled() {
                return Some(books.report());
            }
            ended.await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Entries are made whole under the lock, also if another thread panicked later.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
