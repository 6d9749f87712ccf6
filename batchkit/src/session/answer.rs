//! What a statement answers, read: how many rows had each outcome, or what became of each of them.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::run::{Reading, Work};
use super::shape::Shape;
use super::stored::StoredRow;
use super::way::Foreknown;
use crate::error::{Error, ErrorKind, Result};
use crate::report::{Counts, Outcome};
use crate::sql::{STALE, UNCHANGED_WITHOUT_ROW, UNSEEN};
use crate::wire::{ColumnType, Decoder, EncodedRows, Start};

/// How the answered rows of the accounting form find the rows that were sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Matching {
    /// In front of each is the ordinal of the row that was sent, and a letter that tells what became of that.
    Ordinal,
    /// By the bytes of their key, which is one field; an answered row had this outcome.
    Key {
        /// The field of the rows that are sent.
        sent: usize,
        /// The field of the answered rows.
        answered: usize,
        /// What became of a row that is answered.
        outcome: Outcome,
    },
}

impl Matching {
    /// How answered rows are decoded as they come: of their fields, what they are matched by is kept.
    pub(super) fn decoder(self, start: Start, types: Arc<[ColumnType]>) -> Decoder {
        match self {
            Matching::Ordinal => Decoder { start, types, first: 2, kept: vec![0, 1] },
            Matching::Key { answered, .. } => Decoder { start, types, first: 0, kept: vec![answered] },
        }
    }

    /// Where the columns of these types are, as which stored rows are answered.
    pub(crate) fn shape(self, types: Arc<[ColumnType]>) -> Shape {
        Shape { first: if matches!(self, Matching::Ordinal) { 2 } else { 0 }, types }
    }

    /// How rows are matched of which only that is kept.
    pub(super) fn of_kept(self) -> Self {
        match self {
            Matching::Ordinal => self,
            Matching::Key { sent, outcome, .. } => Matching::Key { sent, answered: 0, outcome },
        }
    }
}

/// What a statement answers of one row.
pub(super) type Answered = (Told, Option<StoredRow>);

/// What a statement answers of all rows.
pub(super) enum Answers {
    /// Each by itself.
    Each(Vec<Answered>),
    /// All had this outcome, and each is stored as the row with its number.
    InStep(Outcome, Arc<EncodedRows>),
}

impl Answers {
    /// Each by itself.
    pub(super) fn into_each(self) -> Vec<Answered> {
        match self {
            Answers::Each(answered) => answered,
            Answers::InStep(outcome, block) => {
                (0..block.len()).map(|row| (Told::Is(outcome), Some(StoredRow::new(&block, row, 0)))).collect()
            }
        }
    }
}

/// What a statement tells of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// What became of it.
    Is(Outcome),
    /// It was left alone: its key is stored with another version.
    Stale,
    /// It was left alone, and the statement does not see why.
    Unseen,
}

/// Reads the counting form's answer. The counts add up to the number of rows, or it is an error.
pub(super) fn read_counts(reading: Reading, rows: usize, answer: &EncodedRows, tag: u64) -> Result<Counts> {
    let mut counts = Counts::default();
    let rest = match reading {
        Reading::Tag(outcome, rest) => {
            counts.add(outcome, tag);
            rest
        }
        Reading::Cells(&[is, is_not], rest) if are_flags(answer, tag) => {
            let flags = (0..answer.len()).filter_map(|row| answer.row(row).next().flatten());
            flags.for_each(|flag| counts.add(if flag == [1] { is } else { is_not }, 1));
            rest
        }
        Reading::Cells(outcomes, rest) => {
            let mut cells = (!answer.is_empty()).then(|| answer.row(0)).into_iter().flatten();
            for outcome in outcomes {
                let cell = cells.next().flatten().and_then(int8).and_then(|n| u64::try_from(n).ok());
                counts.add(*outcome, cell.ok_or_else(|| unaccounted("the counts are missing"))?);
            }
            rest
        }
    };
    let rows = u64::try_from(rows).unwrap_or(u64::MAX);
    let others = rows
        .checked_sub(counts.total())
        .ok_or_else(|| unaccounted(&format!("{} rows were written for {rows} rows of input", counts.total())))?;
    counts.add(rest, others);
    Ok(counts)
}

/// COPY tells a number only: where that is all of them, each row is in, as it was sent.
/// `answered` tells what of it was asked for, where stored rows were.
pub(super) fn copied(rows: &EncodedRows, tag: u64, answered: Option<&Foreknown>) -> Result<Answers> {
    if usize::try_from(tag) != Ok(rows.len()) {
        return Err(unaccounted(&format!("COPY took {tag} of {} rows, and does not tell which", rows.len())));
    }
    Ok(match answered {
        Some(Foreknown::Whole) => Answers::InStep(Outcome::Inserted, Arc::new(rows.in_copy_form())),
        Some(Foreknown::Fields(fields)) => Answers::InStep(Outcome::Inserted, Arc::new(rows.only(fields))),
        None => Answers::Each(vec![(Told::Is(Outcome::Inserted), None); rows.len()]),
    })
}

/// Reads the accounting form's answer, of which all bytes are kept.
pub(super) fn read_kept(work: &Work, matching: Matching, sent: &EncodedRows, answer: EncodedRows) -> Result<Answers> {
    read_outcomes(work, matching, sent, answer)?.ok_or_else(unanswered)
}

