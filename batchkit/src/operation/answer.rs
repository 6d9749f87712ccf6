//! The end of the way: answered rows become the caller's structs again.

use std::sync::Arc;

use crate::catalog::Table;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Model, ReadRow};
use crate::report::Report;
use crate::session::StoredRow;
use crate::source::ranges;
use crate::wire::{ColumnType, RowReader};

/// The report of a call and its stored rows, still encoded.
#[doc(hidden)]
#[derive(Debug)]
pub struct Answered {
    pub(super) report: Report,
    pub(super) rows: Vec<Option<StoredRow>>,
    pub(super) types: Arc<[ColumnType]>,
}

impl Answered {
    /// The same, or an error that holds the report if rows were turned away: they are never passed over.
    pub(super) fn without_rejects(self) -> Result<Self> {
        let Answered { report, rows, types } = self;
        Ok(Answered { report: without_rejects(report)?, rows, types })
    }

    /// The stored rows in input order, decoded.
    pub(super) fn rows<M: ReadRow>(self) -> impl Iterator<Item = Result<Option<M>>> {
        let Answered { rows, types, .. } = self;
        rows.into_iter().enumerate().map(move |(position, row)| match row {
            None => Ok(None),
            Some(row) => decode(row.fields(), &types).map(Some).map_err(|error| error.of_row(position)),
        })
    }
}

/// The report, or an error that holds it if rows were turned away.
pub(crate) fn without_rejects(report: Report) -> Result<Report> {
    if report.rejected() == 0 {
        return Ok(report);
    }
    let what = format!("{} rows were turned away; ask for .report() to go on with the others", report.rejected());
    let positions: Vec<usize> = report.rejects().iter().map(|reject| reject.position).collect();
    Err(Error::new(ErrorKind::Rejected, what).of_rows(ranges(&positions)).with_report(report))
}

/// The types to decode all columns of the model with.
pub(crate) fn read_types(model: &Model, table: &Table) -> Arc<[ColumnType]> {
    let columns = model.columns.iter().filter_map(|column| {
        let found = table.column(column.name)?;
        Some(ColumnType::new(found.ty.clone(), found.not_null, |ty| column.accepts(ty)))
    });
    columns.collect()
}

/// Decodes one row of all of the model's columns.
pub(crate) fn decode<M: ReadRow>(fields: &[u8], types: &[ColumnType]) -> Result<M> {
    M::read(&mut RowReader::new(fields, types)).map_err(|fault| {
        let column = M::MODEL.columns.get(fault.column).map_or("?", |column| column.name);
        Error::new(ErrorKind::Decode, format!("a stored value cannot be read: {}", fault.reason))
            .in_table(M::MODEL.display_name())
            .in_column(column)
    })
}
