//! The other forms of encoded rows: an array of the table's rows, one array per column, staged rows.

use bytes::{BufMut, Bytes, BytesMut};
use postgres_types::Oid;

use super::rows::EncodedRows;

/// What the binary form of a table's row consists of: all columns that are not dropped, in order.
#[derive(Debug, Clone)]
pub(crate) struct RowType {
    /// The OID of the table's row type.
    pub(crate) oid: Oid,
    /// For each column its type's OID, and which of the encoded fields it is; NULL where none is given.
    pub(crate) columns: Vec<(Oid, Option<usize>)>,
    /// The statement that keeps the table as it is while rows are on their way, where the current user may.
    pub(crate) lock: Option<String>,
}

/// A field that is NULL.
const NULL: &[u8] = &(-1_i32).to_be_bytes();

/// One array of the table's row type: the parameter of `unnest($1::the_table[])`.
pub(crate) fn row_array(rows: &EncodedRows, row_type: &RowType) -> Bytes {
    let mut out = BytesMut::with_capacity(rows.byte_len() + rows.len() * (8 + 8 * row_type.columns.len()) + 20);
    array_header(&mut out, row_type.oid, rows.len(), false);
    let count = i32::try_from(row_type.columns.len()).unwrap_or(i32::MAX);
    // Most often the rows give all columns, and in the table's order.
    let in_order = row_type.columns.iter().enumerate().all(|(position, (_, given))| *given == Some(position));
    let mut fields = Vec::new();
    for row in 0..rows.len() {
        let start = out.len();
        out.put_i32(0);
        out.put_i32(count);
        let mut given = rows.row(row);
        if in_order {
            for (oid, _) in &row_type.columns {
                out.put_u32(*oid);
                out.extend_from_slice(given.next_whole().unwrap_or(NULL));
            }
        } else {
            fields.clear();
            fields.extend(std::iter::from_fn(|| given.next_whole()));
            for (oid, given) in &row_type.columns {
                out.put_u32(*oid);
                out.extend_from_slice(given.and_then(|field| fields.get(field).copied()).unwrap_or(NULL));
            }
        }
        let length = i32::try_from(out.len() - start - 4).unwrap_or(i32::MAX);
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
    out.freeze()
}

/// One array for each of the fields named, with the OID of its elements' type: the parameters of
/// `unnest($1::int8[], $2::text[])`.
pub(crate) fn column_arrays(rows: &EncodedRows, fields: &[(usize, Oid)]) -> Vec<Bytes> {
    let mut arrays: Vec<BytesMut> = fields
        .iter()
        .map(|(_, oid)| {
            let mut out = BytesMut::with_capacity(rows.byte_len() / fields.len().max(1) + 20);
            array_header(&mut out, *oid, rows.len(), true);
            out
        })
        .collect();
    // Most often these are all fields, in their order.
    let in_order = fields.iter().enumerate().all(|(position, (field, _))| *field == position);
    let mut all = Vec::new();
    for row in 0..rows.len() {
        let mut given = rows.row(row);
        if in_order {
            for array in &mut arrays {
                array.extend_from_slice(given.next_whole().unwrap_or(NULL));
            }
            continue;
        }
        all.clear();
        all.extend(std::iter::from_fn(|| given.next_whole()));
        for (array, (field, _)) in arrays.iter_mut().zip(fields) {
            array.extend_from_slice(all.get(*field).copied().unwrap_or(NULL));
        }
    }
    arrays.into_iter().map(BytesMut::freeze).collect()
}

/// The same rows with one more field: the row's position in the chunk, from 1, as an int8.
pub(crate) fn staged_rows(rows: &EncodedRows) -> Bytes {
    let mut out = BytesMut::with_capacity(rows.byte_len() + rows.len() * 12);
    for row in 0..rows.len() {
        let fields = rows.fields(row);
        let count = rows.row(row).count() + 1;
        out.put_i16(i16::try_from(count).unwrap_or(i16::MAX));
        out.extend_from_slice(fields);
        out.put_i32(8);
        out.put_i64(i64::try_from(row + 1).unwrap_or(i64::MAX));
    }
    out.freeze()
}

fn array_header(out: &mut BytesMut, element: Oid, length: usize, nulls: bool) {
    out.put_i32(1);
    out.put_i32(i32::from(nulls));
    out.put_u32(element);
    out.put_i32(i32::try_from(length).unwrap_or(i32::MAX));
    out.put_i32(1);
}
