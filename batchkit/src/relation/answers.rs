//! The related rows of a question, and which of its keys each of them belongs to.

use std::collections::HashMap;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use foldhash::fast::RandomState;
use postgres_types::Type;

use crate::error::{Error, ErrorKind, Result};
use crate::wire::{ColumnType, Decoder, EncodedRows, Start, base};

/// The related rows of one question, statement by statement.
pub(crate) type Answers = Vec<Block>;

/// Some related rows, those of one key in the relation's order.
#[derive(Debug)]
pub(crate) struct Block {
    /// The rows: their own fields, or what they were decoded to.
    pub(crate) rows: EncodedRows,
    /// The position of each one's key in the question.
    owners: Vec<usize>,
    /// The order that they are to be taken in, if it is another one.
    order: Option<Vec<usize>>,
}

/// In place of the position of a key: the row belongs to none.
const NOBODY: usize = usize::MAX;

/// How a row tells which key it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// By the key's position from 0, an int8 in front of its own fields.
    Position,
    /// By the bytes of the key, which are this field of it.
    Key(usize),
}

impl Owner {
    /// How the answered rows are decoded as they come. Of their fields that one is kept which tells the owner, and
    /// behind it those of `order`.
    pub(crate) fn decoder(self, start: Start, types: Arc<[ColumnType]>, order: &[usize]) -> Decoder {
        let (first, field) = match self {
            Owner::Position => (1, 0),
            Owner::Key(field) => (0, field),
        };
        let kept = std::iter::once(field).chain(order.iter().map(|field| first + field)).collect();
        Decoder { start, types, first, kept }
    }
}

/// Where each key, of one field, is in its question.
pub(crate) type KeyNumbers<'k> = HashMap<&'k [u8], usize, RandomState>;

/// The positions of these keys.
pub(crate) fn key_numbers(keys: &EncodedRows) -> KeyNumbers<'_> {
    let mut numbers = KeyNumbers::with_capacity_and_hasher(keys.len(), RandomState::default());
    numbers.extend(keys.fields_at(0).enumerate().filter_map(|(number, key)| Some((key?, number))));
    numbers
}

impl Block {
    /// Rows of these owners.
    pub(crate) fn new(rows: EncodedRows, owners: Vec<usize>) -> Self {
        Block { rows, owners, order: None }
    }

    /// Rows that a server has answered, decoded as [`Owner::decoder`] says, to be ordered by so many of the kept fields.
    pub(crate) fn answered(rows: EncodedRows, owner: Owner, positions: &KeyNumbers<'_>, order: usize) -> Result<Self> {
        // Rows of one key most often come behind each other.
        let mut last: Option<(&[u8], usize)> = None;
        let mut owned = |field: Option<&[u8]>| {
            let field = field?;
            match (owner, last) {
                (Owner::Position, _) => usize::try_from(i64::from_be_bytes(field.try_into().ok()?)).ok(),
                (Owner::Key(_), Some((key, number))) if is_same(key, field) => Some(number),
                (Owner::Key(_), _) => {
                    let (key, number) = positions.get_key_value(field)?;
                    last = Some((key, *number));
                    Some(*number)
                }
            }
        };
        let unknown = || Error::new(ErrorKind::Accounting, "a related row belongs to no key");
        let mut owners = Vec::with_capacity(rows.len());
        for field in rows.fields_at(0) {
            owners.push(owned(field).ok_or_else(unknown)?);
        }
        let order = if order == 0 { None } else { sorted(&rows, 1..=order) };
        Ok(Block { rows, owners, order })
    }

    /// Rows that were asked for by other keys than those of the question, of which some are the same: that of `number`
    /// among such blocks. Of a key that was asked about more than once, the first block that has any has its rows;
    /// `firsts` tells, for each key, which one that is.
    pub(crate) fn asked_along(
        rows: EncodedRows,
        positions: &KeyNumbers<'_>,
        order: usize,
        number: usize,
        firsts: &mut [Option<usize>],
    ) -> Self {
        let mut owned = |field: Option<&[u8]>| {
            let owner = *positions.get(field?)?;
            let first = firsts.get_mut(owner)?.get_or_insert(number);
            (*first == number).then_some(owner)
        };
        let owners = rows.fields_at(0).map(|field| owned(field).unwrap_or(NOBODY)).collect();
        let order = if order == 0 { None } else { sorted(&rows, 1..=order) };
        Block { rows, owners, order }
    }

