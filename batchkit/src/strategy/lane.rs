//! Chunks one after the other on connections of the pool, in a task that a dropped call does not cut short: the COMMIT
//! of each leaves with the BEGIN of the next one, if that is ready by then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{SemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::InPool;
use super::runner::{Begun, finished};
use crate::books::Books;
use crate::error::Result;
use crate::observe;
use crate::report::Outcome;
use crate::retry::{FirstTry, Policy, Ran, Shared, connect};
use crate::session::{Broken, Next, Ridden, Uncommitted, Work, begin_chunk};
use crate::source::{Chunk, Chunks, Positions};
use crate::wire::EncodedRows;

/// How many chunks wait for their turn: one is enough to keep the server from waiting.
const WAITING: usize = 1;

/// The way of chunks that go one after the other.
pub(super) struct Lane {
    sender: mpsc::Sender<Ready>,
    books: Arc<Books>,
    task: JoinHandle<Result<()>>,
}

impl Lane {
    /// A lane of this runner. Where somebody wants to be told of them, the positions of each chunk that is in are.
    pub(super) fn new(runner: InPool, written: Option<mpsc::Sender<Positions>>) -> Self {
        let (sender, chunks) = mpsc::channel(WAITING);
        let books = Arc::clone(&runner.books);
        let under_way = books.start_work();
        let run = async move {
            let result = run(runner, chunks, written).await;
            drop(under_way);
            result
        };
        Lane { sender, books, task: tokio::spawn(run.in_current_span()) }
    }

    /// Runs this chunk and all that follow. The rows of the next one are made ready while the server works on one.
    pub(super) async fn run(self, first: Chunk, chunks: &mut Chunks<'_>) -> Result<()> {
        let Lane { sender, books, task } = self;
        let mut first = Some(first);
        let made = async {
            // No more rows are taken than there is a place for. A lane that has stopped tells why.
            while let Ok(place) = sender.reserve().await {
                let chunk = match first.take() {
                    Some(first) => Some(first),
                    None => chunks.next().await?,
                };
                let Some(chunk) = chunk else { break };
                place.send(Ready::new(chunk, &books));
                // On a runtime of one thread, what was sent is begun before the next rows are made ready.
                tokio::task::yield_now().await;
            }
            Ok(())
        };
        let made: Result<()> = made.await;
        // What was sent goes to its end, also where the rows behind it cannot be made ready.
        drop(sender);
        finished(task.await).and(made)
    }
}

/// A chunk that waits for its turn. One that never gets it was not attempted.
pub(super) struct Ready {
    chunk: Option<Chunk>,
    books: Arc<Books>,
}

impl Ready {
    pub(super) fn new(chunk: Chunk, books: &Arc<Books>) -> Self {
        Ready { chunk: Some(chunk), books: Arc::clone(books) }
    }

    /// Its turn has come.
    pub(super) fn take(mut self) -> Option<Chunk> {
        self.chunk.take()
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        if let Some(chunk) = &self.chunk {
            self.books.book(&chunk.positions, Outcome::NotAttempted);
        }
    }
}

/// A chunk that was begun. Should its task end half-way, nobody knows what became of it.
struct UnderWay {
    /// There until its end.
    chunk: Chunk,
    /// Whether it is booked, or somebody else's to book.
    has_ended: AtomicBool,
    books: Arc<Books>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !*self.has_ended.get_mut() {
            self.books.book(&self.chunk.positions, Outcome::Unknown);
        }
    }
}

impl UnderWay {
    /// It is booked.
    fn booked(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// The chunk, of which it is known what became.
    fn end(mut self) -> Chunk {
        self.booked();
        let none = Chunk { index: self.chunk.index, rows: EncodedRows::default(), positions: Positions::default() };
        std::mem::replace(&mut self.chunk, none)
    }
}

/// The spans of a chunk and of its first try.
#[derive(Clone)]
struct Spans {
    chunk: Span,
    attempt: Span,
}

impl Spans {
    fn of(chunk: &Chunk) -> Self {
        let of_chunk = observe::chunk_span(chunk.index, chunk.rows.len());
        let attempt = of_chunk.in_scope(|| observe::attempt_span(1));
        Spans { chunk: of_chunk, attempt }
    }

