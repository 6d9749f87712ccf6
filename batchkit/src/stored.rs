//! The stored rows of a call, by their positions in its input.

use std::ops::Range;
use std::sync::Arc;

use crate::session::{RowAnswer, StoredRow};
use crate::source::Positions;
use crate::wire::EncodedRows;

/// The stored rows of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoredRows {
    /// By the position of the input row.
    each: Vec<Option<StoredRow>>,
    /// Rows that follow each other, as the input rows with these positions do; in input order.
    runs: Vec<(Range<usize>, Arc<EncodedRows>)>,
}

impl StoredRows {
    /// Takes in a row.
    pub(crate) fn put(&mut self, position: usize, (_, stored): RowAnswer) {
        if stored.is_some() {
            if self.each.len() <= position {
                self.each.resize(position + 1, None);
            }
            self.each[position] = stored;
        }
    }

    /// Takes in rows of which each belongs to the input row with its number among these.
    pub(crate) fn put_all(&mut self, positions: &Positions, rows: &Arc<EncodedRows>) {
        match positions {
            Positions::Run(run) => {
                // Chunks may be booked before those in front of them.
                let place = self.runs.partition_point(|(other, _)| other.start < run.start);
                self.runs.insert(place, (run.clone(), Arc::clone(rows)));
            }
            Positions::List(list) => {
                self.each.resize(self.each.len().max(positions.end()), None);
                let numbered = list.iter().enumerate();
                numbered.for_each(|(row, &position)| self.each[position] = Some(StoredRow::new(rows, row, 0)));
            }
        }
    }

    /// The row that belongs to this input row.
    pub(crate) fn get(&self, position: usize) -> Option<StoredRow> {
        let in_run = || {
            let place = self.runs.partition_point(|(run, _)| run.end <= position);
            let (run, rows) = self.runs.get(place).filter(|(run, _)| run.contains(&position))?;
            Some(StoredRow::new(rows, position - run.start, 0))
        };
        self.each.get(position).cloned().flatten().or_else(in_run)
    }

    /// The position behind the last one.
    pub(crate) fn end(&self) -> usize {
        self.runs.last().map_or(0, |(run, _)| run.end).max(self.each.len())
    }

    /// Where all of them follow each other, as runs in input order.
    pub(crate) fn take_runs(&mut self) -> Option<Vec<(Range<usize>, Arc<EncodedRows>)>> {
        self.each.is_empty().then(|| std::mem::take(&mut self.runs))
    }

    /// One slot per input row, of which there are so many.
    pub(crate) fn into_slots(mut self, rows: usize) -> Vec<Option<StoredRow>> {
        self.each.resize(rows.max(self.end()), None);
        for (run, rows) in self.runs {
            run.enumerate().for_each(|(row, position)| self.each[position] = Some(StoredRow::new(&rows, row, 0)));
        }
        self.each
    }
}
