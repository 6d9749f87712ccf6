//! The related rows of a question, and which of its keys each of them belongs to.

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::RandomState;
use postgres_types::Type;

use crate::error::{Error, ErrorKind, Result};
use crate::wire::{ColumnType, EncodedRows, base};

/// The related rows of one question, statement by statement.
pub(crate) type Answers = Vec<Block>;

/// Some related rows, those of one key in the relation's order.
#[derive(Debug)]
pub(crate) struct Block {
    /// The rows; perhaps with something around the fields of the related model.
    pub(crate) rows: EncodedRows,
    /// The position of each one's key in the question.
    owners: Vec<usize>,
    /// The order that they are to be taken in, if it is another one.
    order: Option<Vec<usize>>,
    /// The bytes in front of each one's own fields.
    head: usize,
}

/// How a row tells which key it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// By the key's position from 0, an int8 in front of its own fields.
    Position,
    /// By the bytes of the key, which are this field of it.
    Key(usize),
}

impl Owner {
    /// The bytes in front of a row's own fields.
    pub(crate) fn head(self) -> usize {
        match self {
            Owner::Position => 4 + 8,
            Owner::Key(_) => 0,
        }
    }
}

/// Where each key, of one field, is in its question.
pub(crate) type Positions<'k> = HashMap<&'k [u8], usize, RandomState>;

/// The positions of these keys.
pub(crate) fn positions(keys: &EncodedRows) -> Positions<'_> {
    (0..keys.len()).filter_map(|key| Some((keys.row(key).next()??, key))).collect()
}

impl Block {
    /// Rows of these owners, without anything around them.
    pub(crate) fn new(rows: EncodedRows, owners: Vec<usize>) -> Self {
        Block { rows, owners, order: None, head: 0 }
    }

    /// Rows that a server has answered. Where their order is left to this side, `order` are the fields to order them
    /// by.
    pub(crate) fn answered(
        rows: EncodedRows,
        owner: Owner,
        positions: &Positions<'_>,
        order: Option<&[usize]>,
    ) -> Result<Self> {
        let owned = |row: usize| match owner {
            Owner::Position => {
                let position = rows.row(row).next().flatten().and_then(|bytes| bytes.try_into().ok());
                position.and_then(|position| usize::try_from(i64::from_be_bytes(position)).ok())
            }
            Owner::Key(field) => positions.get(rows.row(row).nth(field).flatten()?).copied(),
        };
        let unknown = || Error::new(ErrorKind::Accounting, "a related row belongs to no key");
        let owners = (0..rows.len()).map(|row| owned(row).ok_or_else(unknown)).collect::<Result<Vec<_>>>()?;
        let order = order.and_then(|fields| sorted(&rows, fields));
        Ok(Block { rows, owners, order, head: owner.head() })
    }

    /// The rows in their order: the position of each one's key, its place in [`rows`](Self::rows), and its own fields.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, usize, &[u8])> {
        let row = |place: usize| {
            let row = self.order.as_ref().map_or(place, |order| order[place]);
            (self.owners[row], row, self.rows.fields(row).get(self.head..).unwrap_or_default())
        };
        (0..self.rows.len()).map(row)
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
fn sorted(rows: &EncodedRows, fields: &[usize]) -> Option<Vec<usize>> {
    let key = |row: usize, field: usize| rows.row(row).nth(field).flatten().and_then(ordinal);
    let compare = |one: usize, other: usize| {
        let parts = fields.iter().map(|&field| key(one, field).cmp(&key(other, field)));
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
        assert_eq!(sorted(&rows, &[0, 1]), Some(vec![3, 1, 2, 0]));
        assert_eq!(sorted(&rows, &[1]), Some(vec![2, 1, 0, 3]));
        assert_eq!(sorted(&rows.slice(1..3), &[0]), None);
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
            let block = Block::answered(rows, Owner::Key(0), &positions(&asked), None)?;
            Ok::<_, Error>(block.iter().map(|(owner, ..)| owner).collect::<Vec<_>>())
        };
        assert_eq!(owners(keys(&["b", "a", "b"])).unwrap(), [1, 0, 1]);
        assert_eq!(owners(keys(&["a", "c"])).unwrap_err().kind(), ErrorKind::Accounting);
    }
}
