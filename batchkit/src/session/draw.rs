//! Values that are drawn before their rows are sent: all of a statement in one array per column, in one question.

use bytes::Buf;
use postgres_types::ToSql;

use super::client::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::wire::{EncodedRows, RowsBuilder};

/// How the values of rows are drawn that these do not give.
#[derive(Debug, Clone)]
pub(crate) struct Draw {
    /// Answers one array of as many values as `$1` says for each column that is drawn, and at last whether the table
    /// is as it was known to be.
    pub(crate) sql: String,
    /// The lock under which the table stays so until the transaction's end.
    pub(crate) lock: Option<String>,
    /// Where each field of a row that is sent comes from.
    pub(crate) places: Vec<Place>,
}

/// Where a field comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is the next one that the row gives.
    Given,
    /// It is drawn: the array's position in the answer.
    Drawn(usize),
}

impl Draw {
    /// The same rows with the drawn values at their places; `None` where the table is no longer as it was known.
    pub(super) async fn fill(&self, session: &Session<'_>, rows: &EncodedRows) -> Result<Option<EncodedRows>> {
        let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let parameters: [&(dyn ToSql + Sync); 1] = [&count];
        let (answer, _) = match &self.lock {
            None => session.run((&*self.sql).into(), &parameters).await?,
            Some(lock) => session.run_behind(lock, (&*self.sql).into(), &parameters).await?,
        };
        let unknown = || Error::new(ErrorKind::Accounting, "the values that were drawn have another form");
        let mut arrays: Vec<Option<&[u8]>> = if answer.is_empty() { Vec::new() } else { answer.row(0).collect() };
        let is_known = arrays.pop().ok_or_else(unknown)? == Some(&[1]);
        if !is_known {
            return Ok(None);
        }
        if self.places.iter().all(|place| *place == Place::Given) {
            return Ok(Some(rows.clone()));
        }
        let rows = rows.in_copy_form();
        let columns = arrays.into_iter().map(|array| Some(elements(array?, rows.len())?.into_iter()));
        let mut columns: Vec<_> = columns.collect::<Option<_>>().ok_or_else(unknown)?;
        let drawn_bytes: usize =
            columns.iter().map(|column| column.as_slice().iter().map(|field| field.len()).sum::<usize>()).sum();
        let mut builder = RowsBuilder::default();
        builder.reserve_bytes(rows.len(), rows.byte_len() + drawn_bytes);
        // Most often what is drawn comes first: behind the last of it, a row is taken as it is.
        let last = self.places.iter().rposition(|place| *place != Place::Given).map_or(0, |last| last + 1);
        for row in 0..rows.len() {
            let mut given = rows.row(row);
            builder.push_whole(self.places.len(), |out| {
                for place in &self.places[..last] {
                    out.extend_from_slice(match *place {
                        Place::Given => given.next_whole().unwrap_or(NULL),
                        Place::Drawn(column) => columns[column].next().unwrap_or(NULL),
                    });
                }
                out.extend_from_slice(given.rest());
            });
        }
        Ok(Some(builder.finish().with_below(&rows)))
    }
}

/// A field that is NULL.
const NULL: &[u8] = &(-1_i32).to_be_bytes();

/// The elements of an array of one dimension, of which there are so many, each with its length in front.
fn elements(mut array: &[u8], count: usize) -> Option<Vec<&[u8]>> {
    /// Dimensions, a flag for NULLs, the elements' type, their number and the lower bound.
    const HEAD: usize = 5 * 4;
    if array.len() < HEAD {
        return None;
    }
    array.advance(HEAD);
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let length = i32::from_be_bytes(*array.first_chunk()?);
        let (value, behind) = array.split_at_checked(4 + usize::try_from(length).unwrap_or(0))?;
        values.push(value);
        array = behind;
    }
    array.is_empty().then_some(values)
}
