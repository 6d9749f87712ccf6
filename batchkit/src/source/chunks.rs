//! Chunks of encoded rows, each with the input positions of its rows.

use std::ops::Range;

use super::feed::Feed;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::wire::{ColumnType, EncodedRows, RowsBuilder};

/// How large a chunk may be; it has at least one row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The most rows.
    pub(crate) rows: usize,
    /// The most bytes of encoded rows.
    pub(crate) bytes: usize,
}

/// Rows of one transaction.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The chunk's number, from 0.
    pub(crate) index: usize,
    /// The rows.
    pub(crate) rows: EncodedRows,
    /// The input positions of the rows, ascending.
    pub(crate) positions: Vec<usize>,
}

impl Chunk {
    /// The chunk in pieces, numbered from 0.
    pub(crate) fn cut(&self, limits: Limits) -> Vec<Chunk> {
        let pieces = self.rows.cut(limits.rows, limits.bytes).into_iter().enumerate();
        let piece = |(index, rows): (usize, Range<usize>)| Chunk {
            index,
            positions: self.positions[rows.clone()].to_vec(),
            rows: self.rows.slice(rows),
        };
        pieces.map(piece).collect()
    }

    /// The positions as ranges.
    pub(crate) fn ranges(&self) -> Vec<Range<usize>> {
        ranges(&self.positions)
    }
}

/// Ascending positions as ranges.
pub(crate) fn ranges(positions: &[usize]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for &position in positions {
        match ranges.last_mut() {
            Some(last) if last.end == position => last.end += 1,
            _ => ranges.push(position..position + 1),
        }
    }
    ranges
}

/// The caller's rows as chunks.
pub(crate) struct Chunks<'a> {
    feed: Box<dyn Feed + 'a>,
    model: &'static Model,
    columns: Vec<usize>,
    types: Vec<ColumnType>,
    limits: Limits,
    collected: Option<Collected>,
    next_position: usize,
    next_chunk: usize,
    builder: RowsBuilder,
    bad: bool,
}

/// Rows that were encoded beforehand, and those of them that are to be sent.
struct Collected {
    rows: EncodedRows,
    /// The positions that were not cut into a chunk yet, ascending.
    kept: std::vec::IntoIter<usize>,
}

impl<'a> Chunks<'a> {
    /// Chunks of the rows of `feed`, which give `columns` with `types`.
    pub(crate) fn new(
        feed: Box<dyn Feed + 'a>,
        model: &'static Model,
        columns: Vec<usize>,
        types: Vec<ColumnType>,
        limits: Limits,
    ) -> Self {
        Chunks {
            feed,
            model,
            columns,
            types,
            limits,
            collected: None,
            next_position: 0,
            next_chunk: 0,
            builder: RowsBuilder::default(),
            bad: false,
        }
    }

    /// Encodes all rows now, to be compared with each other.
    pub(crate) fn collect(&mut self) -> Result<EncodedRows> {
        while self.encode_next()? {}
        let rows = self.builder.finish();
        self.collected = Some(Collected { kept: (0..rows.len()).collect::<Vec<_>>().into_iter(), rows: rows.clone() });
        Ok(rows)
    }

    /// Leaves these rows out of all chunks: `dropped` has an entry for each collected row.
    pub(crate) fn leave_out(&mut self, dropped: &[bool]) {
        if let Some(collected) = &mut self.collected {
            let kept: Vec<usize> = (0..dropped.len()).filter(|&row| !dropped[row]).collect();
            collected.kept = kept.into_iter();
        }
    }

    /// The next chunk; `None` at the end. A row that cannot be encoded is an error.
    pub(crate) fn next(&mut self) -> Result<Option<Chunk>> {
        let (rows, positions) = match &mut self.collected {
            Some(collected) => collected.next(self.limits),
            None => {
                let first = self.next_position;
                while self.builder.len() < self.limits.rows && self.builder.byte_len() < self.limits.bytes {
                    if !self.encode_next()? {
                        break;
                    }
                }
                (self.builder.finish(), (first..self.next_position).collect())
            }
        };
        if positions.is_empty() {
            return Ok(None);
        }
        self.next_chunk += 1;
        Ok(Some(Chunk { index: self.next_chunk - 1, rows, positions }))
    }

    /// The positions that no chunk had yet, after an error: they were not attempted.
    pub(crate) fn rest(&mut self) -> Vec<usize> {
        match &mut self.collected {
            Some(collected) => collected.kept.by_ref().collect(),
            None => {
                let first = self.next_position - self.builder.len() - usize::from(self.bad);
                self.next_position += self.feed.count_rest();
                (first..self.next_position).collect()
            }
        }
    }

    fn encode_next(&mut self) -> Result<bool> {
        let position = self.next_position;
        match self.feed.encode_next(&self.columns, &self.types, &mut self.builder) {
            None => Ok(false),
            Some(Ok(())) => {
                self.next_position += 1;
                Ok(true)
            }
            Some(Err((column, fault))) => {
                let name = self.model.columns[self.columns[column]].name;
                // The row was taken from the feed: it counts among those that were not attempted.
                self.next_position += 1;
                self.bad = true;
                Err(Error::invalid_row(position, name, fault))
            }
        }
    }
}

impl Collected {
    fn next(&mut self, limits: Limits) -> (EncodedRows, Vec<usize>) {
        let mut positions = Vec::new();
        let mut bytes = 0;
        for &position in self.kept.as_slice() {
            bytes += self.rows.fields(position).len();
            if positions.len() >= limits.rows || (bytes > limits.bytes && !positions.is_empty()) {
                break;
            }
            positions.push(position);
        }
        let Some((&first, &last)) = positions.first().zip(positions.last()) else {
            return (EncodedRows::default(), positions);
        };
        self.kept.nth(positions.len() - 1);
        let whole = last - first + 1 == positions.len();
        let rows = if whole { self.rows.slice(first..last + 1) } else { self.rows.subset(&positions) };
        (rows, positions)
    }
}
