//! Encoding rows one after the other, in whichever form.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use super::below::BelowBuilder;
use super::buffer::Buffer;
use super::column_type::ColumnType;
use super::columns::ColumnBuilder;
use super::fault::Fault;
use super::form::RowForm;
use super::rows::EncodedRows;
use super::write::{ColumnWriter, RowWriter};

/// The most bytes of one row. The server takes no message of 1 GB (its `MaxAllocSize`), in which a row also has its
/// types and its place in an array.
const MAX_ROW_BYTES: usize = (1 << 30) - (1 << 16);

/// Encodes rows one after the other; a row is in wholly or not at all.
#[derive(Default)]
pub(crate) struct RowsBuilder {
    form: RowForm,
    /// One row behind the other, where that is the form.
    bytes: Buffer,
    ends: Vec<usize>,
    /// One column beside the other, where that is the form.
    columns: Vec<ColumnBuilder>,
    /// The number of bytes of all rows.
    own_bytes: usize,
    len: usize,
    /// The rows below these, by their kind.
    below: Vec<BelowBuilder>,
}

/// Whether a row of so many bytes is one that the server takes.
#[inline]
fn not_giant(bytes: usize) -> Result<(), Fault> {
    if bytes > MAX_ROW_BYTES { Err(Fault::TooLarge) } else { Ok(()) }
}

impl RowsBuilder {
    /// A builder of rows of so many fields, in this form.
    pub(crate) fn of(form: RowForm, fields: usize) -> Self {
        let columns = if form == RowForm::Columns { ColumnBuilder::side_by_side(fields) } else { Vec::new() };
        RowsBuilder { form, columns, ..RowsBuilder::default() }
    }

    /// Takes the memory of chunks that are through, before the first row of the next one.
    pub(crate) fn begin(&mut self) {
        self.bytes.begin();
        self.columns.iter_mut().for_each(|column| column.bytes.begin());
    }

    /// The number of bytes so far, those of the rows below too.
    #[inline]
    pub(crate) fn byte_len(&self) -> usize {
        if self.below.is_empty() { self.own_bytes } else { self.all_bytes() }
    }

    #[cold]
    fn all_bytes(&self) -> usize {
        self.own_bytes + self.below.iter().map(|below| below.rows.byte_len()).sum::<usize>()
    }

    /// The rows of this kind below these.
    pub(crate) fn below(&mut self, kind: usize) -> &mut BelowBuilder {
        if self.below.len() <= kind {
            self.below.resize_with(kind + 1, BelowBuilder::default);
        }
        &mut self.below[kind]
    }

