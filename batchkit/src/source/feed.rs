//! The caller's rows and keys behind one object-safe trait: the last place that knows their types.

use std::fmt::Display;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;

use super::chunks::Limits;
use super::graph::{ChildFault, ChildLayout, write_children};
use super::items::Items;
use crate::model::{BatchModel, Child, KeyFor, WriteRow};
use crate::plan::ByRows;
use crate::reject::{KeyShape, RejectKey};
use crate::wire::{ColumnType, ColumnWriter, EncodedRows, Fault, RowForm, RowWriter, RowsBuilder};

/// What rows are encoded to.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The positions in the model of the columns, in their order.
    pub(crate) columns: Vec<usize>,
    /// Their types.
    pub(crate) types: Vec<ColumnType>,
    /// How their bytes lie, by the rows of their chunk.
    pub(crate) forms: ByRows<RowForm>,
    /// Which of them are the row's key.
    pub(crate) key: Arc<KeyShape>,
    /// The kinds of rows below.
    pub(crate) below: Vec<ChildLayout>,
}

impl Layout {
    /// A builder of rows that are encoded so, in this form.
    pub(crate) fn builder(&self, form: &RowForm) -> RowsBuilder {
        RowsBuilder::of(form.clone(), self.columns.len())
    }
}

/// What became of one row at its encoding.
#[derive(Debug)]
pub(crate) enum Encoded {
    /// It is encoded.
    Row,
    /// The caller's pre-processing dropped it.
    Dropped,
    /// The caller's pre-processing failed, with this reason.
    Failed(String),
    /// The caller's stream gave an error in place of a row, with this reason. There is nothing to be turned away.
    Broken(String),
    /// It has no form in the table's types.
    Invalid {
        /// The position of the bad column among the layout's.
        column: usize,
        /// What is wrong.
        fault: Fault,
        /// The row's key, if that has a form.
        key: Option<RejectKey>,
    },
    /// A row below it has no form.
    InvalidBelow(ChildFault),
}

/// Rows that were encoded on another core.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    /// The rows that have a form.
    pub(crate) rows: EncodedRows,
    /// What became of each row of input.
    pub(crate) fates: Vec<Encoded>,
}

/// The encoding of some rows by an empty builder, to be done anywhere.
pub(crate) type Job = Box<dyn FnOnce(&Layout, RowsBuilder) -> Piece + Send>;

/// How many rows were encoded, and what became of the row behind them if that is something else; `None` of that is the
/// end.
pub(crate) type Many = (usize, Option<Option<Encoded>>);

/// Rows that encode themselves one after the other.
pub(crate) trait Feed: Send {
    /// Whether rows come from a stream: they are waited for, and never all held at once where that can be helped.
    fn is_stream(&self) -> bool {
        false
    }

    /// Waits until there is a next row, or the end.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// Encodes the next row, which was waited for; `None` at the end.
    fn encode_next(&mut self, layout: &Layout, into: &mut RowsBuilder) -> Option<Encoded>;

    /// Encodes the next rows, which are no stream's, until there are as many as a chunk has.
    fn encode_many(&mut self, layout: &Layout, into: &mut RowsBuilder, limits: Limits) -> Many {
        encode_one_by_one(self, layout, into, limits)
    }

    /// The kinds of rows below the rows.
    fn children(&self) -> &'static [Child] {
        &[]
    }

    /// Whether no row is left.
    fn is_empty(&mut self) -> bool;

    /// The number of rows that are left, if that is known before they are taken.
    fn known_len(&self) -> Option<usize>;

    /// The number of rows that are left; they are used up.
    fn count_rest(&mut self) -> usize;

    /// Whether rows can be taken out to be encoded on another core: where the caller's code runs on each.
    fn has_jobs(&self) -> bool {
        false
    }

    /// Takes the next rows out, at most so many, with their number; `None` at the end.
    fn take_job(&mut self, _rows: usize) -> Option<(usize, Job)> {
        None
    }
}

