//! Reads: conditions are evaluated with SQL's three values, rows are put in order.

use std::cmp::Ordering;
use std::sync::Arc;

use batchkit::backend::{ErrorBuilder, RawRow};
use batchkit::{Comparison, ErrorKind, Expression, OrderColumn, Result};
use bytes::Bytes;
use postgres_types::{Kind, Type};

use super::state::{Mapped, State};
use super::table::{Row, Table, TxId, field};
use super::value::Value;

/// The row with each key that a transaction sees. The keys' fields are those of the model's `columns`.
pub(super) fn by_keys(
    state: &State,
    tx: Option<TxId>,
    mapped: &Mapped,
    columns: &[usize],
    keys: &[RawRow],
    with_deleted: bool,
) -> Vec<Option<Row>> {
    let mark = mapped.mark().filter(|_| !with_deleted);
    let table = &state.tables[mapped.table];
    let columns: Vec<usize> = columns.iter().map(|&column| mapped.columns[column]).collect();
    let Some(number) = table.key(&columns) else { return vec![None; keys.len()] };
    let row = |key: &RawRow| {
        let part = |&column: &usize| {
            let at = columns.iter().position(|&given| given == column)?;
            Some(table.value(column, key.get(at)?.as_ref()?))
        };
        let value = table.keys[number].columns.iter().map(part).collect::<Option<Vec<_>>>()?;
        let found = table.find(number, &value, tx).filter(|(_, _, row)| table.is_live(mark, row));
        found.map(|(_, _, row)| Arc::clone(row))
    };
    keys.iter().map(row).collect()
}

/// What is read.
#[derive(Debug)]
pub(super) struct Selection<'f> {
    pub(super) filter: &'f Expression,
    /// The order. Columns are the model's.
    pub(super) order: Vec<OrderColumn>,
    /// The place in the order behind which rows are read.
    pub(super) after: Option<Place>,
    /// The place in the order before which rows are read.
    pub(super) before: Option<Place>,
    pub(super) limit: Option<u64>,
    pub(super) offset: Option<u64>,
    /// Whether rows that are marked as deleted are found.
    pub(super) with_deleted: bool,
}

/// A place in an order: the values of its columns.
pub(super) type Place = Vec<Option<Vec<u8>>>;

/// The rows that are selected, in their order.
pub(super) fn select(state: &State, tx: Option<TxId>, mapped: &Mapped, selection: &Selection<'_>) -> Result<Vec<Row>> {
    let table = &state.tables[mapped.table];
    let by_order = |one: &[Option<Value>], other: &[Option<Value>]| {
        let columns = selection.order.iter().zip(one.iter().zip(other));
        columns
            .map(|(by, (one, other))| compare(*by, one, other))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    };
    let place = |place: &Place| -> Vec<Option<Value>> {
        let value = |(by, bytes): (&OrderColumn, &Option<Vec<u8>>)| {
            let column = mapped.columns[by.column];
            bytes.as_ref().map(|bytes| table.value(column, &Bytes::copy_from_slice(bytes)))
        };
        selection.order.iter().zip(place).map(value).collect()
    };
    let (after, before) = (selection.after.as_ref().map(place), selection.before.as_ref().map(place));
    let keyed = |row: Row| {
        let value = |by: &OrderColumn| {
            let column = mapped.columns[by.column];
            field(&row, column).map(|bytes| table.value(column, bytes))
        };
        (selection.order.iter().map(value).collect::<Vec<_>>(), row)
    };
    let between = |(key, _): &(Vec<Option<Value>>, Row)| {
        after.as_ref().is_none_or(|after| by_order(key, after).is_gt())
            && before.as_ref().is_none_or(|before| by_order(key, before).is_lt())
    };
    let mut rows: Vec<_> = fitting(table, tx, mapped, selection.filter, selection.with_deleted)?
        .into_iter()
        .map(keyed)
        .filter(between)
        .collect();
    rows.sort_by(|(one, _), (other, _)| by_order(one, other));
    let count = |rows: Option<u64>| rows.map(|rows| usize::try_from(rows).unwrap_or(usize::MAX));
    let (offset, limit) = (count(selection.offset).unwrap_or(0), count(selection.limit).unwrap_or(usize::MAX));
    // Where only the place before which is said, they are counted from that.
    let (skipped, taken) = (offset.min(rows.len()), limit.min(rows.len().saturating_sub(offset)));
    let from_end = before.is_some() && after.is_none();
    let first = if from_end { rows.len() - skipped - taken } else { skipped };
    Ok(rows.into_iter().skip(first).take(taken).map(|(_, row)| row).collect())
}

