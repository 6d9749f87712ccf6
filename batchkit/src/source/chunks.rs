//! Chunks of encoded rows, each with the input positions of its rows.

use std::future::poll_fn;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;

use tokio::time::Instant;

use super::ahead::Ahead;
use super::feed::{Encoded, Feed, Layout, Piece};
use super::graph::ChildFault;
use super::order::by_key;
use super::pace::Pace;
use super::positions::Positions;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::reject::Reject;
use crate::retry::within;
use crate::wire::{EncodedRows, RowsBuilder};

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
    /// The chunk's number, from 0; the parts of a chunk that was cut have the same.
    pub(crate) index: usize,
    /// The rows.
    pub(crate) rows: EncodedRows,
    /// The input positions of the rows.
    pub(crate) positions: Positions,
}

impl Chunk {
    /// The chunk in pieces, numbered from 0.
    pub(crate) fn cut(&self, limits: Limits) -> Vec<Chunk> {
        let pieces = self.rows.cut(limits.rows, limits.bytes).into_iter().enumerate();
        let piece = |(index, rows): (usize, Range<usize>)| Chunk {
            index,
            positions: self.positions.slice(rows.clone()),
            rows: self.rows.slice(rows),
        };
        pieces.map(piece).collect()
    }

    /// The chunk's two halves.
    pub(crate) fn halves(&self) -> [Chunk; 2] {
        let half = self.rows.len() / 2;
        let part = |rows: Range<usize>| Chunk {
            index: self.index,
            positions: self.positions.slice(rows.clone()),
            rows: self.rows.slice(rows),
        };
        [part(0..half), part(half..self.rows.len())]
    }

    /// The positions as ranges, ascending.
    pub(crate) fn ranges(&self) -> Vec<Range<usize>> {
        self.positions.ranges()
    }
}

/// The caller's rows as chunks.
pub(crate) struct Chunks<'a> {
    feed: Box<dyn Feed + 'a>,
    model: &'static Model,
    layout: Arc<Layout>,
    pace: Arc<Pace>,
    collected: Option<Collected>,
    /// Encodes rows on other cores before their chunk's turn.
    ahead: Option<Ahead>,
    /// Whether a chunk's rows are put in the order of their keys.
    in_key_order: bool,
    next_position: usize,
    next_chunk: usize,
    builder: RowsBuilder,
    /// The input positions of the builder's rows.
    positions: Positions,
    deadline: Option<Instant>,
    /// Whether the caller's iterator has ended: it is not asked again.
    is_exhausted: bool,
    /// Rows that the encoding ended at, which no chunk has.
    bad: Vec<usize>,
    /// The rows that have no form, where these are turned away.
    rejects: Option<Vec<Reject>>,
    /// The rows that the caller's pre-processing dropped.
    dropped: Vec<usize>,
}

/// Rows that were encoded beforehand, and those of them that are to be sent.
struct Collected {
    rows: EncodedRows,
    /// The input positions of the rows.
    positions: Positions,
    /// The rows that are sent, in this order.
    kept: Positions,
    /// How many of them were cut into chunks already.
    cut: usize,
    /// Rows that wait until all others have been sent.
    last: Vec<usize>,
    /// Whether the rows of a chunk stay in the caller's order.
    keeps_order: bool,
}

/// How chunks are made.
#[derive(Debug, Clone)]
pub(crate) struct Style {
    /// How large they are.
    pub(crate) pace: Arc<Pace>,
    /// Whether bad rows are turned away.
    pub(crate) turns_away: bool,
    /// Whether several are sent at once: then each has its rows in the order of their keys.
    pub(crate) concurrent: bool,
    /// Whether rows are made ready on other cores before their turn.
    pub(crate) ahead: bool,
}

impl<'a> Chunks<'a> {
    /// Chunks of the rows of `feed`, encoded by `layout`.
    pub(crate) fn new(feed: Box<dyn Feed + 'a>, model: &'static Model, layout: Arc<Layout>, style: Style) -> Self {
        // Of a stream or an iterator nobody knows that its rows are few.
        let rows = feed.known_len().unwrap_or(usize::MAX).min(style.pace.limits().rows);
        let ahead = (style.ahead && feed.has_jobs()).then(|| Ahead::new(Arc::clone(&layout), style.pace.limits().rows));
        Chunks {
            ahead,
            feed,
            model,
            in_key_order: style.concurrent && layout.key.fields().next().is_some(),
            builder: layout.builder(layout.forms.of(rows)),
            layout,
            pace: style.pace,
            collected: None,
            next_position: 0,
            next_chunk: 0,
            positions: Positions::default(),
            deadline: None,
            is_exhausted: false,
            bad: Vec::new(),
            rejects: style.turns_away.then(Vec::new),
            dropped: Vec::new(),
        }
    }