/// Encodes the next rows one by one, until there are as many as a chunk has.
fn encode_one_by_one(feed: &mut (impl Feed + ?Sized), layout: &Layout, into: &mut RowsBuilder, limits: Limits) -> Many {
    let before = into.len();
    while into.len() < limits.rows && into.byte_len() < limits.bytes {
        match feed.encode_next(layout, into) {
            Some(Encoded::Row) => {}
            other => return (into.len() - before, Some(other)),
        }
    }
    (into.len() - before, None)
}

/// Encodes the next rows by `write_all`, until there are as many as a chunk has; on a fault, the row's key by itself.
#[inline]
fn encode_plain<R>(
    rows: &mut Items<impl Iterator<Item = R>>,
    layout: &Layout,
    into: &mut RowsBuilder,
    limits: Limits,
    write_all: impl Fn(&R, &mut RowWriter<'_>) -> Result<(), Fault>,
    write: impl Fn(&R, usize, &mut ColumnWriter<'_>) -> Result<(), Fault>,
) -> Many {
    let before = into.len();
    // The form is asked once, and not for each row.
    let ended = if into.is_beside() {
        // The first one may have been looked at before; and it tells how much room the others need.
        let Some(row) = rows.next() else { return (0, Some(None)) };
        match into.push_beside(&layout.types, |all| write_all(&row, all)) {
            Err(bad) => Some(Some((row, bad))),
            Ok(()) => {
                make_room(&rows.behind, into, limits);
                into.push_all_beside(&layout.types, &mut rows.behind, limits.rows, limits.bytes, write_all)
            }
        }
    } else {
        push_many(rows, into, limits, |row, into| into.push_behind(&layout.types, |all| write_all(row, all)))
    };
    let ended = ended.map(|bad| {
        bad.map(|(row, (column, fault))| invalid(layout, column, fault, |position, out| write(&row, position, out)))
    });
    (into.len() - before, ended)
}

/// Pushes the next rows until there are as many as a chunk has: the row that has no form, or `None` of it at the end.
#[inline]
fn push_many<R>(
    rows: &mut Items<impl Iterator<Item = R>>,
    into: &mut RowsBuilder,
    limits: Limits,
    push: impl Fn(&R, &mut RowsBuilder) -> Result<(), (usize, Fault)>,
) -> Option<Option<(R, (usize, Fault))>> {
    let has_room = |into: &RowsBuilder| into.len() < limits.rows && into.byte_len() < limits.bytes;
    if !has_room(into) {
        return None;
    }
    let mut next = rows.next();
    loop {
        let Some(row) = next else { return Some(None) };
        if let Err(bad) = push(&row, into) {
            return Some(Some((row, bad)));
        }
        if !has_room(into) {
            return None;
        }
        make_room(&rows.behind, into, limits);
        next = rows.behind.next();
    }
}

/// Makes room for the rows behind the first one.
#[inline]
fn make_room(behind: &impl Iterator, into: &mut RowsBuilder, limits: Limits) {
    if into.len() == 1 {
        // An iterator may not keep its word.
        into.reserve(behind.size_hint().0.min(limits.rows), limits.bytes);
    }
}

/// What is told of a row that has no form.
#[cold]
fn invalid(
    layout: &Layout,
    column: usize,
    fault: Fault,
    write: impl Fn(usize, &mut ColumnWriter<'_>) -> Result<(), Fault>,
) -> Encoded {
    let fields: Vec<usize> = layout.key.fields().collect();
    let types: Vec<ColumnType> = fields.iter().map(|&field| layout.types[field].clone()).collect();
    let mut key = RowsBuilder::default();
    let encoded = key.push(&types, |position, out| write(fields[position], out));
    let key = encoded.ok().and_then(|()| layout.key.from_fields(key.finish().row(0)));
    Encoded::Invalid { column, fault, key }
}

#[inline]
fn encode_row<M: BatchModel, R: WriteRow<M>>(row: &R, layout: &Layout, into: &mut RowsBuilder) -> Encoded {
    let write = |position: usize, out: &mut ColumnWriter<'_>| row.write(layout.columns[position], out);
    let pushed = if layout.columns == R::COLUMNS {
        into.push_all(&layout.types, |all| row.write_all(all))
    } else {
        into.push(&layout.types, &write)
    };
    let encoded = match pushed {
        Ok(()) => Encoded::Row,
        Err((column, fault)) => invalid(layout, column, fault, write),
    };
    if layout.below.is_empty() || !matches!(encoded, Encoded::Row) {
        return encoded;
    }
    let Some(fault) = write_children::<M, _>(row, &layout.below, into) else { return encoded };
    into.truncate(into.len() - 1);
    Encoded::InvalidBelow(fault)
}

/// Rows of a [`WriteRow`] type.
pub(crate) struct RowFeed<I: Iterator, M>(Items<I>, PhantomData<fn() -> M>);

impl<I: Iterator, M> RowFeed<I, M> {
    pub(crate) fn new(rows: I) -> Self {
        RowFeed(Items::new(rows), PhantomData)
    }
}

impl<I, M> Feed for RowFeed<I, M>
where
    M: BatchModel,
    I: Iterator + Send,
    I::Item: WriteRow<M> + Send,
{
    fn encode_next(&mut self, layout: &Layout, into: &mut RowsBuilder) -> Option<Encoded> {
        let row = self.0.next()?;
        Some(encode_row::<M, _>(&row, layout, into))
    }

    fn encode_many(&mut self, layout: &Layout, into: &mut RowsBuilder, limits: Limits) -> Many {
        let is_plain = layout.below.is_empty() && layout.columns == <I::Item as WriteRow<M>>::COLUMNS;
        if !is_plain {
            return encode_one_by_one(self, layout, into, limits);
        }
        let write = |row: &I::Item, field: usize, out: &mut ColumnWriter<'_>| row.write(layout.columns[field], out);
        encode_plain(&mut self.0, layout, into, limits, |row, all| row.write_all(all), write)
    }

    fn children(&self) -> &'static [Child] {
        <I::Item as WriteRow<M>>::CHILDREN
    }

    fn is_empty(&mut self) -> bool {
        self.0.is_empty()
    }

    fn known_len(&self) -> Option<usize> {
        self.0.known_len()
    }

    fn count_rest(&mut self) -> usize {
        self.0.by_ref().count()
    }
}

/// Rows of a [`WriteRow`] type that a stream gives.
pub(crate) struct StreamFeed<S: Stream, M> {
    stream: Pin<Box<S>>,
    /// The next row, once it has come.
    next: Option<S::Item>,
    has_ended: bool,
    of: PhantomData<fn() -> M>,
}

impl<S: Stream, M> StreamFeed<S, M> {
    pub(crate) fn new(rows: S) -> Self {
        StreamFeed { stream: Box::pin(rows), next: None, has_ended: false, of: PhantomData }
    }
}

impl<S, R, E, M> Feed for StreamFeed<S, M>
where
    M: BatchModel,
    S: Stream<Item = Result<R, E>> + Send,
    R: WriteRow<M> + Send,
    E: Display + Send,
{
    fn is_stream(&self) -> bool {
        true
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.next.is_none() && !self.has_ended {
            self.next = ready!(self.stream.as_mut().poll_next(context));
            self.has_ended = self.next.is_none();
        }
        Poll::Ready(())
    }

    fn encode_next(&mut self, layout: &Layout, into: &mut RowsBuilder) -> Option<Encoded> {
        Some(match self.next.take()? {
            Ok(row) => encode_row::<M, _>(&row, layout, into),
            Err(error) => Encoded::Broken(error.to_string()),
        })
    }

    fn children(&self) -> &'static [Child] {
        R::CHILDREN
    }

    fn is_empty(&mut self) -> bool {
        self.next.is_none() && self.has_ended
    }

    fn known_len(&self) -> Option<usize> {
        None
    }

    fn count_rest(&mut self) -> usize {
        // What the stream has not given yet nobody has seen.
        self.has_ended = true;
        usize::from(self.next.take().is_some())
    }
}

/// Values of any kind, each of which `process` makes a row of the type `R`, or drops, or fails.
pub(crate) struct ProcessedFeed<I: Iterator, F, R, M> {
    values: Items<I>,
    process: Arc<F>,
    to: PhantomData<fn() -> (R, M)>,
}

impl<I: Iterator, F, R, M> ProcessedFeed<I, F, R, M> {
    pub(crate) fn new(values: I, process: Arc<F>) -> Self {
        ProcessedFeed { values: Items::new(values), process, to: PhantomData }
    }
}

fn process<M, T, R, E>(
    process: &impl Fn(T) -> Result<Option<R>, E>,
    value: T,
    layout: &Layout,
    into: &mut RowsBuilder,
) -> Encoded
where
    M: BatchModel,
    R: WriteRow<M>,
    E: Display,
{
    match process(value) {
        Ok(Some(row)) => encode_row::<M, _>(&row, layout, into),
        Ok(None) => Encoded::Dropped,
        Err(reason) => Encoded::Failed(reason.to_string()),
    }
}

impl<I, F, R, M, E> Feed for ProcessedFeed<I, F, R, M>
where
    M: BatchModel,
    I: Iterator + Send,
    I::Item: Send + 'static,
    F: Fn(I::Item) -> Result<Option<R>, E> + Send + Sync + 'static,
    R: WriteRow<M>,
    E: Display,
{
    fn encode_next(&mut self, layout: &Layout, into: &mut RowsBuilder) -> Option<Encoded> {
        let value = self.values.next()?;
        Some(process::<M, _, _, _>(&*self.process, value, layout, into))
    }

    fn children(&self) -> &'static [Child] {
        R::CHILDREN
    }

    fn is_empty(&mut self) -> bool {
        self.values.is_empty()
    }

    fn known_len(&self) -> Option<usize> {
        self.values.known_len()
    }

    fn count_rest(&mut self) -> usize {
        self.values.by_ref().count()
    }

    fn has_jobs(&self) -> bool {
        true
    }

    fn take_job(&mut self, rows: usize) -> Option<(usize, Job)> {
        let values: Vec<I::Item> = self.values.by_ref().take(rows).collect();
        let function = Arc::clone(&self.process);
        let count = values.len();
        let job = move |layout: &Layout, mut into: RowsBuilder| {
            let each = values.into_iter().map(|value| process::<M, _, _, _>(&*function, value, layout, &mut into));
            let fates = each.collect();
            Piece { rows: into.finish(), fates }
        };
        (count > 0).then(|| (count, Box::new(job) as Job))
    }
}

