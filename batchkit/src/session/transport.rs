//! How a chunk's rows travel: COPY into the target, one array of rows, one array per column, a staging
//! table, or one statement per row. All take the same encoded rows and answer in the same form.

use postgres_types::{Oid, ToSql};

use super::client::Session;
use super::probe::Probe;
use super::shape::Text;
use super::values::Encoded;
use crate::error::{Error, ErrorKind, Result};
use crate::source::Limits;
use crate::sql::{Source, stage_copy, stage_drop};
use crate::wire::{EncodedRows, RowForm, RowType, column_arrays, row_array, staged_rows};

/// How rows travel, with what each way needs to know.
#[derive(Debug)]
pub(crate) enum Carrier {
    /// COPY straight into the target.
    CopyInto(Probe),
    /// One parameter: an array of the table's row type.
    Rows(RowType),
    /// One array parameter per column; arrays and composites go in one more, of the table's row type.
    Columns {
        /// The fields of the encoded rows that have a parameter of their own, with their types' OIDs.
        single: Vec<(usize, Oid)>,
        /// The row type that carries the columns that `unnest` would take apart.
        whole: Option<RowType>,
    },
    /// COPY into a temporary table, which the statement reads.
    Stage {
        /// Asked of the target, whose columns the temporary table gets.
        probe: Probe,
        /// Makes the temporary table.
        create: String,
        /// Whether it has the rows' ordinals behind their fields.
        ordinals: bool,
    },
    /// One statement per row, by the carrier inside.
    Single(Box<Carrier>),
}

/// The most of one UNNEST statement that inserts: larger arrays are slower.
pub(crate) const INSERTED: Limits = Limits { rows: 20_000, bytes: 64 << 20 };
/// The most of one UNNEST statement that joins rows with those that are stored: the server reads a table of some
/// hundred thousand rows once per statement rather than look each row up. (A message can have 1 GB.)
pub(crate) const JOINED: Limits = Limits { rows: 100_000, bytes: 64 << 20 };
/// The most bytes of encoded rows in one parameter; its other forms add to it.
const PARAMETER_BYTES: usize = 512 << 20;

impl Carrier {
    /// The FROM item of the statement that belongs to this carrier; `None` where COPY is the statement.
    pub(crate) fn source(&self) -> Option<Source> {
        match self {
            Carrier::CopyInto(_) => None,
            Carrier::Rows(_) => Some(Source::Rows),
            Carrier::Columns { .. } => Some(Source::Columns),
            Carrier::Stage { .. } => Some(Source::Stage),
            Carrier::Single(inner) => inner.source(),
        }
    }

    /// Cuts a chunk's rows into statements: ranges of rows, none empty, by UNNEST of at most so many.
    pub(crate) fn statements(&self, rows: &EncodedRows, most: Limits) -> Vec<std::ops::Range<usize>> {
        match self {
            Carrier::CopyInto(_) | Carrier::Stage { .. } => std::iter::once(0..rows.len()).collect(),
            Carrier::Rows(_) | Carrier::Columns { .. } => rows.cut(most.rows, most.bytes),
            Carrier::Single(_) => rows.cut(1, usize::MAX),
        }
    }

    /// Whether a statement's rows are its parameters, and the statement may have been prepared for an earlier call:
    /// where [`lock`](Self::lock) tells what to send before it, or there are no rows of the table's own type.
    pub(crate) fn is_parameters(&self) -> bool {
        matches!(self, Carrier::Columns { whole: None, .. }) || self.lock().is_some()
    }

    /// The statement that has to be sent before it, where rows of the table's own type are among its parameters.
    pub(crate) fn lock(&self) -> Option<&str> {
        match self {
            Carrier::Rows(row_type) | Carrier::Columns { whole: Some(row_type), .. } => row_type.lock.as_deref(),
            _ => None,
        }
    }

    /// The form of rows that it sends as they are, where these have so many fields.
    pub(crate) fn form(&self, fields: usize) -> RowForm {
        match self {
            Carrier::Rows(row_type) => row_type.form().unwrap_or_default(),
            Carrier::Columns { single, whole: None } if single.len() == fields => RowForm::Columns,
            _ => RowForm::Copy,
        }
    }

    /// One statement's rows as its parameters.
    pub(crate) fn parameters(&self, rows: &EncodedRows) -> Result<Vec<Encoded>> {
        refuse_giant(rows)?;
        Ok(match self {
            Carrier::Rows(row_type) => Encoded::arrays(vec![row_array(rows, row_type)]),
            Carrier::Columns { single, whole } => {
                let mut arrays = column_arrays(rows, single);
                arrays.extend(whole.as_ref().map(|row_type| row_array(rows, row_type)));
                Encoded::arrays(arrays)
            }
            Carrier::Single(inner) => inner.parameters(rows)?,
            // The rows go by COPY.
            Carrier::CopyInto(_) | Carrier::Stage { .. } => Vec::new(),
        })
    }

    /// Sends one statement's rows; the rows of the answer, and the number in the command's tag.
    pub(crate) async fn send(
        &self,
        session: &Session<'_>,
        text: Text<'_>,
        rows: &EncodedRows,
    ) -> Result<(EncodedRows, u64)> {
        match self {
            Carrier::CopyInto(probe) => {
                let rows = rows.in_copy_form().bytes().clone();
                Ok((EncodedRows::default(), session.copy_into(probe, text.sql, rows).await?))
            }
            Carrier::Rows(row_type) => run(session, text, self.parameters(rows)?, Some(row_type)).await,
            Carrier::Columns { whole, .. } => run(session, text, self.parameters(rows)?, whole.as_ref()).await,
            Carrier::Stage { probe, create, ordinals } => {
                // Made of the target's columns, it has their types.
                session.run_behind(create, probe.text(), &[]).await?;
                let staged = if *ordinals { staged_rows(rows) } else { rows.in_copy_form().bytes().clone() };
                session.copy_in(&stage_copy(), staged).await?;
                let answer = session.run(text, &[]).await?;
                // In the caller's transaction there may be a next call before it ends.
                if matches!(session, Session::Caller(_)) {
                    session.execute(&stage_drop()).await?;
                }
                Ok(answer)
            }
            Carrier::Single(inner) => Box::pin(inner.send(session, text, rows)).await,
        }
    }
}

fn refuse_giant(rows: &EncodedRows) -> Result<()> {
    if rows.byte_len() <= PARAMETER_BYTES {
        return Ok(());
    }
    let what = format!("one statement's rows have {} bytes; by UNNEST {PARAMETER_BYTES} is the limit", rows.byte_len());
    Err(Error::new(ErrorKind::InvalidRow, what))
}

async fn run(
    session: &Session<'_>,
    text: Text<'_>,
    parameters: Vec<Encoded>,
    row_type: Option<&RowType>,
) -> Result<(EncodedRows, u64)> {
    let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|p| p as &(dyn ToSql + Sync)).collect();
    match row_type {
        None => session.run(text, &parameters).await,
        Some(row_type) => session.run_with_rows(row_type.lock.as_deref(), text, &parameters).await,
    }
}
