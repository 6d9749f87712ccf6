//! The end of the way: answered rows become the caller's structs again.

use std::sync::Arc;

use bytes::BytesMut;
use futures_util::FutureExt;

use super::graph::Graph;
use super::relations::relate_slots;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{BatchModel, ReadKey, ReadRow};
use crate::relation::Stored;
use crate::report::Report;
use crate::session::{self, StoredRow};
use crate::source::ranges;
use crate::sql::Form;
use crate::stored::StoredRows;
use crate::wire::{ColumnType, EncodedRows, RawFields, ReadFault, RowReader, put_field};

/// The report of a call and its stored rows, still encoded.
#[doc(hidden)]
#[derive(Debug)]
pub struct Answered {
    pub(super) report: Report,
    pub(super) rows: StoredRows,
    /// What of them is there.
    pub(super) form: Form,
    pub(super) types: Arc<[ColumnType]>,
    /// What was inserted below the rows.
    pub(super) graph: Option<(Graph, session::Graph)>,
    /// The answers to what was asked along, chunk by chunk, if it was with all of them.
    pub(super) along: Option<Vec<Vec<Vec<EncodedRows>>>>,
}

impl Answered {
    /// The same, or an error that holds the report if rows were turned away: they are never passed over.
    pub(super) fn without_rejects(self) -> Result<Self> {
        Ok(Answered { report: without_rejects(self.report)?, ..self })
    }

    /// The stored rows in input order, decoded, without those that there are none of.
    pub(super) fn found<M: ReadRow>(self) -> Result<Vec<M>> {
        if self.graph.is_some() {
            return Ok(self.rows()?.into_iter().flatten().collect());
        }
        let types = Arc::clone(&self.types);
        self.all(|block, found| decode_all(block, &types, found), |row| decode_stored(row, &types))
    }

    /// The stored rows in input order, decoded.
    pub(super) fn rows<M: ReadRow>(mut self) -> Result<Vec<Option<M>>> {
        let (graph, types) = (self.graph.take(), Arc::clone(&self.types));
        let rows = self.slots(|row| decode_stored(row, &types))?;
        match graph {
            None => Ok(rows),
            Some((graph, below)) => with_below(rows, types, &graph, below),
        }
    }

    /// The keys of the stored rows in input order, without those that there are none of.
    pub(super) fn found_keys<M: BatchModel<Key: ReadKey>>(self) -> Result<Vec<Key<M>>> {
        let (form, types) = (self.form, Arc::clone(&self.types));
        let decode_all = |block: &EncodedRows, keys: &mut Vec<Key<M>>| {
            keys.reserve(block.len());
            for row in 0..block.len() {
                keys.push(decode_key::<M>(block.fields(row), form, &types).map_err(|error| (row, error))?);
            }
            Ok(())
        };
        self.all(decode_all, |row| decode_key::<M>(row.fields(), form, &types))
    }

    /// The keys of the stored rows in input order.
    pub(super) fn keys<M: BatchModel<Key: ReadKey>>(self) -> Result<Vec<Option<Key<M>>>> {
        let (form, types) = (self.form, Arc::clone(&self.types));
        self.slots(|row| decode_key::<M>(row.fields(), form, &types))
    }

    /// What is made of all stored rows, in input order: of those of a run together, or of each by itself.
    fn all<T>(
        mut self,
        of_run: impl Fn(&EncodedRows, &mut Vec<T>) -> Result<(), (usize, Error)>,
        of_one: impl Fn(&StoredRow) -> Result<T>,
    ) -> Result<Vec<T>> {
        if let Some(runs) = self.rows.take_runs() {
            let mut all = Vec::with_capacity(runs.iter().map(|(_, block)| block.len()).sum());
            for (run, block) in runs {
                of_run(&block, &mut all).map_err(|(row, error)| told(error, run.start + row, &self.report))?;
            }
            return Ok(all);
        }
        let slots = self.rows.into_slots(0);
        let mut all = Vec::with_capacity(slots.len());
        for (position, row) in slots.into_iter().enumerate() {
            if let Some(row) = row {
                all.push(of_one(&row).map_err(|error| told(error, position, &self.report))?);
            }
        }
        Ok(all)
    }

    /// What is made of each stored row, one slot per input row.
    fn slots<T>(self, of_one: impl Fn(&StoredRow) -> Result<T>) -> Result<Vec<Option<T>>> {
        let made = |(position, row): (usize, Option<StoredRow>)| {
            row.map(|row| of_one(&row)).transpose().map_err(|error| told(error, position, &self.report))
        };
        let slots = self.rows.into_slots(usize::try_from(self.report.total()).unwrap_or(usize::MAX));
        slots.into_iter().enumerate().map(made).collect()
    }
}