    /// The positions of the rows' keys, where the rows are to be taken as they are.
    pub(crate) fn in_step(&self) -> Option<&[usize]> {
        (self.order.is_none() && !self.owners.contains(&NOBODY)).then_some(&self.owners)
    }

    /// The rows in their order: the position of each one's key, and its place in [`rows`](Self::rows).
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, usize)> {
        let row = |place: usize| {
            let row = self.order.as_ref().map_or(place, |order| order[place]);
            (self.owners[row], row)
        };
        (0..self.rows.len()).map(row).filter(|(owner, _)| *owner != NOBODY)
    }
}

/// Whether two keys have the same bytes. Most have eight of them, for which nothing has to be called.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    match (<[u8; 8]>::try_from(one), <[u8; 8]>::try_from(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

/// Whether values of the column can be ordered by [`ordinal`] as the server orders them.
pub(crate) fn has_ordinal(column: &ColumnType) -> bool {
    column.not_null() && matches!(*base(column.ty()), Type::INT2 | Type::INT4 | Type::INT8)
}

/// An integer's value.
fn ordinal(field: &[u8]) -> Option<i64> {
    Some(match field.len() {
        2 => i16::from_be_bytes(field.try_into().ok()?).into(),
        4 => i32::from_be_bytes(field.try_into().ok()?).into(),
        _ => i64::from_be_bytes(field.try_into().ok()?),
    })
}

/// The rows by these fields, which are integers; `None` where that is the order they have.
fn sorted(rows: &EncodedRows, fields: RangeInclusive<usize>) -> Option<Vec<usize>> {
    if fields.start() == fields.end()
        && rows.fields_at(*fields.start()).is_sorted_by_key(|field| field.and_then(ordinal))
    {
        return None;
    }
    let values = |field| rows.fields_at(field).map(|field| field.and_then(ordinal)).collect::<Vec<_>>();
    let columns: Vec<_> = fields.map(values).collect();
    let compare = |one: usize, other: usize| {
        let parts = columns.iter().map(|column| column[one].cmp(&column[other]));
        parts.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    };
    let range: Range<usize> = 0..rows.len();
    if range.clone().zip(1..rows.len()).all(|(one, other)| compare(one, other).is_le()) {
        return None;
    }
    let mut order: Vec<usize> = range.collect();
    order.sort_by(|&one, &other| compare(one, other));
    Some(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::RowsBuilder;

    #[test]
    fn integers_are_ordered_as_the_server_orders_them() {
        let mut rows = RowsBuilder::default();
        for (a, b) in [(1i64, 5i32), (-3, 0), (1, -2), (i64::MIN, 7)] {
            rows.push_raw([Some(&a.to_be_bytes()[..]), Some(&b.to_be_bytes()[..])].into_iter());
        }
        let rows = rows.finish();
        assert_eq!(sorted(&rows, 0..=1), Some(vec![3, 1, 2, 0]));
        assert_eq!(sorted(&rows, 1..=1), Some(vec![2, 1, 0, 3]));
        assert_eq!(sorted(&rows.slice(1..3), 0..=0), None);
    }

    #[test]
    fn a_row_that_belongs_to_no_key_is_an_error() {
        let keys = |keys: &[&str]| {
            let mut rows = RowsBuilder::default();
            keys.iter().for_each(|key| rows.push_raw([Some(key.as_bytes())].into_iter()));
            rows.finish()
        };
        let asked = keys(&["a", "b"]);
        let owners = |rows| {
            let block = Block::answered(rows, Owner::Key(0), &key_numbers(&asked), 0)?;
            Ok::<_, Error>(block.iter().map(|(owner, _)| owner).collect::<Vec<_>>())
        };
        assert_eq!(owners(keys(&["b", "a", "b"])).unwrap(), [1, 0, 1]);
        assert_eq!(owners(keys(&["a", "c"])).unwrap_err().kind(), ErrorKind::Accounting);
    }
}