    /// A stream's rows are waited for until then.
    pub(crate) fn until(self, deadline: Option<Instant>) -> Self {
        Chunks { deadline, ..self }
    }

    /// Encodes all rows now, to be compared with each other; the rows and their input positions. Of a stream, as many
    /// as `workers` chunks have.
    pub(crate) async fn collect(&mut self, workers: usize) -> Result<(EncodedRows, Positions)> {
        let all = Limits { rows: usize::MAX, bytes: usize::MAX };
        let chunk = self.pace.limits();
        let round = Limits { rows: chunk.rows.saturating_mul(workers), bytes: chunk.bytes.saturating_mul(workers) };
        self.fill(self.pace.first_wide()).await?;
        let all = if self.feed.is_stream() { round } else { all };
        self.make_ready(if self.pace.are_narrow(self.builder.len()) { chunk } else { self.pace.next_wide() }, all);
        self.fill(all).await?;
        let (rows, positions) = (self.builder.finish(), std::mem::take(&mut self.positions));
        let kept = Positions::Run(0..rows.len());
        self.collected = Some(Collected {
            rows: rows.clone(),
            positions: positions.clone(),
            kept,
            cut: 0,
            last: Vec::new(),
            keeps_order: false,
        });
        Ok((rows, positions))
    }

    /// Divides the rows that were collected by ranges of their keys, where several chunks are sent at once: these meet
    /// in the table and its index only where the ranges do.
    pub(crate) fn divide_by_key(&mut self) {
        if let (Some(collected), true) = (&mut self.collected, self.in_key_order) {
            let fields: Vec<usize> = self.layout.key.fields().collect();
            if let Some(order) = by_key(&collected.rows, collected.rest().iter(), &fields) {
                collected.keep(order);
            }
        }
    }

    /// Turns to the rows of a stream behind those that were collected, when all of these are through; whether there
    /// may be any.
    pub(crate) fn start_next(&mut self) -> bool {
        self.feed.is_stream() && !self.is_exhausted && self.collected.take().is_some()
    }

    /// The rows that were collected.
    pub(crate) fn collected(&self) -> Option<EncodedRows> {
        self.collected.as_ref().map(|collected| collected.rows.clone())
    }

    /// Leaves these rows out of all chunks: `dropped` has an entry for each collected row.
    pub(crate) fn leave_out(&mut self, dropped: &[bool]) {
        if let (Some(collected), true) = (&mut self.collected, dropped.contains(&true)) {
            collected.keep(collected.rest().iter().filter(|&row| !dropped[row]).collect());
        }
    }

    /// Sends these rows when all others are through: `later` has an entry for each collected row.
    pub(crate) fn put_last(&mut self, later: &[bool]) {
        if let Some(collected) = &mut self.collected {
            let (last, kept) = collected.rest().iter().partition(|&row| later[row]);
            collected.last = last;
            collected.keep(kept);
        }
    }

    /// Turns to the rows that wait for all others; whether there are any.
    pub(crate) fn start_last(&mut self) -> bool {
        let Some(collected) = &mut self.collected else { return false };
        let last = std::mem::take(&mut collected.last);
        collected.keep(collected.rest().iter().chain(last).collect());
        collected.keeps_order = true;
        !collected.rest().is_empty()
    }

    /// The rows that were turned away since this was asked last, because they have no form.
    pub(crate) fn take_rejects(&mut self) -> Vec<Reject> {
        self.rejects.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The rows that pre-processing dropped since this was asked last.
    pub(crate) fn take_dropped(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.dropped)
    }

    /// The next chunk; `None` at the end. A row that cannot be encoded is an error, or turned away.
    pub(crate) async fn next(&mut self) -> Result<Option<Chunk>> {
        let limits = self.next_limits();
        let of_them = |wide: Limits| Limits { bytes: wide.bytes, ..limits };
        let (first, wide) = (of_them(self.pace.first_wide()), of_them(self.pace.next_wide()));
        let (rows, positions) = match &mut self.collected {
            Some(collected) => {
                let limits = if self.pace.are_narrow(collected.fitting(first)) { limits } else { wide };
                collected.next(limits, self.in_key_order.then_some(&self.layout))
            }
            None => {
                self.fill(first).await?;
                if self.builder.len() == 0 {
                    return Ok(None);
                }
                let limits = if self.pace.are_narrow(self.builder.len()) { limits } else { wide };
                self.make_ready(limits, limits);
                self.fill(limits).await?;
                self.in_order()
            }
        };
        if positions.is_empty() {
            return Ok(None);
        }
        self.next_chunk += 1;
        Ok(Some(Chunk { index: self.next_chunk - 1, rows, positions }))
    }

