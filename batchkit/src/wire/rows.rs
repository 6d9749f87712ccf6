//! Encoded rows: owned bytes, in the form that they were encoded in.

use std::ops::Range;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::below::{Below, BelowBuilder};
use super::column_type::ColumnType;
use super::columns::{Column, ColumnBuilder};
use super::decoded::Decoded;
use super::fault::{Fault, ReadFault};
use super::fields::{RawFields, value};
use super::form::RowForm;
use super::write::{ColumnWriter, RowWriter};
use crate::model::ReadRow;

/// Rows in one of the forms of [`RowForm`].
#[derive(Clone, Default)]
pub(crate) struct EncodedRows {
    form: RowForm,
    /// One row behind the other, where that is the form.
    bytes: Bytes,
    ends: Arc<Vec<usize>>,
    /// One column beside the other, where that is the form.
    columns: Vec<Column>,
    len: usize,
    /// The rows below these, by their kind; `None` where there are no kinds.
    below: Option<Arc<[Below]>>,
    /// What an answer's rows were decoded to as they came. Then these have only those of their fields that were asked
    /// for.
    decoded: Option<Arc<Decoded>>,
}

impl EncodedRows {
    /// The number of rows.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of bytes of all rows, those below them too.
    pub(crate) fn byte_len(&self) -> usize {
        self.bytes_of(0..self.len)
    }

    /// The rows below these, by their kind.
    pub(crate) fn below(&self) -> &[Below] {
        self.below.as_deref().unwrap_or_default()
    }

    /// The same rows with others below them.
    pub(crate) fn with_below(self, below: &EncodedRows) -> EncodedRows {
        EncodedRows { below: below.below.clone(), ..self }
    }

    /// The same rows, with what they were decoded to.
    pub(crate) fn with_decoded(self, decoded: Option<Decoded>) -> EncodedRows {
        EncodedRows { decoded: decoded.map(Arc::new), ..self }
    }

    /// Whether the rows were decoded as they came.
    pub(crate) fn is_decoded(&self) -> bool {
        self.decoded.is_some()
    }

    /// Takes out what a row was decoded to as it came, if it was and nobody has taken it.
    pub(crate) fn take_decoded<M: ReadRow>(&self, row: usize) -> Option<Result<M, ReadFault>> {
        self.decoded.as_ref()?.take(row)
    }

    /// The same of all rows; empty where they were not.
    pub(crate) fn take_all_decoded<M: ReadRow>(&self) -> Vec<Option<Result<M, ReadFault>>> {
        self.decoded.as_ref().map(|decoded| decoded.take_all()).unwrap_or_default()
    }

    /// The same rows as COPY takes them; without a copy where they are in that form.
    pub(crate) fn in_copy_form(&self) -> EncodedRows {
        if self.form == RowForm::Copy {
            return self.clone();
        }
        let mut builder = RowsBuilder::default();
        (0..self.len).for_each(|row| builder.push_raw(self.row(row)));
        builder.finish().with_below(self)
    }

    /// All rows behind each other, where they are in this form.
    pub(super) fn bytes_in(&self, form: &RowForm) -> Option<&Bytes> {
        (self.form == *form).then_some(&self.bytes)
    }

    /// All fields of a column behind each other, where the rows are in columns.
    pub(super) fn column(&self, field: usize) -> Option<&Column> {
        self.columns.get(field)
    }

    /// All rows, as COPY takes them between its header and its trailer. (For rows that are in no other form: see
    /// [`in_copy_form`](Self::in_copy_form).)
    pub(crate) fn bytes(&self) -> &Bytes {
        debug_assert_eq!(self.form, RowForm::Copy);
        &self.bytes
    }

    /// The fields of row number `row` behind each other. (For rows in the form of COPY.)
    pub(crate) fn fields(&self, row: usize) -> &[u8] {
        debug_assert_eq!(self.form, RowForm::Copy);
        self.line(row)
    }

