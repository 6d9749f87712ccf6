//! Encoded rows: owned bytes in the form of binary COPY, with the offset of each row.

use std::ops::Range;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::below::{Below, BelowBuilder};
use super::column_type::ColumnType;
use super::decoded::Decoded;
use super::fault::{Fault, ReadFault};
use super::write::{ColumnWriter, RowWriter};
use crate::model::ReadRow;

/// Rows in the form of binary COPY: each a count of fields, then a length and bytes per field.
#[derive(Clone, Default)]
pub(crate) struct EncodedRows {
    bytes: Bytes,
    ends: Vec<usize>,
    /// The rows below these, by their kind; `None` where there are no kinds.
    below: Option<Arc<[Below]>>,
    /// What an answer's rows were decoded to as they came. Then these have only those of their fields that were asked
    /// for.
    decoded: Option<Arc<Decoded>>,
}

impl EncodedRows {
    /// The number of rows.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The number of bytes of all rows, those below them too.
    pub(crate) fn byte_len(&self) -> usize {
        self.bytes.len() + self.below().iter().map(|below| below.rows.byte_len()).sum::<usize>()
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

    /// All rows, as COPY takes them between its header and its trailer.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The row number `row`, the count of fields left out.
    pub(crate) fn fields(&self, row: usize) -> &[u8] {
        &self.bytes[self.start(row) + 2..self.ends[row]]
    }

    fn start(&self, row: usize) -> usize {
        row.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    /// The raw fields of a row; `None` is NULL.
    pub(crate) fn row(&self, row: usize) -> RawFields<'_> {
        RawFields { rest: self.fields(row) }
    }

    /// These rows alone, sharing the bytes.
    pub(crate) fn slice(&self, rows: Range<usize>) -> EncodedRows {
        let (start, end) = (self.start(rows.start), self.start(rows.end));
        let ends = self.ends[rows.clone()].iter().map(|at| at - start).collect();
        let below = self.below.as_ref().map(|kinds| kinds.iter().map(|below| below.slice(rows.clone())).collect());
        EncodedRows { bytes: self.bytes.slice(start..end), ends, below, decoded: None }
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
        self.start(rows.end) - self.start(rows.start) + below
    }

    /// A copy of these rows, in this order.
    pub(crate) fn subset(&self, rows: &[usize]) -> EncodedRows {
        let mut bytes = BytesMut::with_capacity(rows.iter().map(|&row| self.ends[row] - self.start(row)).sum());
        let mut ends = Vec::with_capacity(rows.len());
        for &row in rows {
            bytes.extend_from_slice(&self.bytes[self.start(row)..self.ends[row]]);
            ends.push(bytes.len());
        }
        let below = self.below.as_ref().map(|kinds| kinds.iter().map(|below| below.subset(rows)).collect());
        EncodedRows { bytes: bytes.freeze(), ends, below, decoded: None }
    }
}

// Never prints a row's bytes.
impl std::fmt::Debug for EncodedRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncodedRows").field("rows", &self.len()).field("bytes", &self.bytes.len()).finish()
    }
}

/// The raw fields of one row, in order.
#[derive(Clone)]
pub(crate) struct RawFields<'a> {
    rest: &'a [u8],
}

impl<'a> RawFields<'a> {
    /// Fields that lie one after the other.
    pub(crate) fn new(fields: &'a [u8]) -> Self {
        RawFields { rest: fields }
    }

    /// The next field with its length in front; `None` at the end.
    #[inline]
    pub(crate) fn next_whole(&mut self) -> Option<&'a [u8]> {
        let length = i32::from_be_bytes(*self.rest.first_chunk::<4>()?);
        let (field, rest) = self.rest.split_at_checked(4 + usize::try_from(length).unwrap_or(0))?;
        self.rest = rest;
        Some(field)
    }
}

impl<'a> Iterator for RawFields<'a> {
    type Item = Option<&'a [u8]>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            self.rest = rest;
            return Some(None);
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Some(value))
    }
}

/// The most bytes of one row. The server takes no message of 1 GB (its `MaxAllocSize`), in which a row also has its
/// types and its place in an array.
const MAX_ROW_BYTES: usize = (1 << 30) - (1 << 16);