/// Reads the accounting form's answer: at most one row for each row that was sent, in whatever order. `None` where an
/// answered row belongs to several of those, and was decoded as it came: there is only one of it.
pub(super) fn read_outcomes(
    work: &Work,
    matching: Matching,
    sent: &EncodedRows,
    answer: EncodedRows,
) -> Result<Option<Answers>> {
    match matching {
        Matching::Ordinal => by_ordinal(work, sent.len(), answer).map(Answers::Each).map(Some),
        Matching::Key { sent: field, answered, outcome } => {
            if work.form.has_rows() && are_in_step(sent, field, &answer, answered) {
                return Ok(Some(Answers::InStep(outcome, Arc::new(answer))));
            }
            let (found, is_shared) = by_key(sent, field, &answer, answered)?;
            if is_shared && work.writes {
                // Two rows with one unique key cannot both be written: a trigger that is not known of has dropped one.
                return Err(doubled());
            }
            if is_shared && answer.is_decoded() {
                return Ok(None);
            }
            let unanswered = work.unanswered.ok_or_else(unanswered)?;
            let block = Arc::new(answer);
            let answered = |row: Option<usize>| match row {
                None => (Told::Is(unanswered), None),
                Some(row) => {
                    let stored = work.form.has_rows().then(|| StoredRow::new(&block, row, 0));
                    (Told::Is(outcome), stored)
                }
            };
            Ok(Some(Answers::Each(found.into_iter().map(answered).collect())))
        }
    }
}

/// The bytes of the ordinal and of the letter in front of an answered row's own fields.
const ANSWER_HEAD: usize = 4 + 8 + 4 + 1;

fn by_ordinal(work: &Work, rows: usize, answer: EncodedRows) -> Result<Vec<Answered>> {
    let block = Arc::new(answer);
    let mut outcomes: Vec<Option<Answered>> = vec![None; rows];
    for row in 0..block.len() {
        let mut fields = block.row(row);
        let ordinal = fields.next().flatten().and_then(int8).and_then(|n| usize::try_from(n - 1).ok());
        let letter = fields.next().flatten().and_then(|bytes| bytes.first().copied());
        let slot = ordinal.and_then(|position| outcomes.get_mut(position));
        let (Some(slot), Some(letter)) = (slot, letter) else {
            return Err(foreign());
        };
        if slot.is_some() {
            return Err(doubled());
        }
        let outcome = match letter {
            STALE => Some((Told::Stale, false)),
            UNSEEN => Some((Told::Unseen, false)),
            UNCHANGED_WITHOUT_ROW => Some((Told::Is(Outcome::Unchanged), false)),
            _ => Outcome::from_letter(letter).map(|outcome| (Told::Is(outcome), outcome.has_row())),
        };
        let (outcome, has_row) = outcome.ok_or_else(|| unaccounted("the answer has an unknown outcome"))?;
        let stored = (has_row && work.form.has_rows()).then(|| StoredRow::new(&block, row, ANSWER_HEAD));
        *slot = Some((outcome, stored));
    }
    let given = work.unanswered.map(|outcome| (Told::Is(outcome), None));
    outcomes.into_iter().map(|slot| slot.or_else(|| given.clone()).ok_or_else(unanswered)).collect()
}

/// Whether each row that was sent is answered by the row with its number. Most reads find all rows, and in the order in
/// which they were asked for, which is that of the index.
fn are_in_step(sent: &EncodedRows, field: usize, answer: &EncodedRows, answered: usize) -> bool {
    if let (Some(sent), Some(answered)) = (sent.values(field), answer.values(answered)) {
        return sent == answered;
    }
    let mut pairs = sent.fields_at(field).zip(answer.fields_at(answered));
    sent.len() == answer.len() && pairs.all(|(sent, answered)| sent.is_some_and(|key| answered == Some(key)))
}

/// Where the answer to each row that was sent is: the rows with the same bytes in their key. Rows with the same key
/// have the same answer; whether there are such rows.
fn by_key(
    sent: &EncodedRows,
    field: usize,
    answer: &EncodedRows,
    answered: usize,
) -> Result<(Vec<Option<usize>>, bool)> {
    if are_in_step(sent, field, answer, answered) {
        return Ok(((0..sent.len()).map(Some).collect(), false));
    }
    let key_sent = |row: usize| sent.field(row, field);
    let key_answered = |row: usize| answer.field(row, answered);
    let mut answers = HashMap::with_capacity_and_hasher(answer.len(), RandomState::default());
    for row in 0..answer.len() {
        let key = key_answered(row).ok_or_else(foreign)?;
        if answers.insert(key, (row, false)).is_some() {
            return Err(doubled());
        }
    }
    let (mut used, mut is_shared) = (0, false);
    let mut find = |row| {
        let (found, is_used) = answers.get_mut(key_sent(row)?)?;
        let again = std::mem::replace(is_used, true);
        used += usize::from(!again);
        is_shared |= again;
        Some(*found)
    };
    let found = (0..sent.len()).map(&mut find).collect();
    if used == answer.len() { Ok((found, is_shared)) } else { Err(foreign()) }
}

/// Whether each row that was written has answered one boolean.
fn are_flags(answer: &EncodedRows, written: u64) -> bool {
    let first = (!answer.is_empty()).then(|| answer.row(0).next().flatten()).flatten();
    usize::try_from(written) == Ok(answer.len()) && first.is_none_or(|field| field.len() == 1)
}

fn int8(bytes: &[u8]) -> Option<i64> {
    bytes.try_into().ok().map(i64::from_be_bytes)
}

fn foreign() -> Error {
    unaccounted("a row was written that belongs to no row of input: does a trigger change its key?")
}

fn doubled() -> Error {
    unaccounted("two stored rows belong to one row of input: the key is not unique")
}

fn unanswered() -> Error {
    unaccounted("a row of input was not answered")
}

pub(super) fn unaccounted(what: &str) -> Error {
    Error::new(ErrorKind::Accounting, what)
}
