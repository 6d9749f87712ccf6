//! Reading rows one after the other, and holding few of them.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use postgres_types::Type;
use tokio::sync::mpsc::Receiver;

use super::answer::{decode, decode_answered};
use super::list::List;
use super::read::{Again, Fetched, Prepared, policy};
use crate::error::{Error, ErrorKind, Result};
use crate::model::ReadRow;
use crate::session::{Fetching, Piece, Question, Shape, Unread};
use crate::wire::{ColumnType, EncodedRows};

/// The rows of one fetch, if nothing else is said.
const FETCH_SIZE: u32 = 1_000;

/// The rows that fulfil a filter, one after the other: a [`Stream`] of `Result<M>`, made by
/// [`List::stream`](crate::List::stream).
///
/// ```no_run
/// # use batchkit::{BatchModel, BatchOperations};
/// # #[derive(BatchModel)] #[batch(table = "products")]
/// # struct Product { #[batch(key)] id: i64, price: i64 }
/// # async fn run(products: BatchOperations<Product>) -> batchkit::Result<()> {
/// use futures_util::TryStreamExt;
///
/// let mut rows = products.list(Product::FIELDS.price.gt(10)).stream().fetch_size(500);
/// while let Some(product) = rows.try_next().await? {
///     println!("{}", product.price);
/// }
/// # Ok(()) }
/// ```
///
/// # What it holds
///
/// One piece of at most [`fetch_size`](Self::fetch_size) rows (fewer where they are wide) that is being given out,
/// and one that is fetched meanwhile. When nobody takes rows the server waits. It keeps a connection of the pool,
/// with a read-only transaction and its snapshot, from the first row that is asked for to the last one or the drop;
/// a table that is much written to should not be read for hours.
///
/// # Its end
///
/// It ends with `None` only after the server has said that there are no more rows and the transaction is over.
/// Anything else ends it with an error: what came before is then true, and not all. It is not asked again behind
/// the first row, since others may have changed the table meanwhile; an order and
/// [`after`](crate::List::after) go on from the last row. Dropped before its end, it also ends the work at the
/// server.
///
/// In the caller's transaction ([`within`](crate::List::within)) and with relations to load it is refused with
/// [`ErrorKind::Config`]: there, read by pages.
#[must_use = "a stream does nothing until it is polled"]
pub struct RowStream<'a, M> {
    pieces: Pieces<'a, M>,
    current: EncodedRows,
    next: usize,
}

/// The rows of a [`RowStream`] piece by piece: a [`Stream`] of `Result<Vec<M>>`, each a fetch or, where rows are
/// wide, a part of one, and none of them empty.
#[must_use = "a stream does nothing until it is polled"]
pub struct RowChunks<'a, M>(Pieces<'a, M>);

/// The pieces, and how far they are.
struct Pieces<'a, M> {
    state: State<'a, M>,
}

enum State<'a, M> {
    /// Nothing was asked for.
    New(Box<List<'a, M>>, u32),
    /// The statement is prepared.
    Opening(Pin<Box<dyn Future<Output = Result<Open>> + Send + 'a>>),
    /// Pieces come.
    Open(Open),
    /// There are no more.
    Over,
}

struct Open {
    pieces: Receiver<Result<Piece>>,
    columns: Arc<[ColumnType]>,
    of_last: bool,
}

impl<'a, M: ReadRow> RowStream<'a, M> {
    pub(super) fn new(list: List<'a, M>) -> Self {
        let pieces = Pieces { state: State::New(Box::new(list), FETCH_SIZE) };
        RowStream { pieces, current: EncodedRows::default(), next: 0 }
    }

    /// The most rows of one fetch; 1,000 if nothing is said. Twice as many are held at the most. Once rows were
    /// asked for it changes nothing.
    pub fn fetch_size(mut self, rows: u32) -> Self {
        if let State::New(_, size) = &mut self.pieces.state {
            *size = rows;
        }
        self
    }

    /// The rows piece by piece: cheaper where they are worked up in bulk.
    pub fn chunks(self) -> RowChunks<'a, M> {
        RowChunks(self.pieces)
    }
}

