//! Rows that can be written into a model's table, and rows that can be read from it.
//!
//! What is written is kept apart from what is read: a `NewProduct` has no id yet, a price patch has
//! nothing but key and price, and neither pretends otherwise with a sentinel.

use super::BatchModel;
use super::graph::Child;
use crate::relation::Branched;
use crate::source::ChildWriter;
use crate::wire::{ColumnWriter, Fault, ReadFault, RowReader, RowWriter};

/// A struct that gives values for some columns of `M`. Made by the derives.
pub trait WriteRow<M: BatchModel>: Sync {
    /// The positions in `M`'s columns that this row has values for, ascending.
    const COLUMNS: &'static [usize];

    /// Appends the value for `column`, a position of [`COLUMNS`](Self::COLUMNS), as one field.
    ///
    /// # Errors
    /// When the value has no form in the column's type.
    fn write(&self, column: usize, out: &mut ColumnWriter<'_>) -> Result<(), Fault>;

    /// Appends all fields, in the order of [`COLUMNS`](Self::COLUMNS). Generated code does it without asking, for each
    /// field, which one it is.
    ///
    /// # Errors
    /// When a value has no form in its column's type.
    #[doc(hidden)]
    #[inline]
    fn write_all(&self, row: &mut RowWriter<'_>) -> Result<(), Fault> {
        Self::COLUMNS.iter().try_for_each(|&column| self.write(column, &mut row.field()))
    }

    /// The kinds of rows below this one that are inserted with it. Used by generated code.
    #[doc(hidden)]
    const CHILDREN: &'static [Child] = &[];

    /// Hands over the rows of one kind, a position of [`CHILDREN`](Self::CHILDREN).
    #[doc(hidden)]
    fn children(&self, _kind: usize, _out: &mut ChildWriter<'_>) {}
}

/// A row that can be inserted into `M`'s table: `M` itself, or its `#[batch(new = "…")]` form.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be inserted as a `{M}`",
    note = "pass `{M}` itself, or the type named in its `#[batch(new = \"...\")]`"
)]
pub trait InsertRow<M: BatchModel>: WriteRow<M> {}

/// A row that names a stored row by key and gives new values: `M` itself, or a `#[derive(BatchPatch)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot update a `{M}`",
    note = "pass `{M}` itself, or a struct with `#[derive(BatchPatch)]` and `#[batch(model = \"{M}\")]`; the model needs a `#[batch(key)]`"
)]
pub trait PatchRow<M: BatchModel>: WriteRow<M> {}

impl<M: BatchModel, R: WriteRow<M>> WriteRow<M> for &R {
    const COLUMNS: &'static [usize] = R::COLUMNS;

    #[inline]
    fn write(&self, column: usize, out: &mut ColumnWriter<'_>) -> Result<(), Fault> {
        (*self).write(column, out)
    }

    #[inline]
    fn write_all(&self, row: &mut RowWriter<'_>) -> Result<(), Fault> {
        (*self).write_all(row)
    }

    const CHILDREN: &'static [Child] = R::CHILDREN;

    fn children(&self, kind: usize, out: &mut ChildWriter<'_>) {
        (*self).children(kind, out);
    }
}

impl<M: BatchModel, R: InsertRow<M>> InsertRow<M> for &R {}

impl<M: BatchModel, R: PatchRow<M>> PatchRow<M> for &R {}

/// A model that can be read back. Made by `#[derive(BatchModel)]`, except for `write_only` models.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read back",
    note = "a `#[batch(write_only)]` model can be inserted, updated and deleted, not returned"
)]
pub trait ReadRow: BatchModel + WriteRow<Self> + 'static {
    /// Reads one row whose fields are all of the model's columns, in order.
    ///
    /// # Errors
    /// When a value has no form in its field's type.
    fn read(row: &mut RowReader<'_>) -> Result<Self, ReadFault>;

    /// The way of what is loaded into the field of the relation with this number in
    /// [`Model::associations`](super::Model::associations). Used by generated code.
    #[doc(hidden)]
    fn branch(_association: usize) -> Branched<Self> {
        None
    }
}
