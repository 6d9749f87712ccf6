//! A place in an order of rows: that of a row, or of a cursor.

use std::fmt;
use std::marker::PhantomData;

use bytes::BytesMut;
use postgres_types::Type;

use super::cursor::Cursor;
use super::{Order, OrderColumn};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{BatchModel, WriteRow};
use crate::wire::{ColumnType, ColumnWriter, Fault};

/// A place in an order of rows of `M`, to read on from: that of a row (`&row`) or of a [`Cursor`].
pub struct Position<'a, M> {
    place: Place<'a>,
    of: PhantomData<fn() -> M>,
}

enum Place<'a> {
    Row(Box<dyn RowValues + 'a>),
    Cursor(Cursor),
}

/// A row whose type is forgotten.
trait RowValues: Send + Sync {
    fn columns(&self) -> &'static [usize];
    fn write(&self, column: usize, out: &mut ColumnWriter<'_>) -> Result<(), Fault>;
}

struct OfModel<'a, M>(&'a M);

impl<M: WriteRow<M> + BatchModel> RowValues for OfModel<'_, M> {
    fn columns(&self) -> &'static [usize] {
        M::COLUMNS
    }

    fn write(&self, column: usize, out: &mut ColumnWriter<'_>) -> Result<(), Fault> {
        self.0.write(column, out)
    }
}

impl<'a, M: WriteRow<M> + BatchModel> From<&'a M> for Position<'a, M> {
    fn from(row: &'a M) -> Self {
        Position { place: Place::Row(Box::new(OfModel(row))), of: PhantomData }
    }
}

impl<M> From<Cursor> for Position<'_, M> {
    fn from(cursor: Cursor) -> Self {
        Position { place: Place::Cursor(cursor), of: PhantomData }
    }
}

impl<M: BatchModel> Position<'_, M> {
    /// The values of the place in the columns of `order`, which have these types: each in PostgreSQL's binary form,
    /// `None` for NULL. For those who evaluate an order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidCursor`] for a cursor of another order; [`ErrorKind::Config`] for an order by a
    /// `computed` column, whose value a row of the model does not give.
    pub fn values(&self, order: &[OrderColumn], types: &[Type]) -> Result<Vec<Option<Vec<u8>>>> {
        match &self.place {
            Place::Cursor(cursor) => cursor.values::<M>(order, types).map(<[_]>::to_vec),
            Place::Row(row) => order.iter().zip(types).map(|(one, ty)| value::<M>(&**row, one.column, ty)).collect(),
        }
    }
}

/// One value of a row.
fn value<M: BatchModel>(row: &dyn RowValues, position: usize, ty: &Type) -> Result<Option<Vec<u8>>> {
    let column = &M::MODEL.columns[position];
    let failed = |kind, what: String| Err(Error::new(kind, what).in_column(column.name));
    if !row.columns().contains(&position) {
        let what = format!("field `{}` is computed by the server: go on from a cursor instead", column.field);
        return failed(ErrorKind::Config, what);
    }
    let column_type = ColumnType::new(ty.clone(), false, |ty| column.accepts(ty));
    let mut out = BytesMut::new();
    if let Err(fault) = row.write(position, &mut ColumnWriter::new(&mut out, &column_type)) {
        return failed(ErrorKind::InvalidRow, fault.to_string());
    }
    let null = out.starts_with(&(-1i32).to_be_bytes());
    Ok((!null && out.len() >= 4).then(|| out.split_off(4).to_vec()))
}

// Never prints a value.
impl<M> fmt::Debug for Position<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.place {
            Place::Row(_) => "Position(row)",
            Place::Cursor(_) => "Position(cursor)",
        })
    }
}

/// An order and the places between which rows are read, with the values that the places have.
impl<M: BatchModel> Order<M> {
    /// The types of these columns out of those of all of the model's.
    pub(crate) fn types(order: &[OrderColumn], columns: &[ColumnType]) -> Vec<Type> {
        order.iter().map(|one| columns[one.column].ty().clone()).collect()
    }
}