    /// A chunk whose first try ended so.
    fn begun(self, work: Arc<Work>, tried: Box<Broken>) -> Begun {
        Begun { first_try: FirstTry { work, tried: Err(tried), span: self.attempt }, span: self.chunk }
    }
}

/// A chunk whose work is done, and that is not committed yet.
struct Standing<'p> {
    chunk: UnderWay,
    open: Uncommitted,
    work: Arc<Work>,
    spans: Spans,
    /// A worker's, for the connection.
    place: Option<SemaphorePermit<'p>>,
}

/// A chunk that did not get through at its first try, or had none.
type Unfinished = (Chunk, Option<Begun>);

/// Where the chunks run.
struct Track<'p> {
    runner: InPool,
    shared: &'p Shared,
    /// Who is told of the chunks that are in.
    written: Option<mpsc::Sender<Positions>>,
}

async fn run(
    runner: InPool,
    mut chunks: mpsc::Receiver<Ready>,
    written: Option<mpsc::Sender<Positions>>,
) -> Result<()> {
    let shared = Arc::clone(&runner.shared);
    let mut track = Track { runner, shared: &shared, written };
    let mut standing: Option<Standing<'_>> = None;
    loop {
        let ready = match &standing {
            None => match chunks.recv().await {
                Some(ready) => Some(ready),
                None => return Ok(()),
            },
            // That ends the call: the next chunk asks for a connection of its own, and is told so.
            Some(_) if shared.pool.is_closed() => None,
            // What is not ready by now is not waited for. Of a call that was dropped, nothing more is begun.
            Some(_) => chunks.try_recv().ok().filter(|_| !shared.policy.is_abandoned()),
        };
        let chunk = ready.and_then(Ready::take);
        standing = match (standing.take(), chunk) {
            (Some(before), Some(chunk)) => track.ride(before, chunk).await?,
            (Some(before), None) => {
                track.commit(before).await?;
                None
            }
            (None, Some(chunk)) => track.start(chunk).await?,
            (None, None) => None,
        };
    }
}

