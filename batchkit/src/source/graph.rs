//! Rows below others: encoded with those, into the same chunk.

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Association, BatchModel, GraphRows, Model, WriteRow};
use crate::wire::{ColumnType, Fault, RowsBuilder, base};

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
    /// Which of them are the key of the row above, each with that column's position in the model above.
    pub(crate) handed_down: Vec<(usize, usize)>,
    /// What is below them.
    pub(crate) below: ChildLayouts,
}

impl ChildLayout {
    /// Rows that are wired so; `types` are those of their columns.
    pub(crate) fn new(
        association: &'static Association,
        rows: &GraphRows,
        wiring: Wiring,
        types: Vec<ColumnType>,
        below: ChildLayouts,
    ) -> Self {
        let Wiring { columns, handed_down } = wiring;
        ChildLayout { association, model: rows.model, columns, given: rows.columns, types, handed_down, below }
    }
}

/// The columns of rows below others, and how these others' keys come into them.
#[derive(Debug, Clone)]
pub(crate) struct Wiring {
    /// The columns that are encoded: those that the rows give, then those that are only handed down.
    pub(crate) columns: Vec<usize>,
    /// Which of them are the key of the row above, each with that column's position in the model above.
    pub(crate) handed_down: Vec<(usize, usize)>,
}

impl Wiring {
    /// How `rows` hang below rows of `above`; the functions tell the types of the columns of these two models.
    ///
    /// # Errors
    /// [`ErrorKind::Schema`] when a key has another type than the column that takes its value.
    pub(crate) fn of<'t>(
        association: &Association,
        above: &Model,
        rows: &GraphRows,
        key_type: impl Fn(usize) -> Option<&'t ColumnType>,
        own_type: impl Fn(usize) -> Option<&'t ColumnType>,
    ) -> Result<Self> {
        let named_by = match &association.through {
            Some(through) => (through.columns)(),
            None => (association.target_columns)(),
        };
        let given = rows.columns.iter().copied();
        let columns: Vec<usize> =
            given.chain(named_by.iter().copied().filter(|column| !rows.columns.contains(column))).collect();
        let mut handed_down = Vec::with_capacity(named_by.len());
        for (&column, &key) in named_by.iter().zip(association.columns) {
            let types = (own_type(column), key_type(key));
            if !matches!(types, (Some(own), Some(key)) if base(own.ty()) == base(key.ty())) {
                let (name, key_name) = (rows.model.columns[column].name, above.columns[key].name);
                let what = format!(
                    "column {name:?} has another type than {key_name:?} of {:?}, whose value it takes",
                    above.table
                );
                return Err(Error::schema(&rows.model.display_name(), vec![what]));
            }
            handed_down.extend(columns.iter().position(|&known| known == column).map(|field| (field, key)));
        }
        Ok(Wiring { columns, handed_down })
    }
}

/// Whether `rows` are below rows of their own kind, `above`.
///
/// # Errors
/// [`ErrorKind::Config`] when they are above themselves by way of others: such a graph has no end.
pub(crate) fn is_recursive(above: &GraphRows, rows: &GraphRows, ancestors: &[GraphRows]) -> Result<bool> {
    let same = |other: &GraphRows| other.model.is(rows.model) && other.columns == rows.columns;
    let recursive = !above.columns.is_empty() && same(above);
    if !recursive && ancestors.iter().any(same) {
        let what =
            format!("rows of `{}` are below rows of `{}`, and these below those", above.model.name, rows.model.name);
        return Err(Error::new(ErrorKind::Config, what));
    }
    Ok(recursive)
}

/// The kinds of rows below one.
#[derive(Debug)]
pub(crate) enum ChildLayouts {
    /// These.
    Kinds(Vec<ChildLayout>),
    /// Rows of its own kind, and whatever else was below the first of them.
    Recursive,
}

impl ChildLayouts {
    /// The kinds; `own` are those among which this one is.
    pub(crate) fn kinds<'l>(&'l self, own: &'l [ChildLayout]) -> &'l [ChildLayout] {
        match self {
            ChildLayouts::Kinds(kinds) => kinds,
            ChildLayouts::Recursive => own,
        }
    }
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
        let mut writer = ChildWriter { layout, below: layout.below.kinds(kinds), kind, into, fault: None };
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