/// The type of a stored row's key.
type Key<M> = <<M as BatchModel>::Key as ReadKey>::Value;

/// An error at one row; what was written is in all the same.
fn told(error: Error, position: usize, report: &Report) -> Error {
    error.of_row(position).with_report(report.clone())
}

fn decode_stored<M: ReadRow>(row: &StoredRow, types: &[ColumnType]) -> Result<M> {
    row.take_decoded().map_or_else(|| decode(row.fields(), types), |decoded| decoded.map_err(unreadable::<M>))
}

/// Decodes the key of a stored row, of which that or all is there.
fn decode_key<M: BatchModel<Key: ReadKey>>(fields: &[u8], form: Form, types: &[ColumnType]) -> Result<Key<M>> {
    let key = M::MODEL.key.map_or(&[][..], |key| key.columns);
    let read = |fields: &[u8], types: &[ColumnType]| {
        let named = |fault: ReadFault| {
            unreadable::<M>(ReadFault { column: key.get(fault.column).copied().unwrap_or(usize::MAX), ..fault })
        };
        M::Key::read(&mut RowReader::new(fields, types)).map_err(named)
    };
    if form == Form::Keys {
        return read(fields, types);
    }
    // The rows below needed more of it.
    let (mut of_key, mut key_types) = (BytesMut::new(), Vec::new());
    for &column in key {
        put_field(&mut of_key, RawFields::new(fields).nth(column).flatten());
        key_types.extend(types.get(column).cloned());
    }
    read(&of_key, &key_types)
}

/// The report, or an error that holds it if rows were turned away.
pub(crate) fn without_rejects(report: Report) -> Result<Report> {
    if report.rejected() == 0 {
        return Ok(report);
    }
    let what = format!(
        "{} rows were turned away; the others were not; asked for by .report(), that is no error",
        report.rejected()
    );
    let positions: Vec<usize> = report.rejects().iter().map(|reject| reject.position).collect();
    Err(Error::new(ErrorKind::Rejected, what).of_rows(ranges(&positions)).with_report(report))
}

/// Fills in the relations of these rows with what was inserted below them.
fn with_below<M: ReadRow>(
    rows: Vec<Option<M>>,
    types: Arc<[ColumnType]>,
    graph: &Graph,
    below: session::Graph,
) -> Result<Vec<Option<M>>> {
    let mut stored = Stored::new(std::iter::once((M::MODEL, types)).chain(graph.types()).collect());
    let keys = graph.keys();
    // Also where nothing is below a row, that is known.
    let tree = graph.tree(below.depth + 1);
    for (label, kind) in below.kinds {
        if let Some((_, columns)) = keys.iter().find(|(known, _)| *known == label) {
            stored.add(label, columns, kind.stored);
        }
    }
    let loaded = relate_slots(rows, tree, &mut stored).now_or_never();
    // What is stored is at hand: nothing is waited for.
    loaded.unwrap_or_else(|| Err(Error::new(ErrorKind::Accounting, "what was inserted is not at hand")))
}

/// Decodes one row of all of the model's columns.
pub(crate) fn decode<M: ReadRow>(fields: &[u8], types: &[ColumnType]) -> Result<M> {
    M::read(&mut RowReader::new(fields, types)).map_err(unreadable::<M>)
}

/// The rows of an answer that were decoded as they came, in these types where they were not.
pub(crate) fn decode_answered<M: ReadRow>(rows: &EncodedRows, types: &[ColumnType]) -> Result<Vec<M>> {
    let mut decoded = Vec::new();
    decode_all(rows, types, &mut decoded).map_err(|(_, error)| error)?;
    Ok(decoded)
}

/// The same, behind others. The first row that cannot be read, with its error.
fn decode_all<M: ReadRow>(rows: &EncodedRows, types: &[ColumnType], into: &mut Vec<M>) -> Result<(), (usize, Error)> {
    into.reserve(rows.len());
    let mut decoded = rows.take_all_decoded().into_rows();
    for row in 0..rows.len() {
        let one = match decoded.next().flatten() {
            Some(decoded) => decoded.map_err(unreadable::<M>),
            None => decode(rows.fields(row), types),
        };
        into.push(one.map_err(|error| (row, error))?);
    }
    Ok(())
}

/// A stored value that has no place in the struct.
pub(crate) fn unreadable<M: BatchModel>(fault: ReadFault) -> Error {
    let column = M::MODEL.columns.get(fault.column).map_or("?", |column| column.name);
    Error::new(ErrorKind::Decode, format!("a stored value cannot be read: {}", fault.reason))
        .in_table(M::MODEL.display_name())
        .in_column(column)
}