    /// Whether there may be another chunk behind the last one, as far as that is known without taking a row.
    pub(crate) fn may_have_more(&self) -> bool {
        match &self.collected {
            Some(collected) => !collected.rest().is_empty() || !collected.last.is_empty(),
            None => !self.is_exhausted && (self.ahead.is_some() || self.feed.known_len() != Some(0)),
        }
    }

    /// The builder's rows.
    fn in_order(&mut self) -> (EncodedRows, Positions) {
        let (rows, positions) = (self.builder.finish(), std::mem::take(&mut self.positions));
        if !self.in_key_order {
            return (rows, positions);
        }
        let fields: Vec<usize> = self.layout.key.fields().collect();
        match by_key(&rows, 0..rows.len(), &fields) {
            None => (rows, positions),
            Some(order) => (rows.subset(&order), chosen(&positions, &order)),
        }
    }

    /// Where bad rows are turned away, the first chunks are small: they find out cheaply which constraints
    /// the rows break, and the chunks behind them are asked about these before they are sent.
    fn next_limits(&self) -> Limits {
        /// More than most calls have workers.
        const PROBES: usize = 4;
        const PART: usize = 16;
        let limits = self.pace.limits();
        let probe = self.rejects.is_some() && self.next_chunk < PROBES && limits.rows != usize::MAX;
        let rows = if probe { (limits.rows / PART).max(limits.rows.min(PART)) } else { limits.rows };
        Limits { rows, ..limits }
    }

    /// The positions that no chunk had yet, after an error: they were not attempted.
    pub(crate) fn rest(&mut self) -> Vec<usize> {
        let mut rest = self.known_rest();
        let first = self.next_position;
        if !self.is_exhausted {
            self.next_position += self.feed.count_rest();
        }
        rest.extend(first..self.next_position);
        rest
    }

    /// The same, without those that were not taken from the caller's iterator yet.
    pub(crate) fn known_rest(&mut self) -> Vec<usize> {
        let mut rest: Vec<usize> = std::mem::take(&mut self.positions).iter().collect();
        rest.append(&mut self.bad);
        if let Some(collected) = &mut self.collected {
            let last = std::mem::take(&mut collected.last);
            rest.extend(collected.rest().iter().chain(last).filter_map(|row| collected.positions.get(row)));
            collected.keep(Vec::new());
        }
        let taken = self.ahead.as_mut().map_or(0, Ahead::abandon);
        rest.extend(self.next_position..self.next_position + taken);
        self.next_position += taken;
        rest
    }

    /// Encodes rows until there are as many as a chunk has, or no more.
    async fn fill(&mut self, limits: Limits) -> Result<()> {
        if self.builder.len() == 0 && self.next_position > 0 {
            self.builder.begin();
        }
        while !self.is_exhausted && self.builder.len() < limits.rows && self.builder.byte_len() < limits.bytes {
            let Some(ahead) = &mut self.ahead else {
                let behind = if self.feed.is_stream() {
                    let feed = &mut self.feed;
                    let ready = poll_fn(|context| feed.poll_ready(context).map(Ok));
                    within(self.deadline, pin!(ready)).await?;
                    Some(self.feed.encode_next(&self.layout, &mut self.builder))
                } else {
                    let (rows, behind) = self.feed.encode_many(&self.layout, &mut self.builder, limits);
                    self.positions.append(self.next_position..self.next_position + rows);
                    self.next_position += rows;
                    behind
                };
                match behind {
                    None => {}
                    Some(Some(encoded)) => self.take_down(encoded)?,
                    Some(None) => self.is_exhausted = true,
                }
                continue;
            };
            let room = Limits {
                rows: limits.rows - self.builder.len(),
                bytes: limits.bytes.saturating_sub(self.builder.byte_len()),
            };
            let Some(piece) = ahead.next(&mut *self.feed, room, &self.builder).await? else { break };
            self.accept(piece)?;
        }
        Ok(())
    }

    /// Puts the rows so far, and those of the chunks behind them, into the form of chunks that are to have `limits`; and
    /// makes room for as many rows as the builder is to have.
    fn make_ready(&mut self, limits: Limits, all: Limits) {
        let (rows, bytes) = (self.builder.len(), self.builder.byte_len());
        let under_way = self.ahead.as_ref().map_or(0, Ahead::under_way);
        let left = self.feed.known_len().map(|left| left.saturating_add(under_way));
        if rows == 0 || self.is_exhausted || left == Some(0) {
            return;
        }
        let of_bytes = limits.bytes.saturating_mul(rows) / bytes.max(1);
        let of_all = left.map_or(usize::MAX, |left| left.saturating_add(rows));
        let form = self.layout.forms.of(limits.rows.min(of_bytes).max(rows).min(of_all));
        if form != self.builder.form() {
            let rows = std::mem::replace(&mut self.builder, self.layout.builder(form)).finish();
            self.builder.append(&rows);
        }
        if let Some(left) = left.filter(|_| self.ahead.is_none()) {
            self.builder.reserve(left.min(all.rows.saturating_sub(rows)), all.bytes.saturating_sub(bytes));
        }
    }

