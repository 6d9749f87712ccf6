//! Rows below others: encoded with those, into the same chunk.

use crate::model::{Association, BatchModel, Model, WriteRow};
use crate::wire::{ColumnType, Fault, RowsBuilder};

/// How one kind of rows below others is encoded, and which of its fields are handed down.
#[derive(Debug)]
pub(crate) struct ChildLayout {
    /// The relation that leads to them.
    pub(crate) association: &'static Association,
    /// Their model.
    pub(crate) model: &'static Model,
    /// The positions in the model of the columns that are encoded.
    pub(crate) columns: Vec<usize>,
    /// Those of them that the rows give.
    pub(crate) given: &'static [usize],
    /// Their types.
    pub(crate) types: Vec<ColumnType>,
    /// What is below them.
    pub(crate) below: ChildLayouts,
}

/// The kinds of rows below one.
#[derive(Debug)]
pub(crate) enum ChildLayouts {
    /// These.
    Kinds(Vec<ChildLayout>),
    /// Rows of its own kind, and whatever else was below the first of them.
    Recursive,
}

/// What is wrong with a row below another.
#[derive(Debug)]
pub(crate) struct ChildFault {
    /// The way to it from the row on top: `lines[3].parts[0]`.
    pub(crate) path: String,
    /// Its model.
    pub(crate) model: &'static Model,
    /// The column, by its position there.
    pub(crate) column: usize,
    /// What is wrong.
    pub(crate) fault: Fault,
}

/// Takes the rows below one. Used by generated code.
#[doc(hidden)]
pub struct ChildWriter<'w> {
    layout: &'w ChildLayout,
    /// The kinds below these rows.
    below: &'w [ChildLayout],
    kind: usize,
    into: &'w mut RowsBuilder,
    fault: Option<ChildFault>,
}

/// Encodes all rows below `row`, the last one of `into`; the first fault ends it.
pub(crate) fn write_children<M: BatchModel, R: WriteRow<M>>(
    row: &R,
    kinds: &[ChildLayout],
    into: &mut RowsBuilder,
) -> Option<ChildFault> {
    for (kind, layout) in kinds.iter().enumerate() {
        let below = match &layout.below {
            ChildLayouts::Kinds(below) => below,
            ChildLayouts::Recursive => kinds,
        };
        let mut writer = ChildWriter { layout, below, kind, into, fault: None };
        row.children(kind, &mut writer);
        if let Some(fault) = writer.fault {
            return Some(fault);
        }
    }
    None
}

impl ChildWriter<'_> {
    /// Takes these rows, in order.
    pub fn rows<'r, M: BatchModel, R: WriteRow<M> + 'r>(&mut self, rows: impl IntoIterator<Item = &'r R>) {
        let owner = self.into.len().saturating_sub(1);
        for (number, row) in rows.into_iter().enumerate() {
            let layout = self.layout;
            let below = self.into.below(self.kind);
            let written = below.rows.push(&layout.types, |field, out| {
                let column = layout.columns[field];
                if layout.given.contains(&column) {
                    return row.write(column, out);
                }
                out.put_null();
                Ok(())
            });
            let name = layout.association.name;
            self.fault = match written {
                Ok(()) => {
                    below.owners.push(owner);
                    let fault = write_children::<M, R>(row, self.below, &mut below.rows);
                    fault.map(|fault| ChildFault { path: format!("{name}[{number}].{}", fault.path), ..fault })
                }
                Err((field, fault)) => Some(ChildFault {
                    path: format!("{name}[{number}]"),
                    model: layout.model,
                    column: layout.columns[field],
                    fault,
                }),
            };
            if self.fault.is_some() {
                return;
            }
        }
    }
}