impl<'a, M: ReadRow + 'a> Pieces<'a, M> {
    /// The next piece that has rows, and the types of their columns.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Fetched>>> {
        loop {
            match &mut self.state {
                State::New(..) => {
                    let State::New(list, size) = std::mem::replace(&mut self.state, State::Over) else { continue };
                    self.state = State::Opening(Box::pin(open(*list, size)));
                }
                State::Opening(opening) => match ready!(opening.as_mut().poll(context)) {
                    Ok(open) => self.state = State::Open(open),
                    Err(error) => return self.fail(error),
                },
                State::Open(Open { of_last: true, .. }) | State::Over => {
                    self.state = State::Over;
                    return Poll::Ready(None);
                }
                State::Open(open) => match ready!(open.pieces.poll_recv(context)) {
                    Some(Ok(piece)) => {
                        open.of_last = piece.last;
                        if !piece.rows.is_empty() {
                            return Poll::Ready(Some(Ok((piece.rows, Arc::clone(&open.columns)))));
                        }
                    }
                    Some(Err(error)) => return self.fail(error),
                    // Its task has gone: the runtime is being shut down.
                    None => {
                        let what = "the read ended before the server said that there are no more rows";
                        return self.fail(Error::new(ErrorKind::Connection, what));
                    }
                },
            }
        }
    }

    fn fail<T>(&mut self, error: Error) -> Poll<Option<Result<T>>> {
        self.state = State::Over;
        Poll::Ready(Some(Err(error.in_table(M::MODEL.display_name()))))
    }
}

/// Prepares the statement on a connection, and starts to read.
async fn open<M: ReadRow>(list: List<'_, M>, fetch_size: u32) -> Result<Open> {
    let List { engine, selection, relations, within, timeout } = list;
    let refused = |what: &str| Err(Error::new(ErrorKind::Config, what));
    if within.is_some() {
        return refused("a stream reads in a transaction of its own, not in the caller's: read by pages there");
    }
    if !relations.is_empty() {
        return refused("a stream loads no relations: read by pages for them");
    }
    if fetch_size == 0 {
        return refused("fetch_size must be at least 1");
    }
    let timeout = timeout.or(engine.config.timeout);
    let policy = policy(&engine, timeout);
    let mut again = Again::new(&policy);
    let prepare = async || {
        let known = engine.known(M::MODEL, None).await?;
        let prepared = Prepared::new(known, &selection)?;
        let encode = |parameters: &[Type]| prepared.encode(&selection, parameters);
        let question = Question { sql: &prepared.sql, types: &prepared.types, encode: &encode };
        let shape = Shape { first: 0, types: Arc::clone(&prepared.columns) };
        let unread = Unread::prepare(&engine.pool, &question, &shape, &engine.config.database).await?;
        Ok((unread, prepared.columns))
    };
    let (unread, columns) = loop {
        match policy.within_deadline(pin!(prepare())).await {
            Ok(prepared) => break prepared,
            Err(error) => again.after(&engine, error).await?,
        }
    };
    let rows = i32::try_from(fetch_size).unwrap_or(i32::MAX);
    let pieces = unread.read(Fetching { rows, timeout, database: engine.config.database.clone() });
    Ok(Open { pieces, columns, of_last: false })
}

impl<'a, M: ReadRow + 'a> Stream for RowStream<'a, M> {
    type Item = Result<M>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<M>>> {
        let this = self.get_mut();
        loop {
            if let State::Open(open) = &this.pieces.state
                && this.next < this.current.len()
            {
                let row = decode(this.current.fields(this.next), &open.columns);
                this.next += 1;
                if row.is_err() {
                    this.pieces.state = State::Over;
                }
                return Poll::Ready(Some(row));
            }
            this.current = EncodedRows::default();
            match ready!(this.pieces.poll(context)) {
                Some(Ok((rows, _))) => (this.current, this.next) = (rows, 0),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl<'a, M: ReadRow + 'a> Stream for RowChunks<'a, M> {
    type Item = Result<Vec<M>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Vec<M>>>> {
        let pieces = &mut self.get_mut().0;
        let Some(piece) = ready!(pieces.poll(context)) else { return Poll::Ready(None) };
        let rows = piece.and_then(|(rows, columns)| decode_answered(&rows, &columns));
        if rows.is_err() {
            pieces.state = State::Over;
        }
        Poll::Ready(Some(rows))
    }
}

impl<M> fmt::Debug for RowStream<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowStream").field("held", &(self.current.len() - self.next)).finish_non_exhaustive()
    }
}

impl<M> fmt::Debug for RowChunks<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowChunks").finish_non_exhaustive()
    }
}