    fn line(&self, row: usize) -> &[u8] {
        &self.bytes[self.start(row) + self.form.head()..self.ends[row]]
    }

    fn start(&self, row: usize) -> usize {
        row.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    /// The raw fields of a row; `None` is NULL.
    #[inline]
    pub(crate) fn row(&self, row: usize) -> RawFields<'_> {
        match self.form {
            RowForm::Columns => RawFields::across(&self.columns, row),
            _ => RawFields::behind(self.line(row), self.form.gap()),
        }
    }

    /// A raw field of a row; `None` is NULL.
    #[inline]
    pub(crate) fn field(&self, row: usize, field: usize) -> Option<&[u8]> {
        match self.columns.get(field) {
            Some(column) => value(column.whole(row)),
            None => self.row(row).nth(field).flatten(),
        }
    }

    /// A raw field of each row; `None` is NULL.
    pub(crate) fn fields_at(&self, field: usize) -> FieldsAt<'_> {
        if self.form == RowForm::Columns {
            return FieldsAt::Column { column: self.columns.get(field), rows: 0..self.len };
        }
        let (head, gap) = (self.form.head(), self.form.gap());
        FieldsAt::Rows { bytes: &self.bytes, ends: self.ends.iter(), start: 0, head, gap, field }
    }

    /// A column's fields behind each other, and the number of bytes of each, where the rows are in columns and all of
    /// these have the same length and none is NULL. The last bytes of each are the value.
    pub(crate) fn values(&self, field: usize) -> Option<(&[u8], usize)> {
        let column = self.columns.get(field)?;
        Some((column.bytes(), column.width()?))
    }

    /// These rows alone, sharing the bytes.
    pub(crate) fn slice(&self, rows: Range<usize>) -> EncodedRows {
        if rows == (0..self.len) {
            return EncodedRows { decoded: None, ..self.clone() };
        }
        let below = self.below.as_ref().map(|kinds| kinds.iter().map(|below| below.slice(rows.clone())).collect());
        let (form, len) = (self.form.clone(), rows.len());
        if form == RowForm::Columns {
            let columns = self.columns.iter().map(|column| column.slice(rows.clone())).collect();
            return EncodedRows { form, columns, len, below, ..EncodedRows::default() };
        }
        let (start, end) = (self.start(rows.start), self.start(rows.end));
        let ends = Arc::new(self.ends[rows].iter().map(|at| at - start).collect());
        EncodedRows { form, bytes: self.bytes.slice(start..end), ends, len, below, ..EncodedRows::default() }
    }

    /// Cuts the rows into ranges of at most so many rows and bytes, at least one row each.
    pub(crate) fn cut(&self, most_rows: usize, most_bytes: usize) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        let mut first = 0;
        while first < self.len() {
            let rows = self.fitting(first..self.len(), most_rows, most_bytes).max(1);
            ranges.push(first..first + rows);
            first += rows;
        }
        ranges
    }

    /// How many of these rows, from the first on, are at most so many and have at most so many bytes.
    pub(crate) fn fitting(&self, rows: Range<usize>, most_rows: usize, most_bytes: usize) -> usize {
        let Range { start, end } = rows;
        let end = end.min(start.saturating_add(most_rows));
        if self.bytes_of(start..end) <= most_bytes {
            return end - start;
        }
        // The bytes of the first rows only grow with their number.
        let (mut fit, mut too_many) = (0, end - start);
        while too_many - fit > 1 {
            let middle = usize::midpoint(fit, too_many);
            let fits = self.bytes_of(start..start + middle) <= most_bytes;
            *(if fits { &mut fit } else { &mut too_many }) = middle;
        }
        fit
    }

    /// The number of bytes of these rows, those below them too.
    pub(crate) fn bytes_of(&self, rows: Range<usize>) -> usize {
        let below = self.below().iter().map(|below| below.rows.bytes_of(below.of(rows.clone()))).sum::<usize>();
        let own = match self.form {
            RowForm::Columns => self.columns.iter().map(|column| column.bytes_of(rows.clone())).sum(),
            _ => self.start(rows.end) - self.start(rows.start),
        };
        own + below
    }

    /// A copy of these rows, in this order.
    pub(crate) fn subset(&self, rows: &[usize]) -> EncodedRows {
        let below = self.below.as_ref().map(|kinds| kinds.iter().map(|below| below.subset(rows)).collect());
        let (form, len) = (self.form.clone(), rows.len());
        if form == RowForm::Columns {
            let columns = self.columns.iter().map(|column| column.subset(rows)).collect();
            return EncodedRows { form, columns, len, below, ..EncodedRows::default() };
        }
        let mut bytes = BytesMut::with_capacity(rows.iter().map(|&row| self.ends[row] - self.start(row)).sum());
        let mut ends = Vec::with_capacity(rows.len());
        for &row in rows {
            bytes.extend_from_slice(&self.bytes[self.start(row)..self.ends[row]]);
            ends.push(bytes.len());
        }
        EncodedRows { form, bytes: bytes.freeze(), ends: Arc::new(ends), len, below, ..EncodedRows::default() }
    }
}