    /// Takes down what became of rows that were encoded elsewhere.
    fn accept(&mut self, piece: Piece) -> Result<()> {
        self.builder.append(&piece.rows);
        let mut fates = piece.fates.into_iter();
        while let Some(fate) = fates.next() {
            if let Err(error) = self.take_down(fate) {
                // The rows behind it are encoded, and will not be sent.
                let rest = self.next_position..self.next_position + fates.len();
                self.bad.extend(rest);
                self.next_position += fates.len();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes down what became of the next row.
    fn take_down(&mut self, encoded: Encoded) -> Result<()> {
        let position = self.next_position;
        self.next_position += 1;
        let (error, key) = match encoded {
            Encoded::Row => {
                self.positions.append(position..position + 1);
                return Ok(());
            }
            Encoded::Dropped => {
                self.dropped.push(position);
                return Ok(());
            }
            Encoded::Broken(reason) => {
                self.is_exhausted = true;
                self.bad.push(position);
                return Err(Error::of_input(position, reason));
            }
            Encoded::Failed(reason) => (Error::of_pre_process(position, reason), None),
            Encoded::Invalid { column, fault, key } => {
                let column = self.model.columns[self.layout.columns[column]].name;
                (Error::invalid_row(position, column, fault), key)
            }
            Encoded::InvalidBelow(ChildFault { path, model, column, fault }) => {
                let error = Error::invalid_row(position, model.columns[column].name, fault);
                (error.in_table(model.display_name()).below(path), None)
            }
        };
        match &mut self.rejects {
            Some(rejects) => {
                rejects.push(Reject::new(position, &error).with_key(key));
                Ok(())
            }
            None => {
                self.bad.push(position);
                Err(error)
            }
        }
    }
}

/// The positions of these rows.
fn chosen(positions: &Positions, rows: &[usize]) -> Positions {
    rows.iter().filter_map(|&row| positions.get(row)).collect::<Vec<_>>().into()
}

impl Collected {
    /// How many of the next rows are within these limits.
    fn fitting(&self, limits: Limits) -> usize {
        match &self.kept {
            Positions::Run(run) => self.rows.fitting(run.start + self.cut..run.end, limits.rows, limits.bytes),
            Positions::List(rows) => {
                let mut left = limits.bytes;
                let fits = |row: &&usize| {
                    let bytes = left.checked_sub(self.rows.bytes_of(**row..**row + 1));
                    left = bytes.unwrap_or_default();
                    bytes.is_some()
                };
                rows.iter().skip(self.cut).take(limits.rows).take_while(fits).count()
            }
        }
    }

    /// The rows that were not cut into a chunk yet.
    fn rest(&self) -> Positions {
        self.kept.slice(self.cut..self.kept.len())
    }

    /// Has these rows as the rest.
    fn keep(&mut self, rows: Vec<usize>) {
        (self.kept, self.cut) = (rows.into(), 0);
    }

    /// The next rows; in the order of their keys where the layout is given.
    fn next(&mut self, limits: Limits, in_key_order: Option<&Arc<Layout>>) -> (EncodedRows, Positions) {
        let ordered = in_key_order.filter(|_| !self.keeps_order);
        if let (None, Positions::Run(run)) = (ordered, &self.kept) {
            let rest = run.start + self.cut..run.end;
            let fitting = self.rows.fitting(rest.clone(), limits.rows, limits.bytes).max(1).min(rest.len());
            let rows = rest.start..rest.start + fitting;
            self.cut += fitting;
            return (self.rows.slice(rows.clone()), self.positions.slice(rows));
        }
        let mut rows = Vec::new();
        let mut bytes = 0;
        for number in self.cut..self.kept.len() {
            let Some(row) = self.kept.get(number) else { break };
            bytes += self.rows.bytes_of(row..row + 1);
            if rows.len() >= limits.rows || (bytes > limits.bytes && !rows.is_empty()) {
                break;
            }
            rows.push(row);
        }
        self.cut += rows.len();
        if let Some(layout) = ordered {
            let fields: Vec<usize> = layout.key.fields().collect();
            if let Some(order) = by_key(&self.rows, rows.iter().copied(), &fields) {
                rows = order;
            }
        }
        let positions = chosen(&self.positions, &rows);
        match Positions::from(rows) {
            Positions::Run(run) => (self.rows.slice(run), positions),
            Positions::List(rows) => (self.rows.subset(&rows), positions),
        }
    }
}
