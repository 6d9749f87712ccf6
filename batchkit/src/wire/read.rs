//! Reading one row: field by field, in the order in which they were asked for.

use std::any::TypeId;
use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use castaway::cast;
use postgres_types::{FromSql, Type};
use serde::de::DeserializeOwned;
use tokio_postgres::Row;

use super::column_type::{Check, ColumnType, Range, base};
use super::fault::{ReadFault, ReadReason};
use crate::model::{Convert, FromColumn};

/// The fields of one row, read one after the other.
pub struct RowReader<'a> {
    from: Source<'a>,
    columns: &'a [ColumnType],
    next: usize,
}

// Never prints a row's bytes.
impl fmt::Debug for RowReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowReader").field("next", &self.next).finish_non_exhaustive()
    }
}

/// Where the fields are.
enum Source<'a> {
    /// The bytes of those that were not read yet.
    Bytes(&'a [u8]),
    /// A row as the driver has it, in which they begin with this number; and those that were read.
    Driver(&'a Row, usize, &'a Seen<'a>),
}

/// The bytes of the first fields of a row that were read: to ask the driver for them once more costs as much as to
/// decode them.
pub(crate) struct Seen<'a> {
    fields: [Cell<Option<&'a [u8]>>; Seen::MOST],
    count: Cell<usize>,
    wanted: usize,
}

impl<'a> Seen<'a> {
    /// More are not remembered.
    const MOST: usize = 8;

    /// Nothing yet; so many fields are to be remembered.
    #[inline]
    pub(crate) fn of(wanted: usize) -> Self {
        Seen { fields: Default::default(), count: Cell::new(0), wanted }
    }

    /// A field, if it was read and is remembered; `None` of that is NULL.
    #[inline]
    pub(crate) fn get(&self, field: usize) -> Option<Option<&'a [u8]>> {
        self.fields.get(field).filter(|_| field < self.count.get()).map(Cell::get)
    }

    /// Remembers the next field.
    #[inline]
    fn next(&self, field: Option<&'a [u8]>) {
        let count = self.count.get();
        if count < self.wanted
            && let Some(place) = self.fields.get(count)
        {
            place.set(field);
            self.count.set(count + 1);
        }
    }
}

/// A field's bytes as the server sent them.
pub(crate) struct Raw<'a>(pub(crate) Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl<'a> RowReader<'a> {
    /// Starts at the row's first field; `row` begins behind the number of fields.
    pub(crate) fn new(row: &'a [u8], columns: &'a [ColumnType]) -> Self {
        RowReader { from: Source::Bytes(row), columns, next: 0 }
    }

    /// Starts at this field of a row that the driver has; what is read is noted in `seen`.
    pub(crate) fn of(row: &'a Row, first: usize, columns: &'a [ColumnType], seen: &'a Seen<'a>) -> Self {
        RowReader { from: Source::Driver(row, first, seen), columns, next: 0 }
    }

    /// Reads the next field.
    ///
    /// # Errors
    /// When it is NULL or not representable in `T`.
    #[inline]
    pub fn read<T: FromColumn>(&mut self) -> Result<T, ReadFault> {
        let (column, raw) = self.raw()?;
        let described = &self.columns[column];
        if let Some(value) = raw.and_then(|raw| plain(described, raw)) {
            return Ok(value);
        }
        let (ty, range) = (described.ty(), described.range());
        let fault = |reason| ReadFault { column, reason };
        let result = match raw {
            Some(value) if is_exceptional(range, value) => decode_guarded(ty, value),
            _ => T::read(ty, raw).ok(),
        };
        result.ok_or_else(|| fault(if raw.is_none() { ReadReason::Null } else { ReadReason::Unrepresentable }))
    }

    /// Reads the next field from JSON; SQL NULL is read as JSON's `null`.
    ///
    /// # Errors
    /// When the document is not one of `T`.
    pub fn read_json<T: DeserializeOwned>(&mut self) -> Result<T, ReadFault> {
        let (column, raw) = self.raw()?;
        let document = match raw {
            None => b"null",
            Some(value) if *self.columns[column].ty() == Type::JSONB => value.get(1..).unwrap_or_default(),
            Some(value) => value,
        };
        let reason = if raw.is_none() { ReadReason::Null } else { ReadReason::Unrepresentable };
        serde_json::from_slice(document).map_err(|_| ReadFault { column, reason })
    }

    /// Reads the next field from the type that it is stored as.
    ///
    /// # Errors
    /// When the stored value does not fit `T`.
    pub fn read_as<U, T: Convert<U, Via>, Via>(&mut self) -> Result<T, ReadFault> {
        let column = self.next;
        let stored = self.read::<T::Stored>()?;
        T::from_stored(stored).ok_or(ReadFault { column, reason: ReadReason::Unrepresentable })
    }

    // A call for each field would cost more than its work.
    #[inline(always)]
    fn raw(&mut self) -> Result<(usize, Option<&'a [u8]>), ReadFault> {
        let column = self.next;
        let truncated = ReadFault { column, reason: ReadReason::Truncated };
        if column >= self.columns.len() {
            return Err(truncated);
        }
        self.next += 1;
        let rest = match &mut self.from {
            Source::Bytes(rest) => rest,
            Source::Driver(row, first, seen) => {
                let raw: Raw<'a> = row.try_get(*first + column).map_err(|_| truncated)?;
                seen.next(raw.0);
                return Ok((column, raw.0));
            }
        };
        let (length, behind) = rest.split_first_chunk::<4>().ok_or(truncated)?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            *rest = behind;
            return Ok((column, None));
        };
        let (value, behind) = behind.split_at_checked(length).ok_or(truncated)?;
        *rest = behind;
        Ok((column, Some(value)))
    }
}

