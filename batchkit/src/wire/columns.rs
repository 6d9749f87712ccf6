//! The fields of one column of encoded rows, one behind the other.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::buffer::Buffer;

/// Where the fields of a column end.
#[derive(Debug, Clone)]
enum Ends {
    /// All of them have so many bytes, their lengths counted: where each ends need not be remembered.
    Every(usize),
    /// Each of them here.
    At(Vec<usize>),
}

impl Ends {
    #[inline]
    fn of(&self, rows: usize) -> usize {
        match self {
            Ends::Every(width) => rows * width,
            Ends::At(ends) => rows.checked_sub(1).map_or(0, |last| ends[last]),
        }
    }
}

/// The fields of a column: each a length (-1 for NULL) and bytes.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    bytes: Bytes,
    ends: Ends,
}

impl Column {
    /// All fields.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The field of this row, with its length in front.
    #[inline]
    pub(super) fn whole(&self, row: usize) -> &[u8] {
        &self.bytes[self.ends.of(row)..self.ends.of(row + 1)]
    }

    /// The number of bytes of these rows' fields.
    pub(super) fn bytes_of(&self, rows: Range<usize>) -> usize {
        self.ends.of(rows.end) - self.ends.of(rows.start)
    }

    /// The number of bytes of each field, its length counted, where it is the same for all and none is NULL.
    pub(super) fn width(&self) -> Option<usize> {
        match self.ends {
            // A field of four bytes is NULL or empty.
            Ends::Every(width) if width > 4 => Some(width),
            _ => None,
        }
    }

    pub(super) fn slice(&self, rows: Range<usize>) -> Column {
        let (start, end) = (self.ends.of(rows.start), self.ends.of(rows.end));
        let ends = match &self.ends {
            Ends::Every(width) => Ends::Every(*width),
            Ends::At(ends) => Ends::At(ends[rows].iter().map(|at| at - start).collect()),
        };
        Column { bytes: self.bytes.slice(start..end), ends }
    }

    pub(super) fn subset(&self, rows: &[usize]) -> Column {
        let mut subset = ColumnBuilder::default();
        for (position, &row) in rows.iter().enumerate() {
            subset.bytes.extend_from_slice(self.whole(row));
            subset.end_row(position);
        }
        subset.finish()
    }
}

/// Takes the fields of a column.
#[derive(Debug)]
pub(super) struct ColumnBuilder {
    pub(super) bytes: Buffer,
    ends: Ends,
    /// Where the next field ends if it has as many bytes as all before it.
    expected: usize,
}

impl Default for ColumnBuilder {
    fn default() -> Self {
        ColumnBuilder { bytes: Buffer::default(), ends: Ends::Every(0), expected: 0 }
    }
}

impl ColumnBuilder {
    /// Builders that have room for the first rows, in one piece of memory: buffers that grow from nothing are copied
    /// several times.
    pub(super) fn side_by_side(columns: usize) -> Vec<Self> {
        const BYTES: usize = 64;
        let mut room = BytesMut::with_capacity(columns * BYTES);
        let column = |_| {
            let rest = room.split_off(BYTES);
            ColumnBuilder { bytes: Buffer::new(std::mem::replace(&mut room, rest)), ..ColumnBuilder::default() }
        };
        (0..columns).map(column).collect()
    }

    /// Notes that the field of this row is written; it is the next one. The number of its column's bytes.
    #[inline]
    pub(super) fn end_row(&mut self, row: usize) -> usize {
        let end = self.bytes.len();
        match self.ends {
            Ends::Every(width) if end == self.expected => self.expected += width,
            _ => self.end_other(row, end),
        }
        end
    }

    /// The same of a field that has not as many bytes as those before it.
    fn end_other(&mut self, row: usize, end: usize) {
        match &mut self.ends {
            Ends::At(ends) => ends.push(end),
            Ends::Every(_) if row == 0 => self.expect(1, end),
            Ends::Every(width) => {
                let width = *width;
                self.ends = Ends::At((1..=row).map(|rows| rows * width).chain([end]).collect());
            }
        }
    }

    /// Expects that each field has so many bytes.
    fn expect(&mut self, rows: usize, width: usize) {
        self.ends = Ends::Every(width);
        self.expected = (rows + 1) * width;
    }

    /// Takes back all fields but those of the first so many rows.
    pub(super) fn truncate(&mut self, rows: usize) {
        let bytes = self.ends.of(rows).min(self.bytes.len());
        self.bytes.truncate(bytes);
        match &mut self.ends {
            Ends::At(ends) => ends.truncate(rows),
            Ends::Every(width) => {
                let width = *width;
                self.expect(rows, width);
            }
        }
    }

    pub(super) fn finish(&mut self) -> Column {
        self.expected = 0;
        Column { bytes: self.bytes.finish(), ends: std::mem::replace(&mut self.ends, Ends::Every(0)) }
    }
}