/// One field of all rows, row by row.
pub(crate) enum FieldsAt<'a> {
    /// Out of rows behind each other.
    Rows { bytes: &'a [u8], ends: std::slice::Iter<'a, usize>, start: usize, head: usize, gap: usize, field: usize },
    /// Out of its column, if there is one.
    Column { column: Option<&'a Column>, rows: Range<usize> },
}

impl<'a> Iterator for FieldsAt<'a> {
    type Item = Option<&'a [u8]>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            FieldsAt::Rows { bytes, ends, start, head, gap, field } => {
                let end = *ends.next()?;
                let row = bytes.get(*start + *head..end)?;
                *start = end;
                Some(RawFields::behind(row, *gap).nth(*field).flatten())
            }
            FieldsAt::Column { column, rows } => {
                let row = rows.next()?;
                Some(column.and_then(|column| value(column.whole(row))))
            }
        }
    }
}

// Never prints a row's bytes.
impl std::fmt::Debug for EncodedRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncodedRows").field("rows", &self.len).field("bytes", &self.byte_len()).finish()
    }
}

/// The most bytes of one row. The server takes no message of 1 GB (its `MaxAllocSize`), in which a row also has its
/// types and its place in an array.
const MAX_ROW_BYTES: usize = (1 << 30) - (1 << 16);

/// Encodes rows one after the other; a row is in wholly or not at all.
#[derive(Default)]
pub(crate) struct RowsBuilder {
    form: RowForm,
    /// One row behind the other, where that is the form.
    bytes: BytesMut,
    ends: Vec<usize>,
    /// One column beside the other, where that is the form.
    columns: Vec<ColumnBuilder>,
    /// The number of bytes of all rows.
    own_bytes: usize,
    len: usize,
    /// The rows below these, by their kind.
    below: Vec<BelowBuilder>,
}

impl RowsBuilder {
    /// A builder of rows of so many fields, in this form.
    pub(crate) fn of(form: RowForm, fields: usize) -> Self {
        let mut columns = Vec::new();
        if form == RowForm::Columns {
            columns.resize_with(fields, ColumnBuilder::default);
        }
        RowsBuilder { form, columns, ..RowsBuilder::default() }
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
        let start = self.begin_row(columns.len());
        let mut row = RowWriter::new(&self.form, &mut self.bytes, &mut self.columns, columns);
        let written = write(&mut row).map_err(|fault| (row.last(), fault));
        match written {
            Ok(()) if self.columns.is_empty() => self.end_line(start, columns.len()),
            Ok(()) => {
                self.end_columns();
                Ok(())
            }
            Err(bad) => {
                self.take_back();
                Err(bad)
            }
        }
    }