    /// Takes back all rows but the first so many, and what is below them.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.len = rows;
        self.ends.truncate(rows);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
        self.own_bytes = self.bytes.len() + self.columns.iter().map(|column| column.bytes.len()).sum::<usize>();
        self.below.iter_mut().for_each(|below| below.truncate(rows));
    }

    /// How its rows lie.
    pub(crate) fn form(&self) -> &RowForm {
        &self.form
    }

    /// The number of rows so far.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends one row of the given columns; `write` is called once for each, with its position in `columns`.
    /// A row that fails leaves nothing behind; the position of its bad column is told.
    pub(crate) fn push(
        &mut self,
        columns: &[ColumnType],
        mut write: impl FnMut(usize, &mut ColumnWriter<'_>) -> Result<(), Fault>,
    ) -> Result<(), (usize, Fault)> {
        self.push_all(columns, |row| (0..columns.len()).try_for_each(|column| write(column, &mut row.field())))
    }

    /// The same; `write` is called once, and appends all fields.
    #[inline]
    pub(crate) fn push_all(
        &mut self,
        columns: &[ColumnType],
        write: impl FnOnce(&mut RowWriter<'_>) -> Result<(), Fault>,
    ) -> Result<(), (usize, Fault)> {
        if self.is_beside() { self.push_beside(columns, write) } else { self.push_behind(columns, write) }
    }

    /// Whether fields are written beside those before them, and not rows behind each other.
    #[inline]
    pub(crate) fn is_beside(&self) -> bool {
        !self.columns.is_empty()
    }

    /// Whether rows have one field, which is written beside those before it.
    #[inline]
    pub(crate) fn has_one_column(&self) -> bool {
        self.columns.len() == 1
    }

    /// The same of a row whose fields are written beside those before them.
    #[inline]
    pub(crate) fn push_beside(
        &mut self,
        columns: &[ColumnType],
        write: impl FnOnce(&mut RowWriter<'_>) -> Result<(), Fault>,
    ) -> Result<(), (usize, Fault)> {
        let mut row = RowWriter::new(&[], &mut self.bytes, &mut self.columns, columns);
        if let Err(fault) = write(&mut row) {
            let column = row.last();
            return Err(self.refused(column, fault));
        }
        if self.end_columns() > MAX_ROW_BYTES { Err(self.refused_giant(columns)) } else { Ok(()) }
    }

    /// Appends rows of one field each, which `write` appends, until there are so many, or so many bytes: the row that has
    /// no form, or `None` of it where there are no more. (Keys: what is done once for each row counts.)
    #[inline]
    pub(crate) fn push_fields<R>(
        &mut self,
        ty: &ColumnType,
        rows: &mut impl Iterator<Item = R>,
        most_rows: usize,
        most_bytes: usize,
        write: impl Fn(&R, &mut ColumnWriter<'_>) -> Result<(), Fault>,
    ) -> Option<Option<(R, Fault)>> {
        let [column] = &mut self.columns[..] else { return None };
        let (mut len, mut end) = (self.len, column.bytes.len());
        let ended = loop {
            if len >= most_rows || end >= most_bytes {
                break None;
            }
            let Some(row) = rows.next() else { break Some(None) };
            let written = write(&row, &mut ColumnWriter::new(&mut column.bytes, ty));
            if let Err(fault) = written.and_then(|()| not_giant(column.bytes.len() - end)) {
                break Some(Some((row, fault)));
            }
            end = column.end_row(len);
            len += 1;
        };
        (self.len, self.own_bytes) = (len, end);
        if let Some(Some(_)) = ended {
            self.truncate(len);
        }
        ended
    }

    /// Appends rows whose fields are written beside those before them, until there are so many, or so many bytes: the row
    /// that has no form, or `None` of it where there are no more.
    #[inline]
    pub(crate) fn push_all_beside<R>(
        &mut self,
        types: &[ColumnType],
        rows: &mut impl Iterator<Item = R>,
        most_rows: usize,
        most_bytes: usize,
        write: impl Fn(&R, &mut RowWriter<'_>) -> Result<(), Fault>,
    ) -> Option<Option<(R, (usize, Fault))>> {
        let (mut len, mut bytes) = (self.len, self.own_bytes);
        let ended = loop {
            if len >= most_rows || bytes >= most_bytes {
                break None;
            }
            let Some(row) = rows.next() else { break Some(None) };
            let mut fields = RowWriter::new(&[], &mut self.bytes, &mut self.columns, types);
            if let Err(fault) = write(&row, &mut fields) {
                break Some(Some((row, (fields.last(), fault))));
            }
            let all = self.columns.iter_mut().fold(0, |bytes, column| bytes + column.end_row(len));
            if let Err(fault) = not_giant(all - bytes) {
                break Some(Some((row, (types.len().saturating_sub(1), fault))));
            }
            (len, bytes) = (len + 1, all);
        };
        (self.len, self.own_bytes) = (len, bytes);
        if let Some(Some(_)) = ended {
            self.truncate(len);
        }
        ended
    }

    /// The same of a row that is written behind those before it.
    #[inline]
    pub(crate) fn push_behind(
        &mut self,
        columns: &[ColumnType],
        write: impl FnOnce(&mut RowWriter<'_>) -> Result<(), Fault>,
    ) -> Result<(), (usize, Fault)> {
        let start = self.bytes.len();
        let types = match &self.form {
            RowForm::Elements(types) => {
                self.bytes.put_u64(u64::try_from(columns.len()).unwrap_or(u64::MAX));
                &types[..]
            }
            // A table has at most 1,600 columns.
            _ => {
                self.bytes.put_i16(i16::try_from(columns.len()).unwrap_or(i16::MAX));
                &[]
            }
        };
        let mut row = RowWriter::new(types, &mut self.bytes, &mut [], columns);
        if let Err(fault) = write(&mut row) {
            let column = row.last();
            return Err(self.refused(column, fault));
        }
        if self.end_line(start) > MAX_ROW_BYTES { Err(self.refused_giant(columns)) } else { Ok(()) }
    }

    /// Takes back what was written of a row that has no form.
    #[cold]
    fn refused(&mut self, column: usize, fault: Fault) -> (usize, Fault) {
        self.truncate(self.len);
        (column, fault)
    }

    /// Takes back a row that has more bytes than the server takes.
    #[cold]
    fn refused_giant(&mut self, columns: &[ColumnType]) -> (usize, Fault) {
        self.truncate(self.len - 1);
        (columns.len().saturating_sub(1), Fault::TooLarge)
    }

    /// Ends a row in columns; the number of its bytes.
    #[inline]
    fn end_columns(&mut self) -> usize {
        let (len, before) = (self.len, self.own_bytes);
        self.own_bytes = self.columns.iter_mut().fold(0, |bytes, column| bytes + column.end_row(len));
        self.len = len + 1;
        self.own_bytes - before
    }

    /// Ends the row that began there, behind those before it; the number of its bytes.
    #[inline]
    fn end_line(&mut self, start: usize) -> usize {
        let end = self.bytes.len();
        if let RowForm::Elements(_) = self.form {
            let length = i32::try_from(end - start - 4).unwrap_or(i32::MAX);
            self.bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
        }
        self.ends.push(end);
        self.own_bytes = end;
        self.len += 1;
        end - start
    }

    /// Makes room for as many rows more, if they are like those that there are, and for so many bytes at most.
    pub(crate) fn reserve(&mut self, rows: usize, most_bytes: usize) {
        /// More is taken as it is needed.
        const MOST_BYTES: usize = 16 << 20;
        let most_bytes = most_bytes.min(MOST_BYTES);
        // Numbers in texts become longer.
        let bytes_of_one = (self.own_bytes / self.len.max(1) * 9 / 8).max(1);
        let rows = rows.min(most_bytes / bytes_of_one);
        let bytes_of = |bytes: usize| (bytes / self.len.max(1) * 9 / 8).saturating_mul(rows);
        let grow = |buffer: &mut Buffer| {
            let bytes = bytes_of(buffer.len());
            buffer.reserve(bytes);
        };
        grow(&mut self.bytes);
        self.columns.iter_mut().for_each(|column| grow(&mut column.bytes));
        if self.columns.is_empty() {
            self.ends.reserve(rows);
        }
    }

    /// Appends rows that were encoded elsewhere.
    pub(crate) fn append(&mut self, rows: &EncodedRows) {
        let before = self.len;
        if self.form == rows.form && self.form != RowForm::Columns {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(&rows.bytes);
            self.ends.extend(rows.ends.iter().map(|end| start + end));
            self.own_bytes = self.bytes.len();
            self.len += rows.len;
        } else {
            (0..rows.len).for_each(|row| self.push_raw(rows.row(row)));
        }
        for (kind, below) in rows.below().iter().enumerate() {
            self.below(kind).append(below, before);
        }
    }

    /// Appends one row of raw fields; where the form has columns, or their types, it has as many.
    pub(crate) fn push_raw<'a>(&mut self, mut fields: impl Iterator<Item = Option<&'a [u8]>>) {
        let start = self.bytes.len();
        match &self.form {
            RowForm::Columns => return self.push_raw_beside(|_| fields.next().flatten()),
            RowForm::Elements(types) => {
                self.bytes.put_u64(u64::try_from(types.len()).unwrap_or(u64::MAX));
                for (&ty, field) in types.iter().zip(fields) {
                    self.bytes.put_u32(ty);
                    put_field(&mut self.bytes, field);
                }
            }
            RowForm::Copy => {
                self.bytes.put_i16(0);
                let mut count = 0;
                for field in fields {
                    put_field(&mut self.bytes, field);
                    count += 1;
                }
                self.bytes[start..start + 2].copy_from_slice(&i16::to_be_bytes(count));
            }
        }
        self.end_line(start);
    }

    /// Appends one row of raw fields, each by its number. (In columns.)
    #[inline]
    pub(crate) fn push_raw_beside<'a>(&mut self, mut field: impl FnMut(usize) -> Option<&'a [u8]>) {
        let mut bytes = 0;
        for (number, column) in self.columns.iter_mut().enumerate() {
            put_field(&mut column.bytes, field(number));
            bytes += column.end_row(self.len);
        }
        self.own_bytes = bytes;
        self.len += 1;
    }

    /// Makes room for so many rows more, of so many bytes together. (In the form of COPY.)
    pub(crate) fn reserve_bytes(&mut self, rows: usize, bytes: usize) {
        self.bytes.reserve(bytes);
        self.ends.reserve(rows);
    }

    /// Appends one row of so many fields; `write` appends these, each with its length in front. (In the form of COPY.)
    #[inline]
    pub(crate) fn push_whole(&mut self, fields: usize, write: impl FnOnce(&mut BytesMut)) {
        debug_assert_eq!(self.form, RowForm::Copy);
        self.bytes.put_i16(i16::try_from(fields).unwrap_or(i16::MAX));
        write(&mut self.bytes);
        self.own_bytes = self.bytes.len();
        self.ends.push(self.own_bytes);
        self.len += 1;
    }

    /// The rows so far; the builder is empty again.
    pub(crate) fn finish(&mut self) -> EncodedRows {
        let below = (!self.below.is_empty()).then(|| self.below.iter_mut().map(BelowBuilder::finish).collect());
        self.own_bytes = 0;
        EncodedRows {
            form: self.form.clone(),
            bytes: self.bytes.finish(),
            ends: Arc::new(std::mem::take(&mut self.ends)),
            columns: self.columns.iter_mut().map(ColumnBuilder::finish).collect(),
            len: std::mem::take(&mut self.len),
            below,
            decoded: None,
        }
    }
}

/// Appends a field: its length (-1 for NULL) and its bytes. A field of over 2 GB was refused when it was written.
#[inline(always)]
pub(crate) fn put_field(out: &mut BytesMut, field: Option<&[u8]>) {
    // Most keys: length and value are one piece of a size that is known.
    match field.map(<[u8; 8]>::try_from) {
        Some(Ok(value)) => {
            let mut whole = [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
            whole[4..].copy_from_slice(&value);
            out.extend_from_slice(&whole);
        }
        _ => put_other(out, field),
    }
}

/// Appends a field of any size.
fn put_other(out: &mut BytesMut, field: Option<&[u8]>) {
    let Some(value) = field else { return out.put_i32(-1) };
    out.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
    out.extend_from_slice(value);
}
