//! Rows that are decoded as they come, while the server still sends: at the end it would take a time of its own. Of
//! their bytes only those are kept that are asked for.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_postgres::Row;

use super::column_type::ColumnType;
use super::fault::ReadFault;
use super::read::{RowReader, Seen};
use crate::model::ReadRow;

/// Decodes rows to a type that only this knows.
pub(crate) trait Decoding: Send {
    /// Takes the next row, whose fields of these types begin with number `first`, and notes the fields that it has
    /// seen.
    fn push<'r>(&mut self, row: &'r Row, first: usize, types: &'r [ColumnType], seen: &'r Seen<'r>);

    /// The rows.
    fn finish(self: Box<Self>) -> Decoded;
}

/// Starts to decode rows.
pub(crate) type Start = fn() -> Box<dyn Decoding>;

/// Starts to decode rows of `M`.
pub(crate) fn decoding<M: ReadRow>() -> Box<dyn Decoding> {
    Box::new(DecodedRows::<M>::default())
}

/// How the rows of an answer are decoded as they come.
#[derive(Debug, Clone)]
pub(crate) struct Decoder {
    /// Starts it.
    pub(crate) start: Start,
    /// The types of the fields.
    pub(crate) types: Arc<[ColumnType]>,
    /// How many fields each row has in front of them.
    pub(crate) first: usize,
    /// The fields that are kept of each row.
    pub(crate) kept: Vec<usize>,
}

/// What rows were decoded to, each there until it is taken. In pieces: one list of all that grows would be copied over
/// and over.
pub(crate) struct DecodedRows<M>(Vec<Vec<Option<Result<M, ReadFault>>>>);

impl<M> Default for DecodedRows<M> {
    fn default() -> Self {
        DecodedRows(Vec::new())
    }
}

impl<M> DecodedRows<M> {
    /// The rows of one piece.
    const PIECE: usize = 1024;

    #[inline]
    fn push(&mut self, row: Result<M, ReadFault>) {
        match self.0.last_mut() {
            Some(piece) if piece.len() < Self::PIECE => piece.push(Some(row)),
            // The first piece may stay small.
            None => self.0.push(vec![Some(row)]),
            Some(_) => {
                let mut piece = Vec::with_capacity(Self::PIECE);
                piece.push(Some(row));
                self.0.push(piece);
            }
        }
    }

    /// Takes a row out.
    pub(crate) fn take(&mut self, row: usize) -> Option<Result<M, ReadFault>> {
        self.0.get_mut(row / Self::PIECE)?.get_mut(row % Self::PIECE)?.take()
    }

    /// The number of rows, those that were taken too.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// All rows, in their order; `None` of those that were taken.
    pub(crate) fn into_rows(self) -> impl Iterator<Item = Option<Result<M, ReadFault>>> {
        self.0.into_iter().flatten()
    }
}

impl<M: ReadRow> Decoding for DecodedRows<M> {
    fn push<'r>(&mut self, row: &'r Row, first: usize, types: &'r [ColumnType], seen: &'r Seen<'r>) {
        self.push(M::read(&mut RowReader::of(row, first, types, seen)));
    }

    fn finish(self: Box<Self>) -> Decoded {
        Decoded(Mutex::new(self))
    }
}

/// [`DecodedRows`] of a type that only their taker knows.
pub(crate) struct Decoded(Mutex<Box<dyn Any + Send>>);

impl Decoded {
    /// Takes a row out.
    pub(super) fn take<M: ReadRow>(&self, row: usize) -> Option<Result<M, ReadFault>> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rows.downcast_mut::<DecodedRows<M>>()?.take(row)
    }

    /// Takes all rows out.
    pub(super) fn take_all<M: ReadRow>(&self) -> DecodedRows<M> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rows.downcast_mut::<DecodedRows<M>>().map(std::mem::take).unwrap_or_default()
    }
}
