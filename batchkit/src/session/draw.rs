//! Keys that are drawn before their rows are sent: all of a statement in one array, in one question.

use bytes::Buf;
use postgres_types::ToSql;

use super::client::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::wire::{EncodedRows, RowsBuilder};

/// How the keys of rows are drawn.
#[derive(Debug)]
pub(crate) struct Draw {
    /// Answers one array of as many values as `$1` says, for each column that is drawn.
    pub(crate) sql: String,
}

impl Draw {
    /// The same rows with the drawn values behind their own.
    pub(super) async fn fill(&self, session: &Session<'_>, rows: &EncodedRows) -> Result<EncodedRows> {
        let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let parameters: [&(dyn ToSql + Sync); 1] = [&count];
        let (answer, _) = session.run(&self.sql, &parameters).await?;
        let arrays = if answer.is_empty() { Vec::new() } else { answer.row(0).collect() };
        let unknown = || Error::new(ErrorKind::Accounting, "the keys that were drawn have another form");
        let columns: Vec<Vec<&[u8]>> =
            arrays.into_iter().map(|array| elements(array?, rows.len())).collect::<Option<_>>().ok_or_else(unknown)?;
        let mut builder = RowsBuilder::default();
        let mut fields: Vec<Option<&[u8]>> = Vec::new();
        for row in 0..rows.len() {
            fields.clear();
            fields.extend(rows.row(row));
            fields.extend(columns.iter().map(|values| Some(values[row])));
            builder.push_raw(fields.iter().copied());
        }
        Ok(builder.finish().with_below(rows))
    }
}

/// The elements of an array of one dimension, of which there are so many, none of them NULL.
fn elements(mut array: &[u8], count: usize) -> Option<Vec<&[u8]>> {
    /// Dimensions, a flag for NULLs, the elements' type, their number and the lower bound.
    const HEAD: usize = 5 * 4;
    if array.len() < HEAD {
        return None;
    }
    array.advance(HEAD);
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let length = usize::try_from(array.try_get_i32().ok()?).ok()?;
        values.push(array.get(..length)?);
        array.advance(length);
    }
    array.is_empty().then_some(values)
}