/// The order of two values in one column.
fn compare(by: OrderColumn, one: &Option<Value>, other: &Option<Value>) -> Ordering {
    match (one, other) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => {
            if by.nulls_first {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
        (Some(_), None) => {
            if by.nulls_first {
                Ordering::Greater
            } else {
                Ordering::Less
            }
        }
        (Some(one), Some(other)) => {
            if by.descending {
                other.cmp(one)
            } else {
                one.cmp(other)
            }
        }
    }
}

/// How many rows fulfil a filter, counting no further than `limit`.
pub(super) fn count(
    state: &State,
    tx: Option<TxId>,
    mapped: &Mapped,
    filter: &Expression,
    limit: Option<u64>,
    with_deleted: bool,
) -> Result<u64> {
    let rows = fitting(&state.tables[mapped.table], tx, mapped, filter, with_deleted)?;
    let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    Ok(limit.map_or(count, |limit| count.min(limit)))
}

fn fitting(
    table: &Table,
    tx: Option<TxId>,
    mapped: &Mapped,
    filter: &Expression,
    with_deleted: bool,
) -> Result<Vec<Row>> {
    let mark = mapped.mark().filter(|_| !with_deleted);
    let named = |error| ErrorBuilder::from(error).table(mapped.model.display_name()).build();
    let condition = Condition::of(table, mapped, filter).map_err(named)?;
    let fits = |row: &&Row| table.is_live(mark, row) && condition.holds(table, row) == Some(true);
    Ok(table.visible(tx).filter(fits).cloned().collect())
}

/// A filter whose values are encoded.
enum Condition {
    Constant(bool),
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Compare(usize, Comparison, Option<Value>),
    Like(usize, bool, Option<Vec<Pattern>>),
    In(usize, Vec<Value>),
    IsNull(usize),
}

/// A part of a LIKE pattern.
#[derive(Debug, PartialEq)]
enum Pattern {
    Letter(char),
    AnyLetter,
    AnyText,
}

impl Condition {
    fn of(table: &Table, mapped: &Mapped, filter: &Expression) -> Result<Self> {
        let all = |terms: &[Expression]| {
            terms.iter().map(|term| Condition::of(table, mapped, term)).collect::<Result<Vec<_>>>()
        };
        let at = |column: usize| mapped.columns[column];
        let value = |column: usize, bytes: Vec<u8>| Value::of(compared(&table.columns[at(column)].ty), &bytes.into());
        Ok(match filter {
            Expression::Constant(value) => Condition::Constant(*value),
            Expression::And(terms) => Condition::And(all(terms)?),
            Expression::Or(terms) => Condition::Or(all(terms)?),
            Expression::Not(inner) => Condition::Not(Box::new(Condition::of(table, mapped, inner)?)),
            Expression::Compare { column, comparison, value: with } => match comparison {
                Comparison::Like | Comparison::ILike => {
                    let any_case = *comparison == Comparison::ILike || table.columns[at(*column)].ty.name() == "citext";
                    let pattern = with.encode(&Type::TEXT)?;
                    let pattern = pattern.map(|text| pattern_of(&String::from_utf8_lossy(&text), any_case));
                    Condition::Like(at(*column), any_case, pattern.transpose()?)
                }
                _ => {
                    let with = with.encode(compared(&table.columns[at(*column)].ty))?;
                    Condition::Compare(at(*column), *comparison, with.map(|bytes| value(*column, bytes)))
                }
            },
            Expression::In { column, values } => {
                let ty = compared(&table.columns[at(*column)].ty);
                if matches!(ty.kind(), Kind::Array(_)) {
                    let what = "is_in does not take columns of arrays: put eq together with |";
                    return Err(ErrorBuilder::new(ErrorKind::InvalidFilter, what).build());
                }
                let values = values.encode(ty).filter_map(Result::transpose);
                let values = values.map(|bytes| Ok(value(*column, bytes?))).collect::<Result<_>>()?;
                Condition::In(at(*column), values)
            }
            Expression::IsNull { column } => Condition::IsNull(at(*column)),
            _ => {
                let what = "the filter has a condition that only PostgreSQL can evaluate";
                return Err(ErrorBuilder::new(ErrorKind::InvalidFilter, what).build());
            }
        })
    }

    /// True, false, or unknown.
    fn holds(&self, table: &Table, row: &Row) -> Option<bool> {
        match self {
            Condition::Constant(value) => Some(*value),
            Condition::And(terms) => decided(terms, table, row, false),
            Condition::Or(terms) => decided(terms, table, row, true),
            Condition::Not(inner) => inner.holds(table, row).map(|holds| !holds),
            Condition::Compare(column, comparison, with) => {
                let stored = stored(table, *column, row)?;
                let order = stored.cmp(with.as_ref()?);
                Some(match comparison {
                    Comparison::Eq => order == Ordering::Equal,
                    Comparison::Ne => order != Ordering::Equal,
                    Comparison::Lt => order == Ordering::Less,
                    Comparison::Le => order != Ordering::Greater,
                    Comparison::Gt => order == Ordering::Greater,
                    Comparison::Ge => order != Ordering::Less,
                    // Patterns have a condition of their own.
                    _ => return None,
                })
            }
            Condition::Like(column, any_case, pattern) => {
                let text = String::from_utf8_lossy(field(row, *column)?);
                let letters: Vec<char> =
                    if *any_case { text.to_lowercase().chars().collect() } else { text.chars().collect() };
                Some(fits(&letters, pattern.as_deref()?))
            }
            Condition::In(_, values) if values.is_empty() => Some(false),
            Condition::In(column, values) => Some(values.contains(&stored(table, *column, row)?)),
            Condition::IsNull(column) => Some(field(row, *column).is_none()),
        }
    }
}

/// Whether one of the terms is `decisive`; its opposite where all are that, else unknown.
fn decided(terms: &[Condition], table: &Table, row: &Row, decisive: bool) -> Option<bool> {
    let mut unknown = false;
    for term in terms {
        match term.holds(table, row) {
            Some(holds) if holds == decisive => return Some(decisive),
            Some(_) => {}
            None => unknown = true,
        }
    }
    (!unknown).then_some(!decisive)
}

/// The type that a column is compared as: json has no equality, jsonb has.
fn compared(ty: &Type) -> &Type {
    if *ty == Type::JSON { &Type::JSONB } else { ty }
}

fn stored(table: &Table, column: usize, row: &Row) -> Option<Value> {
    let (ty, bytes) = (&table.columns[column].ty, field(row, column)?);
    if *ty == Type::JSON {
        let document: Bytes = [b"\x01", &bytes[..]].concat().into();
        return Some(Value::of(&Type::JSONB, &document));
    }
    Some(Value::of(ty, bytes))
}

fn pattern_of(text: &str, any_case: bool) -> Result<Vec<Pattern>> {
    let text = if any_case { text.to_lowercase() } else { text.to_owned() };
    let mut letters = text.chars();
    let mut pattern = Vec::new();
    while let Some(letter) = letters.next() {
        pattern.push(match letter {
            '%' => Pattern::AnyText,
            '_' => Pattern::AnyLetter,
            '\\' => Pattern::Letter(letters.next().ok_or_else(|| {
                let what = "the server refused";
                ErrorBuilder::new(ErrorKind::Database, what).sqlstate("22025").build()
            })?),
            letter => Pattern::Letter(letter),
        });
    }
    Ok(pattern)
}

/// Whether a text fits a pattern. Goes back to the last `%` only: whatever fits before it, fits at its first place.
fn fits(text: &[char], pattern: &[Pattern]) -> bool {
    let (mut at, mut part) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(part) {
            Some(Pattern::AnyText) => {
                back = Some((at, part));
                part += 1;
            }
            Some(Pattern::AnyLetter) => (at, part) = (at + 1, part + 1),
            Some(Pattern::Letter(letter)) if *letter == text[at] => (at, part) = (at + 1, part + 1),
            _ => match &mut back {
                None => return false,
                Some((from, star)) => {
                    *from += 1;
                    (at, part) = (*from, *star + 1);
                }
            },
        }
    }
    pattern[part..].iter().all(|part| *part == Pattern::AnyText)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_the_server_has_it() {
        let like =
            |text: &str, pattern: &str| fits(&text.chars().collect::<Vec<_>>(), &pattern_of(pattern, false).unwrap());
        for (text, pattern) in [
            ("", ""),
            ("", "%"),
            ("abc", "abc"),
            ("abc", "a%"),
            ("abc", "%c"),
            ("abc", "_b_"),
            ("a%b", "a\\%b"),
            ("aXbXc", "a%b%c"),
            ("abab", "%ab"),
            ("ääb", "__b"),
        ] {
            assert!(like(text, pattern), "{text:?} {pattern:?}");
        }
        for (text, pattern) in
            [("", "_"), ("abc", "ab"), ("abc", "%d"), ("aXb", "a\\%b"), ("abc", "____"), ("ABC", "abc")]
        {
            assert!(!like(text, pattern), "{text:?} {pattern:?}");
        }
        assert!(pattern_of("a\\", false).is_err());
    }
}