    /// Begins a row; the number of bytes before it.
    #[inline]
    fn begin_row(&mut self, fields: usize) -> usize {
        let start = self.bytes.len();
        match self.form {
            // A table has at most 1,600 columns.
            RowForm::Copy => self.bytes.put_i16(i16::try_from(fields).unwrap_or(i16::MAX)),
            RowForm::Elements(_) => self.bytes.put_u64(u64::try_from(fields).unwrap_or(u64::MAX)),
            RowForm::Columns => {}
        }
        start
    }

    /// Ends a row in columns. The parameters that these become have a limit of their own.
    #[inline]
    fn end_columns(&mut self) {
        let len = self.len;
        self.own_bytes = self.columns.iter_mut().fold(0, |bytes, column| bytes + column.end_row(len));
        self.len = len + 1;
    }

    /// Ends the row that began there, behind those before it.
    #[inline]
    fn end_line(&mut self, start: usize, fields: usize) -> Result<(), (usize, Fault)> {
        let end = self.bytes.len();
        if end - start > MAX_ROW_BYTES {
            self.take_back();
            return Err((fields.saturating_sub(1), Fault::TooLarge));
        }
        if let RowForm::Elements(_) = self.form {
            let length = i32::try_from(end - start - 4).unwrap_or(i32::MAX);
            self.bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
        }
        self.ends.push(end);
        self.own_bytes = end;
        self.len += 1;
        Ok(())
    }

    /// Makes room for as many rows more, if they are like those that there are, and for so many bytes at most.
    pub(crate) fn reserve(&mut self, rows: usize, most_bytes: usize) {
        /// More is taken as it is needed.
        const MOST_BYTES: usize = 16 << 20;
        let most_bytes = most_bytes.min(MOST_BYTES);
        // Numbers in texts become longer.
        let bytes_of = |bytes: usize| (bytes / self.len.max(1) * 9 / 8).saturating_mul(rows).min(most_bytes);
        self.bytes.reserve(bytes_of(self.bytes.len()));
        self.columns.iter_mut().for_each(|column| column.bytes.reserve(bytes_of(column.bytes.len())));
        if self.columns.is_empty() {
            let bytes_of_one = (self.bytes.len() / self.len.max(1)).max(1);
            self.ends.reserve(rows.min(most_bytes / bytes_of_one));
        }
    }

    /// Takes back what was written of a row that has no form.
    #[cold]
    fn take_back(&mut self) {
        self.truncate(self.len);
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

    /// Appends one row of raw fields; the rows are in the form of COPY, or in columns of which it has as many.
    pub(crate) fn push_raw<'a>(&mut self, fields: impl Iterator<Item = Option<&'a [u8]>>) {
        debug_assert!(matches!(self.form, RowForm::Copy | RowForm::Columns));
        if self.form == RowForm::Columns {
            for (column, field) in self.columns.iter_mut().zip(fields) {
                put_field(&mut column.bytes, field);
            }
            self.end_columns();
            return;
        }
        let start = self.bytes.len();
        self.bytes.put_i16(0);
        let mut count = 0;
        for field in fields {
            put_field(&mut self.bytes, field);
            count += 1;
        }
        self.bytes[start..start + 2].copy_from_slice(&i16::to_be_bytes(count));
        self.own_bytes = self.bytes.len();
        self.ends.push(self.own_bytes);
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
            bytes: self.bytes.split().freeze(),
            ends: Arc::new(std::mem::take(&mut self.ends)),
            columns: self.columns.iter_mut().map(ColumnBuilder::finish).collect(),
            len: std::mem::take(&mut self.len),
            below,
            decoded: None,
        }
    }
}

/// Appends a field: its length (-1 for NULL) and its bytes. A field of over 2 GB was refused when it was written.
#[inline]
pub(crate) fn put_field(out: &mut BytesMut, field: Option<&[u8]>) {
    match field {
        None => out.put_i32(-1),
        Some(value) => {
            out.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
            out.extend_from_slice(value);
        }
    }
}