/// Encodes rows one after the other; a row is in wholly or not at all.
#[derive(Default)]
pub(crate) struct RowsBuilder {
    bytes: BytesMut,
    ends: Vec<usize>,
    /// The rows below these, by their kind.
    below: Vec<BelowBuilder>,
}

impl RowsBuilder {
    /// The number of bytes so far, those of the rows below too.
    pub(crate) fn byte_len(&self) -> usize {
        if self.below.is_empty() {
            return self.bytes.len();
        }
        self.bytes.len() + self.below.iter().map(|below| below.rows.byte_len()).sum::<usize>()
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
        self.ends.truncate(rows);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
        self.below.iter_mut().for_each(|below| below.truncate(rows));
    }

    /// The number of rows so far.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Appends one row of the given columns; `write` is called once for each, with its position in `columns`.
    /// A row that fails leaves nothing behind; the position of its bad column is told.
    pub(crate) fn push(
        &mut self,
        columns: &[ColumnType],
        mut write: impl FnMut(usize, &mut ColumnWriter<'_>) -> Result<(), Fault>,
    ) -> Result<(), (usize, Fault)> {
        let start = self.bytes.len();
        // A table has at most 1,600 columns.
        self.bytes.put_i16(i16::try_from(columns.len()).unwrap_or(i16::MAX));
        for (position, column) in columns.iter().enumerate() {
            if let Err(fault) = write(position, &mut ColumnWriter::new(&mut self.bytes, column)) {
                self.bytes.truncate(start);
                return Err((position, fault));
            }
            if self.bytes.len() - start > MAX_ROW_BYTES {
                self.bytes.truncate(start);
                return Err((position, Fault::TooLarge));
            }
        }
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// The same; `write` is called once, and appends all fields.
    #[inline]
    pub(crate) fn push_all(
        &mut self,
        columns: &[ColumnType],
        write: impl FnOnce(&mut RowWriter<'_>) -> Result<(), Fault>,
    ) -> Result<(), (usize, Fault)> {
        let start = self.bytes.len();
        self.bytes.put_i16(i16::try_from(columns.len()).unwrap_or(i16::MAX));
        let mut row = RowWriter::new(&mut self.bytes, columns);
        let written = write(&mut row).map_err(|fault| (row.last(), fault));
        let is_giant = self.bytes.len() - start > MAX_ROW_BYTES;
        match written {
            Ok(()) if !is_giant => {
                self.ends.push(self.bytes.len());
                Ok(())
            }
            written => {
                self.bytes.truncate(start);
                written.and(Err((columns.len().saturating_sub(1), Fault::TooLarge)))
            }
        }
    }

    /// Appends rows that were encoded elsewhere.
    pub(crate) fn append(&mut self, rows: &EncodedRows) {
        let (start, before) = (self.bytes.len(), self.ends.len());
        self.bytes.extend_from_slice(&rows.bytes);
        self.ends.extend(rows.ends.iter().map(|end| start + end));
        for (kind, below) in rows.below().iter().enumerate() {
            self.below(kind).append(below, before);
        }
    }

    /// Appends one row that the server sent.
    pub(crate) fn push_raw<'a>(&mut self, fields: impl ExactSizeIterator<Item = Option<&'a [u8]>>) {
        self.bytes.put_i16(i16::try_from(fields.len()).unwrap_or(i16::MAX));
        for field in fields {
            put_field(&mut self.bytes, field);
        }
        self.ends.push(self.bytes.len());
    }

    /// The rows so far; the builder is empty again.
    pub(crate) fn finish(&mut self) -> EncodedRows {
        let below = (!self.below.is_empty()).then(|| self.below.iter_mut().map(BelowBuilder::finish).collect());
        EncodedRows { bytes: self.bytes.split().freeze(), ends: std::mem::take(&mut self.ends), below, decoded: None }
    }
}

/// Appends a field: its length (-1 for NULL) and its bytes. A field of over 2 GB was refused when it was written.
pub(crate) fn put_field(out: &mut BytesMut, field: Option<&[u8]>) {
    match field {
        None => out.put_i32(-1),
        Some(value) => {
            out.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
            out.extend_from_slice(value);
        }
    }
}
