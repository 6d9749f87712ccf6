//! Rows that are inserted with those above them: which kinds of them a row has.

use super::{BatchModel, InsertRow, Model, WriteRow};

/// One kind of rows below a row: `#[batch(has_many(…, new = "NewLine"))]`. Used by generated code.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Child {
    /// The number of the relation in the model's `associations`.
    pub association: usize,
    /// What these rows are. Behind a function: rows may be below rows of their own kind.
    pub rows: fn() -> GraphRows,
}

/// Rows of a graph. Used by generated code.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct GraphRows {
    /// Their model.
    pub model: &'static Model,
    /// The positions of the columns that they give.
    pub columns: &'static [usize],
    /// The kinds of rows below them.
    pub children: &'static [Child],
}

/// What rows of the type `R` are. Used by generated code.
#[doc(hidden)]
#[must_use]
pub fn graph_rows<M: BatchModel, R: InsertRow<M>>() -> GraphRows {
    GraphRows { model: M::MODEL, columns: <R as WriteRow<M>>::COLUMNS, children: <R as WriteRow<M>>::CHILDREN }
}
