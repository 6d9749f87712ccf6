//! Chunks of encoded rows, each with the input positions of its rows.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;

use tokio::time::Instant;

use super::ahead::Ahead;
use super::feed::{Encoded, Feed, Layout, Piece};
use super::graph::ChildFault;
use super::order::by_key;
use super::pace::Pace;
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

    /// The chunk's two halves.
    pub(crate) fn halves(&self) -> [Chunk; 2] {
        let half = self.rows.len() / 2;
        let part = |rows: Range<usize>| Chunk {
            index: self.index,
            positions: self.positions[rows.clone()].to_vec(),
            rows: self.rows.slice(rows),
        };
        [part(0..half), part(half..self.rows.len())]
    }

    /// The positions as ranges, ascending.
    pub(crate) fn ranges(&self) -> Vec<Range<usize>> {
        ranges(&self.positions)
    }
}

/// Positions as ranges, ascending.
pub(crate) fn ranges(positions: &[usize]) -> Vec<Range<usize>> {
    if !positions.is_sorted() {
        let mut sorted = positions.to_vec();
        sorted.sort_unstable();
        return ranges(&sorted);
    }
    // No position comes twice.
    if let (Some(&first), Some(&last)) = (positions.first(), positions.last())
        && last - first + 1 == positions.len()
    {
        return std::iter::once(first..last + 1).collect();
    }
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
    positions: Vec<usize>,
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
    positions: Vec<usize>,
    /// The rows that were not cut into a chunk yet.
    kept: VecDeque<usize>,
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
        let ahead = (style.ahead && feed.has_jobs()).then(|| Ahead::new(Arc::clone(&layout), style.pace.limits().rows));
        Chunks {
            ahead,
            feed,
            model,
            in_key_order: style.concurrent && layout.key.fields().next().is_some(),
            layout,
            pace: style.pace,
            collected: None,
            next_position: 0,
            next_chunk: 0,
            builder: RowsBuilder::default(),
            positions: Vec::new(),
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
    pub(crate) async fn collect(&mut self, workers: usize) -> Result<(EncodedRows, Vec<usize>)> {
        let all = Limits { rows: usize::MAX, bytes: usize::MAX };
        let chunk = self.pace.limits();
        let round = Limits { rows: chunk.rows.saturating_mul(workers), bytes: chunk.bytes.saturating_mul(workers) };
        self.fill(if self.feed.is_stream() { round } else { all }).await?;
        let (rows, positions) = (self.builder.finish(), std::mem::take(&mut self.positions));
        let kept = (0..rows.len()).collect();
        self.collected = Some(Collected {
            rows: rows.clone(),
            positions: positions.clone(),
            kept,
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
            if let Some(order) = by_key(&collected.rows, collected.kept.iter().copied(), &fields) {
                collected.kept = order.into();
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
            collected.kept.retain(|&row| !dropped[row]);
        }
    }

    /// Sends these rows when all others are through: `later` has an entry for each collected row.
    pub(crate) fn put_last(&mut self, later: &[bool]) {
        if let Some(collected) = &mut self.collected {
            collected.last = collected.kept.iter().copied().filter(|&row| later[row]).collect();
            collected.kept.retain(|&row| !later[row]);
        }
    }

    /// Turns to the rows that wait for all others; whether there are any.
    pub(crate) fn start_last(&mut self) -> bool {
        let Some(collected) = &mut self.collected else { return false };
        collected.kept.extend(collected.last.drain(..));
        collected.keeps_order = true;
        !collected.kept.is_empty()
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
        let (rows, positions) = match &mut self.collected {
            Some(collected) => collected.next(limits, self.in_key_order.then_some(&self.layout)),
            None => {
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
            Some(collected) => !collected.kept.is_empty() || !collected.last.is_empty(),
            None => !self.is_exhausted && (self.ahead.is_some() || self.feed.known_len() != Some(0)),
        }
    }

    /// The builder's rows.
    fn in_order(&mut self) -> (EncodedRows, Vec<usize>) {
        let (rows, positions) = (self.builder.finish(), std::mem::take(&mut self.positions));
        if !self.in_key_order {
            return (rows, positions);
        }
        let fields: Vec<usize> = self.layout.key.fields().collect();
        match by_key(&rows, 0..rows.len(), &fields) {
            None => (rows, positions),
            Some(order) => (rows.subset(&order), order.into_iter().map(|row| positions[row]).collect()),
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
        let mut rest = std::mem::take(&mut self.positions);
        rest.append(&mut self.bad);
        if let Some(collected) = &mut self.collected {
            let rows = collected.kept.drain(..).chain(collected.last.drain(..));
            rest.extend(rows.map(|row| collected.positions[row]));
        }
        let taken = self.ahead.as_mut().map_or(0, Ahead::abandon);
        rest.extend(self.next_position..self.next_position + taken);
        self.next_position += taken;
        rest
    }

    /// Encodes rows until there are as many as a chunk has, or no more.
    async fn fill(&mut self, limits: Limits) -> Result<()> {
        while !self.is_exhausted && self.builder.len() < limits.rows && self.builder.byte_len() < limits.bytes {
            let Some(ahead) = &mut self.ahead else {
                let behind = if self.feed.is_stream() {
                    let feed = &mut self.feed;
                    let ready = poll_fn(|context| feed.poll_ready(context).map(Ok));
                    within(self.deadline, ready).await?;
                    Some(self.feed.encode_next(&self.layout, &mut self.builder))
                } else {
                    let (rows, behind) = self.feed.encode_many(&self.layout, &mut self.builder, limits);
                    self.positions.extend(self.next_position..self.next_position + rows);
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
            let Some(piece) = ahead.next(&mut *self.feed, room, self.builder.len() == 0).await? else { break };
            self.accept(piece)?;
        }
        Ok(())
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
                self.positions.push(position);
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

impl Collected {
    /// The next rows, where they lie one behind the other; `None` where a row between them is left out.
    fn run(&mut self, limits: Limits) -> Option<Range<usize>> {
        let kept = self.kept.make_contiguous();
        let first = *kept.first()?;
        let rows = self.rows.fitting(first..self.rows.len(), limits.rows, limits.bytes).max(1).min(kept.len());
        let run = first..first + rows;
        run.clone().eq(kept[..rows].iter().copied()).then_some(run)
    }

    /// The next rows; in the order of their keys where the layout is given.
    fn next(&mut self, limits: Limits, in_key_order: Option<&Arc<Layout>>) -> (EncodedRows, Vec<usize>) {
        let ordered = in_key_order.filter(|_| !self.keeps_order);
        if let (None, Some(run)) = (ordered, self.run(limits)) {
            self.kept.drain(..run.len());
            return (self.rows.slice(run.clone()), self.positions[run].to_vec());
        }
        let mut chosen = Vec::new();
        let mut bytes = 0;
        for &row in &self.kept {
            bytes += self.rows.bytes_of(row..row + 1);
            if chosen.len() >= limits.rows || (bytes > limits.bytes && !chosen.is_empty()) {
                break;
            }
            chosen.push(row);
        }
        self.kept.drain(..chosen.len());
        if let Some(layout) = ordered {
            let fields: Vec<usize> = layout.key.fields().collect();
            if let Some(order) = by_key(&self.rows, chosen.iter().copied(), &fields) {
                chosen = order;
            }
        }
        let whole = chosen.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        let rows = match (whole, chosen.first(), chosen.last()) {
            (true, Some(&first), Some(&last)) => self.rows.slice(first..last + 1),
            _ => self.rows.subset(&chosen),
        };
        (rows, chosen.into_iter().map(|row| self.positions[row]).collect())
    }
}