impl<'p> Track<'p> {
    /// Starts a chunk.
    async fn start(&mut self, chunk: Chunk) -> Result<Option<Standing<'p>>> {
        let work = self.shared.works.current();
        // Bad rows are looked for in transactions of their own.
        if !work.writes || self.shared.policy.rejects {
            self.finish((chunk, None)).await?;
            return Ok(None);
        }
        let (spans, started) = (Spans::of(&chunk), Instant::now());
        let chunk = self.under_way(chunk);
        let worked = async {
            let (session, place) = connect(&self.shared.pool, &self.shared.policy).await?;
            Ok((begin_chunk(session, self.next(&work, &chunk.chunk.rows)).await?, place))
        };
        match worked.instrument(spans.attempt.clone()).await {
            Ok((open, place)) => {
                self.took(&chunk, started);
                Ok(Some(Standing { chunk, open, work, spans, place }))
            }
            Err(broken) => {
                self.finish((chunk.end(), Some(spans.begun(work, broken)))).await?;
                Ok(None)
            }
        }
    }

    /// Commits a chunk by itself.
    async fn commit(&mut self, before: Standing<'p>) -> Result<()> {
        let Standing { chunk, open, work, spans, place } = before;
        let committed = open.commit(self.shared.policy.deadline).instrument(spans.attempt.clone()).await;
        // Another try waits for it.
        drop(place);
        let chunk = chunk.end();
        match committed {
            Ok(answer) => {
                self.runner.books.ran(&chunk, Ran::once(Ok(answer)))?;
                self.tell(chunk.positions).await;
                Ok(())
            }
            Err(broken) => self.finish((chunk, Some(spans.begun(work, broken)))).await,
        }
    }

    /// Commits a chunk, and starts the next one with that.
    async fn ride(&mut self, before: Standing<'p>, chunk: Chunk) -> Result<Option<Standing<'p>>> {
        let written = self.written.clone();
        let place_to_tell = match written.as_ref().map(mpsc::Sender::try_reserve) {
            None => None,
            Some(Ok(place)) => Some(place),
            // The caller's code is behind, and may want a connection, or rows that are locked: while it is waited for,
            // no transaction is open.
            Some(Err(_)) => {
                if let Err(error) = self.commit(before).await {
                    self.runner.books.book(&chunk.positions, Outcome::NotAttempted);
                    return Err(error);
                }
                return self.start(chunk).await;
            }
        };
        let Standing { chunk: first, open, work: first_work, spans: first_spans, place } = before;
        let (work, spans, started) = (self.shared.works.current(), Spans::of(&chunk), Instant::now());
        let chunk = self.under_way(chunk);
        let booked = |answer| {
            // No row is turned away here, so that none can be one too many.
            let _ = self.runner.books.ran(&first.chunk, Ran::once(Ok(answer)));
            // The next one's work goes on, and may be stopped with its runtime.
            first.booked();
        };
        let riding = open.commit_and_begin(self.next(&work, &chunk.chunk.rows), booked);
        let ridden = riding.instrument(spans.attempt.clone()).await;
        let first = first.end();
        let result = match ridden {
            Ridden::On(open) => Ok(*open),
            Ridden::Next(broken) => Err(broken),
            Ridden::First(first_broken, broken) => {
                // Another try of either waits for the place.
                drop((place, place_to_tell));
                let result = self.finish((first, Some(first_spans.begun(first_work, first_broken)))).await;
                let chunk = chunk.end();
                let begun = broken.map(|broken| spans.begun(work, broken));
                if result.is_err() && begun.is_none() {
                    self.runner.books.book(&chunk.positions, Outcome::NotAttempted);
                    return result.map(|()| None);
                }
                let finished = self.finish((chunk, begun)).await;
                return result.and(finished).map(|()| None);
            }
        };
        if let Some(place) = place_to_tell {
            place.send(first.positions);
        }
        match result {
            Ok(open) => {
                self.took(&chunk, started);
                Ok(Some(Standing { chunk, open, work, spans, place }))
            }
            Err(broken) => {
                drop(place);
                self.finish((chunk.end(), Some(spans.begun(work, broken)))).await?;
                Ok(None)
            }
        }
    }

    /// Runs a chunk, which may have been begun, to its end.
    async fn finish(&mut self, (chunk, begun): Unfinished) -> Result<()> {
        let positions = self.written.as_ref().map(|_| chunk.positions.clone());
        self.runner.finish(chunk, begun).await?;
        self.tell(positions.unwrap_or_default()).await;
        Ok(())
    }

    /// Tells that a chunk is in.
    async fn tell(&self, positions: Positions) {
        if let Some(written) = &self.written {
            // Received as long as the call lives.
            let _ = written.send(positions).await;
        }
    }

    fn took(&self, chunk: &UnderWay, started: Instant) {
        let (rows, latency) = (&chunk.chunk.rows, self.shared.policy.opening.latency());
        self.runner.pace.took(rows.len(), rows.byte_len(), started.elapsed(), latency);
    }

    fn under_way(&self, chunk: Chunk) -> UnderWay {
        UnderWay { chunk, has_ended: AtomicBool::new(false), books: Arc::clone(&self.runner.books) }
    }

    fn next<'n>(&'n self, work: &'n Work, rows: &'n EncodedRows) -> Next<'n> {
        let Policy { opening, deadline, .. } = &*self.shared.policy;
        Next { work, rows, opening, deadline: *deadline }
    }
}
