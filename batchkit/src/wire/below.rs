//! Rows that hang below others: lines below their orders. They are cut and chosen together with those.

use std::ops::Range;

use super::builder::RowsBuilder;
use super::rows::EncodedRows;

/// Rows of one kind below some others.
#[derive(Clone, Default)]
pub(crate) struct Below {
    /// The rows.
    pub(crate) rows: EncodedRows,
    /// Which row each of them is below, ascending.
    pub(crate) owners: Vec<usize>,
}

impl Below {
    /// The rows that are below these.
    pub(crate) fn of(&self, owners: Range<usize>) -> Range<usize> {
        self.owners.partition_point(|&owner| owner < owners.start)
            ..self.owners.partition_point(|&owner| owner < owners.end)
    }

    pub(super) fn slice(&self, owners: Range<usize>) -> Below {
        let rows = self.of(owners.clone());
        let shifted = self.owners[rows.clone()].iter().map(|owner| owner - owners.start).collect();
        Below { rows: self.rows.slice(rows), owners: shifted }
    }

    pub(super) fn subset(&self, owners: &[usize]) -> Below {
        let (mut rows, mut places) = (Vec::new(), Vec::new());
        for (place, &owner) in owners.iter().enumerate() {
            let of_one = self.of(owner..owner + 1);
            places.extend(std::iter::repeat_n(place, of_one.len()));
            rows.extend(of_one);
        }
        Below { rows: self.rows.subset(&rows), owners: places }
    }
}

/// Encodes rows of one kind below others.
#[derive(Default)]
pub(crate) struct BelowBuilder {
    pub(crate) rows: RowsBuilder,
    pub(crate) owners: Vec<usize>,
}

impl BelowBuilder {
    /// Takes back the rows below `owner` and those behind it.
    pub(super) fn truncate(&mut self, owner: usize) {
        let rows = self.owners.partition_point(|&known| known < owner);
        self.rows.truncate(rows);
        self.owners.truncate(rows);
    }

    /// Appends rows that were encoded elsewhere, below rows that come behind so many.
    pub(super) fn append(&mut self, below: &Below, owners_before: usize) {
        self.rows.append(&below.rows);
        self.owners.extend(below.owners.iter().map(|owner| owners_before + owner));
    }

    pub(super) fn finish(&mut self) -> Below {
        Below { rows: self.rows.finish(), owners: std::mem::take(&mut self.owners) }
    }
}