/// Keys of the type `K`.
pub(crate) struct KeyFeed<I: Iterator, K>(Items<I>, PhantomData<fn() -> K>);

impl<I: Iterator, K> KeyFeed<I, K> {
    pub(crate) fn new(keys: I) -> Self {
        KeyFeed(Items::new(keys), PhantomData)
    }
}

impl<I, K> Feed for KeyFeed<I, K>
where
    I: Iterator + Send,
    I::Item: KeyFor<K> + Send,
{
    fn encode_next(&mut self, layout: &Layout, into: &mut RowsBuilder) -> Option<Encoded> {
        let key = self.0.next()?;
        Some(match into.push_all(&layout.types, |all| key.write_all(all)) {
            Ok(()) => Encoded::Row,
            Err((column, fault)) => invalid(layout, column, fault, |part, out| key.write_key(part, out)),
        })
    }

    fn encode_many(&mut self, layout: &Layout, into: &mut RowsBuilder, limits: Limits) -> Many {
        let write = |key: &I::Item, part: usize, out: &mut ColumnWriter<'_>| key.write_key(part, out);
        if into.has_one_column() {
            let before = into.len();
            // The first one may have been looked at before; and it tells how much room the others need.
            match self.encode_next(layout, into) {
                Some(Encoded::Row) => make_room(&self.0.behind, into, limits),
                other => return (0, Some(other)),
            }
            let (keys, Limits { rows, bytes }) = (&mut self.0.behind, limits);
            let ended = into.push_fields(&layout.types[0], keys, rows, bytes, |key, out| key.write_key(0, out));
            let ended =
                ended.map(|bad| bad.map(|(key, fault)| invalid(layout, 0, fault, |part, out| write(&key, part, out))));
            return (into.len() - before, ended);
        }
        encode_plain(&mut self.0, layout, into, limits, |key, all| key.write_all(all), write)
    }

    fn is_empty(&mut self) -> bool {
        self.0.is_empty()
    }

    fn known_len(&self) -> Option<usize> {
        self.0.known_len()
    }

    fn count_rest(&mut self) -> usize {
        self.0.by_ref().count()
    }
}
