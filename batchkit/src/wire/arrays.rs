//! The other forms of encoded rows: an array of the table's rows, one array per column, staged rows.

use bytes::{BufMut, Bytes, BytesMut};
use postgres_types::Oid;

use super::rows::{EncodedRows, put_field};

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

/// One array of the table's row type: the parameter of `unnest($1::the_table[])`.
pub(crate) fn row_array(rows: &EncodedRows, row_type: &RowType) -> Bytes {
    let mut out = BytesMut::with_capacity(rows.byte_len() + rows.len() * (8 + 8 * row_type.columns.len()) + 20);
    array_header(&mut out, row_type.oid, rows.len(), false);
    let count = i32::try_from(row_type.columns.len()).unwrap_or(i32::MAX);
    let mut fields = Vec::new();
    for row in 0..rows.len() {
        fields.clear();
        fields.extend(rows.row(row));
        let start = out.len();
        out.put_i32(0);
        out.put_i32(count);
        for (oid, given) in &row_type.columns {
            out.put_u32(*oid);
            put_field(&mut out, given.and_then(|field| fields.get(field).copied().flatten()));
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
    let mut all = Vec::new();
    for row in 0..rows.len() {
        all.clear();
        all.extend(rows.row(row));
        for (array, (field, _)) in arrays.iter_mut().zip(fields) {
            put_field(array, all.get(*field).copied().flatten());
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
