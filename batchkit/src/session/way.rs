//! The ways of a chunk's rows: a statement, how the rows travel to it, and what is drawn for them first.

use std::ops::Range;
use std::sync::Arc;

use super::answer::Matching;
use super::draw::Draw;
use super::shape::{Shape, Text};
use super::transport::Carrier;
use crate::config::Transport;
use crate::plan::ByRows;
use crate::settings::Plans;
use crate::source::Limits;
use crate::wire::{EncodedRows, RowForm};

/// A way of rows.
#[derive(Debug)]
pub(crate) struct Way {
    /// What it is called; never `Auto`.
    pub(crate) transport: Transport,
    /// Why it is taken.
    pub(crate) reason: &'static str,
    /// The statement.
    pub(crate) sql: Arc<str>,
    /// The stored rows that it answers.
    pub(crate) shape: Option<Shape>,
    /// How the rows travel.
    pub(crate) carrier: Carrier,
    /// The most of one statement by UNNEST.
    pub(crate) statement: Limits,
    /// How values are drawn that the rows do not give, where they have to be known beforehand.
    pub(crate) draw: Option<Draw>,
    /// What is answered of the rows as they are sent, where that is known to be stored so.
    pub(crate) foretold: Option<Foreknown>,
    /// How answered rows find those that were sent.
    pub(crate) matching: Matching,
    /// Up to how many rows its statement has plans that are made for few.
    pub(crate) planned_as_few: usize,
}

impl Way {
    /// Its statement.
    pub(super) fn text(&self) -> Text<'_> {
        Text { sql: &self.sql, shape: self.shape.as_ref() }
    }

    /// What the plans of its statements are made for, with so many rows.
    pub(super) fn plans(&self, rows: usize) -> Plans {
        match self.carrier {
            Carrier::Single(_) => Plans::OfFew,
            _ => Plans::of(rows, self.planned_as_few),
        }
    }

    /// Cuts a chunk's rows into statements: ranges of rows, none empty.
    pub(crate) fn statements(&self, rows: &EncodedRows) -> Vec<Range<usize>> {
        self.carrier.statements(rows, self.statement)
    }

    /// The form in which rows of so many fields each are sent as they are.
    fn form(&self, fields: usize) -> RowForm {
        if self.draw.is_some() { RowForm::Copy } else { self.carrier.form(fields) }
    }
}

/// What is answered of rows that are stored as they are sent.
#[derive(Debug)]
pub(crate) enum Foreknown {
    /// All of their fields.
    Whole,
    /// These of their fields.
    Fields(Vec<usize>),
}

/// All ways to one end: which is taken is decided by the number of rows.
#[derive(Debug)]
pub(crate) struct Ways(pub(crate) ByRows<Way>);

impl Ways {
    /// The way for so many rows.
    pub(crate) fn of(&self, rows: usize) -> &Way {
        self.0.of(rows)
    }

    /// The forms of rows of so many fields that their carriers send as they are.
    pub(crate) fn forms(&self, fields: usize) -> ByRows<RowForm> {
        self.0.map(|_, way| way.form(fields))
    }

    /// The way to be taken where that of many rows turns out not to lead there.
    pub(super) fn instead(&self) -> Option<&Way> {
        self.0.few.last().map(|(_, way)| way)
    }

    /// From how many rows on they go by COPY into the target, if they do.
    pub(crate) fn copies_from(&self) -> Option<usize> {
        let few = self.0.few.last().map_or(0, |(below, _)| *below);
        matches!(self.0.many.carrier, Carrier::CopyInto(_)).then_some(few)
    }

    /// Draws these values first, whichever way is taken.
    pub(crate) fn draw(&mut self, draw: &Draw) {
        self.0.iter_mut().for_each(|way| way.draw = Some(draw.clone()));
    }
}
