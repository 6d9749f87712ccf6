//! What a statement answers, as it comes: rows in bytes, decoded at once where that is wanted.

use futures_util::StreamExt;
use tokio_postgres::{Row, RowStream};

use crate::error::{Error, Result};
use crate::wire::{Decoder, EncodedRows, Raw, RowForm, RowsBuilder, Seen};

/// All rows of an answer, and the number in its tag.
pub(super) async fn read(stream: RowStream) -> Result<(EncodedRows, u64)> {
    read_decoded(stream, None).await
}

/// The same; the rows are decoded as they come, if that is wanted.
pub(super) async fn read_decoded(stream: RowStream, decoder: Option<&Decoder>) -> Result<(EncodedRows, u64)> {
    let mut stream = std::pin::pin!(stream);
    // What is kept of decoded rows is compared, field by field.
    let mut rows =
        decoder.map_or_else(RowsBuilder::default, |decoder| RowsBuilder::of(RowForm::Columns, decoder.kept.len()));
    let mut decoding = decoder.map(|decoder| (decoder, (decoder.start)()));
    // Up to the last one that is kept.
    let wanted = decoder.map_or(0, |decoder| {
        decoder.kept.iter().filter_map(|field| field.checked_sub(decoder.first)).max().map_or(0, |last| last + 1)
    });
    while let Some(row) = stream.next().await {
        let row = row?;
        match &mut decoding {
            None => push(&mut rows, &row)?,
            Some((decoder, decoding)) => {
                let seen = Seen::of(wanted);
                decoding.push(&row, decoder.first, &decoder.types, &seen);
                keep(&mut rows, &row, decoder, &seen)?;
            }
        }
    }
    let decoded = decoding.map(|(_, decoding)| decoding.finish());
    Ok((rows.finish().with_decoded(decoded), stream.rows_affected().unwrap_or(0)))
}

/// Appends all fields of a row.
pub(super) fn push(rows: &mut RowsBuilder, row: &Row) -> Result<()> {
    let mut refused = None;
    rows.push_raw((0..row.len()).map(|field| raw(row, field, &mut refused)));
    refused.map_or(Ok(()), Err)
}

/// Appends the fields of a row that are kept beside what it was decoded to.
#[inline]
fn keep<'r>(rows: &mut RowsBuilder, row: &'r Row, decoder: &Decoder, seen: &Seen<'r>) -> Result<()> {
    let mut refused = None;
    rows.push_raw_beside(|number| {
        let field = decoder.kept[number];
        let seen = field.checked_sub(decoder.first).and_then(|field| seen.get(field));
        seen.unwrap_or_else(|| raw(row, field, &mut refused))
    });
    refused.map_or(Ok(()), Err)
}

/// A field's bytes; NULL where the driver refuses it.
fn raw<'r>(row: &'r Row, field: usize, refused: &mut Option<Error>) -> Option<&'r [u8]> {
    match row.try_get::<_, Raw<'r>>(field) {
        Ok(raw) => raw.0,
        Err(error) => {
            *refused = Some(error.into());
            None
        }
    }
}
