//! Encoded rows: owned bytes, in the form that they were encoded in.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::below::Below;
use super::builder::RowsBuilder;
use super::columns::Column;
use super::decoded::{Decoded, DecodedRows};
use super::fault::ReadFault;
use super::fields::{RawFields, value};
use super::form::RowForm;
use crate::model::ReadRow;

/// Rows in one of the forms of [`RowForm`].
#[derive(Clone, Default)]
pub(crate) struct EncodedRows {
    pub(super) form: RowForm,
    /// One row behind the other, where that is the form.
    pub(super) bytes: Bytes,
    pub(super) ends: Arc<Vec<usize>>,
    /// One column beside the other, where that is the form.
    pub(super) columns: Arc<[Column]>,
    pub(super) len: usize,
    /// The rows below these, by their kind; `None` where there are no kinds.
    pub(super) below: Option<Arc<[Below]>>,
    /// What an answer's rows were decoded to as they came. Then these have only those of their fields that were asked
    /// for.
    pub(super) decoded: Option<Arc<Decoded>>,
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
    pub(crate) fn take_all_decoded<M: ReadRow>(&self) -> DecodedRows<M> {
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

    /// The same rows with these fields only, as COPY takes them; without what is below them.
    pub(crate) fn only(&self, fields: &[usize]) -> EncodedRows {
        let mut builder = RowsBuilder::default();
        match fields {
            [field] => self.fields_at(*field).for_each(|field| builder.push_raw(std::iter::once(field))),
            _ => (0..self.len).for_each(|row| builder.push_raw(fields.iter().map(|&field| self.field(row, field)))),
        }
        builder.finish()
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
        if self.form == RowForm::Copy { self.line(row) } else { &[] }
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
        if let Some((values, width)) = self.values(field) {
            return FieldsAt::Even(values.chunks_exact(width));
        }
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
    /// Out of its column, in which all have the same length and none is NULL.
    Even(std::slice::ChunksExact<'a, u8>),
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
            FieldsAt::Even(fields) => Some(value(fields.next()?)),
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
