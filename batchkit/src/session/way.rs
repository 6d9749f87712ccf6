//! The way of a chunk's rows: a statement, how the rows travel to it, and what is drawn for them first.

use std::ops::Range;

use super::answer::Matching;
use super::draw::Draw;
use super::run::Work;
use super::transport::Carrier;
use crate::wire::{EncodedRows, RowForm};

/// A way of rows.
#[derive(Debug)]
pub(crate) struct Way {
    /// The statement.
    pub(crate) sql: String,
    /// How the rows travel.
    pub(crate) carrier: Carrier,
    /// The most rows of one statement by UNNEST.
    pub(crate) statement_rows: usize,
    /// How values are drawn that the rows do not give, where they have to be known beforehand.
    pub(crate) draw: Option<Draw>,
    /// How answered rows find those that were sent.
    pub(crate) matching: Matching,
}

impl Way {
    /// Cuts a chunk's rows into statements: ranges of rows, none empty.
    pub(crate) fn statements(&self, rows: &EncodedRows) -> Vec<Range<usize>> {
        self.carrier.statements(rows, self.statement_rows)
    }
}

/// Another way to the same end.
#[derive(Debug)]
pub(crate) struct OtherWay {
    /// It is taken for chunks of fewer rows, and where the first way turns out not to lead there.
    pub(crate) below: usize,
    /// The way.
    pub(crate) way: Way,
}

impl Work {
    /// The way for so many rows.
    pub(crate) fn way(&self, rows: usize) -> &Way {
        match &self.other {
            Some(other) if rows < other.below => &other.way,
            _ => &self.way,
        }
    }

    /// The form in which chunks of so many rows, of so many fields each, are sent as they are.
    pub(crate) fn form(&self, rows: usize, fields: usize) -> RowForm {
        let way = self.way(rows);
        if way.draw.is_some() || !self.below.is_empty() { RowForm::Copy } else { way.carrier.form(fields) }
    }

    /// Draws these values first, whichever way is taken.
    pub(crate) fn draw(&mut self, draw: &Draw) {
        let ways = std::iter::once(&mut self.way).chain(self.other.iter_mut().map(|other| &mut other.way));
        ways.for_each(|way| way.draw = Some(draw.clone()));
    }
}