/// A value of a type that has one binary form in all types that it is read from; `None` leaves it to the type's own
/// code, and to its errors.
#[inline]
fn plain<T: FromColumn>(column: &ColumnType, raw: &[u8]) -> Option<T> {
    macro_rules! number {
        ($($number:ty),*) => {$(
            if TypeId::of::<T>() == TypeId::of::<$number>() {
                return cast!(<$number>::from_be_bytes(raw.try_into().ok()?), T).ok();
            }
            if TypeId::of::<T>() == TypeId::of::<Option<$number>>() {
                return cast!(Some(<$number>::from_be_bytes(raw.try_into().ok()?)), T).ok();
            }
        )*};
    }
    number!(i64, i32, i16, f64, f32);
    let text = || (column.check() == Check::Text).then(|| std::str::from_utf8(raw).ok()).flatten();
    #[cfg(feature = "chrono")]
    {
        type Instant = chrono::DateTime<chrono::Utc>;
        if TypeId::of::<T>() == TypeId::of::<Instant>() {
            return cast!(instant(column, raw)?, T).ok();
        }
        if TypeId::of::<T>() == TypeId::of::<Option<Instant>>() {
            return cast!(Some(instant(column, raw)?), T).ok();
        }
    }
    if TypeId::of::<T>() == TypeId::of::<String>() {
        return cast!(text()?.to_owned(), T).ok();
    }
    if TypeId::of::<T>() == TypeId::of::<Option<String>>() {
        return cast!(Some(text()?.to_owned()), T).ok();
    }
    None
}

/// A timestamptz: microseconds since the year 2000.
#[cfg(feature = "chrono")]
fn instant(column: &ColumnType, raw: &[u8]) -> Option<chrono::DateTime<chrono::Utc>> {
    const YEAR_2000: i64 = 946_684_800_000_000;
    let is_plain = column.range() == Range::Timestamp && !is_exceptional(Range::Timestamp, raw);
    chrono::DateTime::from_timestamp_micros(int8(raw).filter(|_| is_plain)? + YEAR_2000)
}

/// Values that PostgreSQL has and some date or decimal libraries do not: infinite and far-away dates,
/// 24:00:00, NaN. Their `FromSql` may panic or wrap around.
#[inline]
fn is_exceptional(range: Range, value: &[u8]) -> bool {
    /// 9,000 years around 2000, in days: inside of the range of every library.
    const DAYS: i32 = 9_000 * 365;
    const MICROS: i64 = DAYS as i64 * 86_400_000_000;
    match range {
        Range::All => false,
        Range::Date => int4(value).is_none_or(|days| days.unsigned_abs() > DAYS.unsigned_abs()),
        Range::Timestamp => int8(value).is_none_or(|us| us.unsigned_abs() > MICROS.unsigned_abs()),
        Range::Time => int8(value).is_none_or(|us| us >= 86_400_000_000),
        // The sign word of NaN and of the infinities.
        Range::Numeric => value.get(4).is_some_and(|sign| *sign >= 0xC0),
    }
}

fn int4(value: &[u8]) -> Option<i32> {
    value.try_into().ok().map(i32::from_be_bytes)
}

fn int8(value: &[u8]) -> Option<i64> {
    value.try_into().ok().map(i64::from_be_bytes)
}

/// Decodes an exceptional value; a library that panics on it has no value for it.
#[cold]
fn decode_guarded<T: FromColumn>(ty: &Type, value: &[u8]) -> Option<T> {
    // 24:00:00 is read as 00:00:00 by every library, without an error.
    if *base(ty) == Type::TIME {
        return None;
    }
    catch_unwind(AssertUnwindSafe(|| T::read(ty, Some(value)).ok())).ok().flatten()
}
