//! The caller's rows and keys behind one object-safe trait: the last place that knows their types.

use std::iter::Peekable;
use std::marker::PhantomData;

use crate::model::{BatchModel, KeyFor, WriteRow};
use crate::wire::{ColumnType, Fault, RowsBuilder};

/// Rows that encode themselves one after the other.
pub(crate) trait Feed: Send {
    /// Encodes the next row; `None` at the end. `columns` are positions in the model, each with its type;
    /// a fault names the position in `columns`.
    fn encode_next(
        &mut self,
        columns: &[usize],
        types: &[ColumnType],
        into: &mut RowsBuilder,
    ) -> Option<Result<(), (usize, Fault)>>;

    /// Whether no row is left.
    fn is_empty(&mut self) -> bool;

    /// The number of rows that are left; they are used up.
    fn count_rest(&mut self) -> usize;
}

/// Rows of a [`WriteRow`] type.
pub(crate) struct RowFeed<I: Iterator, M>(Peekable<I>, PhantomData<fn() -> M>);

impl<I: Iterator, M> RowFeed<I, M> {
    pub(crate) fn new(rows: I) -> Self {
        RowFeed(rows.peekable(), PhantomData)
    }
}

impl<I, M> Feed for RowFeed<I, M>
where
    M: BatchModel,
    I: Iterator + Send,
    I::Item: WriteRow<M> + Send,
{
    fn encode_next(
        &mut self,
        columns: &[usize],
        types: &[ColumnType],
        into: &mut RowsBuilder,
    ) -> Option<Result<(), (usize, Fault)>> {
        let row = self.0.next()?;
        Some(into.push(types, |position, out| row.write(columns[position], out)))
    }

    fn is_empty(&mut self) -> bool {
        self.0.peek().is_none()
    }

    fn count_rest(&mut self) -> usize {
        self.0.by_ref().count()
    }
}

/// Keys of the type `K`.
pub(crate) struct KeyFeed<I: Iterator, K>(Peekable<I>, PhantomData<fn() -> K>);

impl<I: Iterator, K> KeyFeed<I, K> {
    pub(crate) fn new(keys: I) -> Self {
        KeyFeed(keys.peekable(), PhantomData)
    }
}

impl<I, K> Feed for KeyFeed<I, K>
where
    I: Iterator + Send,
    I::Item: KeyFor<K> + Send,
{
    fn encode_next(
        &mut self,
        _columns: &[usize],
        types: &[ColumnType],
        into: &mut RowsBuilder,
    ) -> Option<Result<(), (usize, Fault)>> {
        let key = self.0.next()?;
        Some(into.push(types, |position, out| key.write_key(position, out)))
    }

    fn is_empty(&mut self) -> bool {
        self.0.peek().is_none()
    }

    fn count_rest(&mut self) -> usize {
        self.0.by_ref().count()
    }
}
