//! The other forms of encoded rows: an array of the table's rows, one array per column, staged rows.

use bytes::{BufMut, Bytes, BytesMut};
use postgres_types::Oid;

use super::form::RowForm;
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

impl RowType {
    /// The form in which rows are elements of its array as they are: where their fields are all of its columns, in
    /// order.
    pub(crate) fn form(&self) -> Option<RowForm> {
        let in_order = self.columns.iter().enumerate().all(|(position, (_, given))| *given == Some(position));
        in_order.then(|| RowForm::Elements(self.columns.iter().map(|(oid, _)| *oid).collect()))
    }
}

/// The binary form of an array of one dimension.
#[derive(Debug, Clone)]
pub(crate) struct Array {
    pub(crate) head: [u8; 20],
    pub(crate) elements: Bytes,
}

impl Array {
    fn new(element: Oid, length: usize, elements: Bytes) -> Self {
        let length = i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes();
        let mut head = [0; 20];
        // One dimension, elements that may be NULL, their type, their number, and the lower bound.
        for (part, value) in
            head.chunks_exact_mut(4).zip([[0, 0, 0, 1], [0, 0, 0, 1], element.to_be_bytes(), length, [0, 0, 0, 1]])
        {
            part.copy_from_slice(&value);
        }
        Array { head, elements }
    }
}

/// A field that is NULL.
const NULL: &[u8] = &(-1_i32).to_be_bytes();

/// One array of the table's row type: the parameter of `unnest($1::the_table[])`.
pub(crate) fn row_array(rows: &EncodedRows, row_type: &RowType) -> Array {
    let form = row_type.form();
    if let Some(elements) = form.and_then(|form| rows.bytes_in(&form)) {
        return Array::new(row_type.oid, rows.len(), elements.clone());
    }
    let mut out = BytesMut::with_capacity(rows.byte_len() + rows.len() * (8 + 8 * row_type.columns.len()));
    let count = i32::try_from(row_type.columns.len()).unwrap_or(i32::MAX);
    let mut fields = Vec::new();
    for row in 0..rows.len() {
        let start = out.len();
        out.put_i32(0);
        out.put_i32(count);
        let mut given = rows.row(row);
        fields.clear();
        fields.extend(std::iter::from_fn(|| given.next_whole()));
        for (oid, given) in &row_type.columns {
            out.put_u32(*oid);
            out.extend_from_slice(given.and_then(|field| fields.get(field).copied()).unwrap_or(NULL));
        }
        let length = i32::try_from(out.len() - start - 4).unwrap_or(i32::MAX);
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
    Array::new(row_type.oid, rows.len(), out.freeze())
}

/// One array for each of the fields named, with the OID of its elements' type: the parameters that `unnest` takes apart
/// side by side.
pub(crate) fn column_arrays(rows: &EncodedRows, fields: &[(usize, Oid)]) -> Vec<Array> {
    let in_columns = fields.iter().map(|(field, oid)| {
        let column = rows.column(*field)?;
        Some(Array::new(*oid, rows.len(), column.bytes().clone()))
    });
    if let Some(arrays) = in_columns.collect() {
        return arrays;
    }
    let mut all = Vec::new();
    let mut each = |take: &mut dyn FnMut(usize, &[u8])| {
        for row in 0..rows.len() {
            let mut given = rows.row(row);
            all.clear();
            all.extend(std::iter::from_fn(|| given.next_whole()));
            for (column, (field, _)) in fields.iter().enumerate() {
                take(column, all.get(*field).copied().unwrap_or(NULL));
            }
        }
    };
    // A column may have nearly all bytes. One that grew would be in memory twice.
    let mut bytes = vec![0; fields.len()];
    each(&mut |column, field| bytes[column] += field.len());
    let mut columns: Vec<BytesMut> = bytes.into_iter().map(BytesMut::with_capacity).collect();
    each(&mut |column, field| columns[column].extend_from_slice(field));
    let array = |(column, (_, oid)): (BytesMut, &(usize, Oid))| Array::new(*oid, rows.len(), column.freeze());
    columns.into_iter().zip(fields).map(array).collect()
}

/// The same rows with one more field: the row's position in the chunk, from 1, as an int8.
pub(crate) fn staged_rows(rows: &EncodedRows) -> Bytes {
    let mut out = BytesMut::with_capacity(rows.byte_len() + rows.len() * 12);
    for row in 0..rows.len() {
        let start = out.len();
        out.put_i16(0);
        let (mut fields, mut count) = (rows.row(row), 1);
        while let Some(field) = fields.next_whole() {
            out.extend_from_slice(field);
            count += 1;
        }
        out[start..start + 2].copy_from_slice(&i16::to_be_bytes(count));
        out.put_i32(8);
        out.put_i64(i64::try_from(row + 1).unwrap_or(i64::MAX));
    }
    out.freeze()
}
