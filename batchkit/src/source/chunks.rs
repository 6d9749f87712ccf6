//! Chunks of encoded rows, each with the input positions of its rows.

use std::ops::Range;

use super::feed::Feed;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::reject::Reject;
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
    /// The input positions of the builder's rows.
    positions: Vec<usize>,
    /// The row that ended the encoding, which no chunk has.
    bad: Option<usize>,
    /// The rows that have no form, where these are turned away.
    rejects: Option<Vec<Reject>>,
}

/// Rows that were encoded beforehand, and those of them that are to be sent.
struct Collected {
    rows: EncodedRows,
    /// The input positions of the rows.
    positions: Vec<usize>,
    /// The rows that were not cut into a chunk yet, ascending.
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
        turns_away: bool,
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
            positions: Vec::new(),
            bad: None,
            rejects: turns_away.then(Vec::new),
        }
    }

    /// Encodes all rows now, to be compared with each other; the rows and their input positions.
    pub(crate) fn collect(&mut self) -> Result<(EncodedRows, Vec<usize>)> {
        while self.encode_next()? {}
        let (rows, positions) = (self.builder.finish(), std::mem::take(&mut self.positions));
        let kept = (0..rows.len()).collect::<Vec<_>>().into_iter();
        self.collected = Some(Collected { rows: rows.clone(), positions: positions.clone(), kept });
        Ok((rows, positions))
    }

    /// Leaves these rows out of all chunks: `dropped` has an entry for each collected row.
    pub(crate) fn leave_out(&mut self, dropped: &[bool]) {
        if let Some(collected) = &mut self.collected {
            let kept: Vec<usize> = (0..dropped.len()).filter(|&row| !dropped[row]).collect();
            collected.kept = kept.into_iter();
        }
    }

    /// The rows that were turned away since this was asked last, because they have no form.
    pub(crate) fn take_rejects(&mut self) -> Vec<Reject> {
        self.rejects.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The next chunk; `None` at the end. A row that cannot be encoded is an error, or turned away.
    pub(crate) fn next(&mut self) -> Result<Option<Chunk>> {
        let limits = self.next_limits();
        let (rows, positions) = match &mut self.collected {
            Some(collected) => collected.next(limits),
            None => {
                while self.builder.len() < limits.rows && self.builder.byte_len() < limits.bytes {
                    if !self.encode_next()? {
                        break;
                    }
                }
                (self.builder.finish(), std::mem::take(&mut self.positions))
            }
        };
        if positions.is_empty() {
            return Ok(None);
        }
        self.next_chunk += 1;
        Ok(Some(Chunk { index: self.next_chunk - 1, rows, positions }))
    }

    /// Where bad rows are turned away, the first chunks are small: they find out cheaply which constraints
    /// the rows break, and the chunks behind them are asked about these before they are sent.
    fn next_limits(&self) -> Limits {
        /// More than most calls have workers.
        const PROBES: usize = 4;
        const PART: usize = 16;
        let probe = self.rejects.is_some() && self.next_chunk < PROBES && self.limits.rows != usize::MAX;
        let rows = if probe { (self.limits.rows / PART).max(self.limits.rows.min(PART)) } else { self.limits.rows };
        Limits { rows, ..self.limits }
    }

    /// The positions that no chunk had yet, after an error: they were not attempted.
    pub(crate) fn rest(&mut self) -> Vec<usize> {
        match &mut self.collected {
            Some(collected) => collected.kept.by_ref().map(|row| collected.positions[row]).collect(),
            None => {
                let mut rest = std::mem::take(&mut self.positions);
                rest.extend(self.bad);
                let first = self.next_position;
                self.next_position += self.feed.count_rest();
                rest.extend(first..self.next_position);
                rest
            }
        }
    }

    fn encode_next(&mut self) -> Result<bool> {
        let position = self.next_position;
        let Some(encoded) = self.feed.encode_next(&self.columns, &self.types, &mut self.builder) else {
            return Ok(false);
        };
        self.next_position += 1;
        let Err((column, fault)) = encoded else {
            self.positions.push(position);
            return Ok(true);
        };
        let error = Error::invalid_row(position, self.model.columns[self.columns[column]].name, fault);
        match &mut self.rejects {
            Some(rejects) => {
                rejects.push(Reject::new(position, &error));
                Ok(true)
            }
            None => {
                self.bad = Some(position);
                Err(error)
            }
        }
    }
}

impl Collected {
    fn next(&mut self, limits: Limits) -> (EncodedRows, Vec<usize>) {
        let mut chosen = Vec::new();
        let mut bytes = 0;
        for &row in self.kept.as_slice() {
            bytes += self.rows.fields(row).len();
            if chosen.len() >= limits.rows || (bytes > limits.bytes && !chosen.is_empty()) {
                break;
            }
            chosen.push(row);
        }
        let Some((&first, &last)) = chosen.first().zip(chosen.last()) else {
            return (EncodedRows::default(), chosen);
        };
        self.kept.nth(chosen.len() - 1);
        let whole = last - first + 1 == chosen.len();
        let rows = if whole { self.rows.slice(first..last + 1) } else { self.rows.subset(&chosen) };
        (rows, chosen.into_iter().map(|row| self.positions[row]).collect())
    }
}
