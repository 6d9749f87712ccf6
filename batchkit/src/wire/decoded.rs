//! Rows that are decoded as they come, while the server still sends: at the end it would take a time of its own. Of
//! their bytes only those are kept that are asked for.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_postgres::Row;

use super::column_type::ColumnType;
use super::fault::ReadFault;
use super::read::RowReader;
use crate::model::ReadRow;

/// Decodes rows to a type that only this knows.
pub(crate) trait Decoding: Send {
    /// Takes the next row, whose fields of these types begin with number `first`.
    fn push(&mut self, row: &Row, first: usize, types: &[ColumnType]);

    /// The rows.
    fn finish(self: Box<Self>) -> Decoded;
}

/// Starts to decode rows.
pub(crate) type Start = fn() -> Box<dyn Decoding>;

/// Starts to decode rows of `M`.
pub(crate) fn decoding<M: ReadRow>() -> Box<dyn Decoding> {
    Box::new(Rows::<M>(Vec::new()))
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

struct Rows<M>(Vec<Option<Result<M, ReadFault>>>);

impl<M: ReadRow> Decoding for Rows<M> {
    fn push(&mut self, row: &Row, first: usize, types: &[ColumnType]) {
        self.0.push(Some(M::read(&mut RowReader::of(row, first, types))));
    }

    fn finish(self: Box<Self>) -> Decoded {
        Decoded(Mutex::new(self))
    }
}

/// Decoded rows, each there until it is taken.
pub(crate) struct Decoded(Mutex<Box<dyn Any + Send>>);

impl Decoded {
    /// Takes a row out.
    pub(super) fn take<M: ReadRow>(&self, row: usize) -> Option<Result<M, ReadFault>> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rows.downcast_mut::<Rows<M>>()?.0.get_mut(row)?.take()
    }

    /// Takes all rows out.
    pub(super) fn take_all<M: ReadRow>(&self) -> Vec<Option<Result<M, ReadFault>>> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rows.downcast_mut::<Rows<M>>().map(|rows| std::mem::take(&mut rows.0)).unwrap_or_default()
    }
}
