//! Writing fields: length, bytes, and the checks that spare a round trip.

use std::{fmt, slice};

use bytes::{BufMut, BytesMut};
#[cfg(feature = "chrono")]
use castaway::cast;
use castaway::match_type;
use postgres_types::{IsNull, Oid, Type};
use serde::Serialize;

use super::check::check;
use super::column_type::{Check, ColumnType};
use super::columns::ColumnBuilder;
use super::fault::Fault;
use crate::model::{Convert, ToColumn};

/// Takes the fields of one row, one after the other. Used by generated code.
#[doc(hidden)]
pub struct RowWriter<'a> {
    row: &'a mut BytesMut,
    /// Of each field that is written into the row: the type in front of it, if that is the form.
    types: slice::Iter<'a, Oid>,
    /// Of each field that is written beside those before it: where.
    beside: slice::IterMut<'a, ColumnBuilder>,
    columns: &'a [ColumnType],
    next: usize,
}

// Never prints a row's bytes.
impl fmt::Debug for RowWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowWriter").field("next", &self.next).finish_non_exhaustive()
    }
}

impl<'a> RowWriter<'a> {
    /// Writes into `row`, each field behind its type if there are `types`, or `beside` the rows before it.
    #[inline]
    pub(super) fn new(
        types: &'a [Oid],
        row: &'a mut BytesMut,
        beside: &'a mut [ColumnBuilder],
        columns: &'a [ColumnType],
    ) -> Self {
        RowWriter { row, types: types.iter(), beside: beside.iter_mut(), columns, next: 0 }
    }

    /// The next field.
    ///
    /// # Panics
    /// Behind the last one: a row has as many as it says.
    #[inline]
    pub fn field(&mut self) -> ColumnWriter<'_> {
        let column = &self.columns[self.next];
        self.next += 1;
        let out = match self.beside.next() {
            Some(beside) => &mut beside.bytes,
            None => {
                if let Some(ty) = self.types.next() {
                    self.row.put_u32(*ty);
                }
                &mut *self.row
            }
        };
        ColumnWriter { out, column }
    }

    /// How many fields the row has.
    pub(crate) fn fields(&self) -> usize {
        self.columns.len()
    }

    /// The position of the field that was asked for last.
    pub(super) fn last(&self) -> usize {
        self.next.saturating_sub(1)
    }
}

/// The most bytes of one field: the server takes no message of 1 GB (its `MaxAllocSize`).
const MAX_FIELD_BYTES: usize = (1 << 30) - (1 << 16);

/// The length of a field, as it is written in front of it.
#[inline]
fn length(bytes: usize) -> Result<i32, Fault> {
    i32::try_from(bytes).ok().filter(|_| bytes <= MAX_FIELD_BYTES).ok_or(Fault::TooLarge)
}

/// Takes the value of one field. Generated code calls exactly one of the `put` methods per field.
pub struct ColumnWriter<'a> {
    out: &'a mut BytesMut,
    column: &'a ColumnType,
}

// Never prints a row's bytes.
impl fmt::Debug for ColumnWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ColumnWriter").field("column", &self.column).finish_non_exhaustive()
    }
}

impl<'a> ColumnWriter<'a> {
    /// Writes one field by itself.
    #[inline]
    pub(crate) fn new(out: &'a mut BytesMut, column: &'a ColumnType) -> Self {
        ColumnWriter { out, column }
    }

    /// Appends a value by its own binary form.
    ///
    /// # Errors
    /// When the value has no form in the column's type.
    #[inline]
    pub fn put<T: ToColumn>(&mut self, value: &T) -> Result<(), Fault> {
        // Each of these has one binary form in all types that take it: nothing has to be asked or put back.
        match_type!(value, {
            &i64 as value => self.put_fixed(value.to_be_bytes()),
            &i32 as value => self.put_fixed(value.to_be_bytes()),
            &i16 as value => self.put_fixed(value.to_be_bytes()),
            &f64 as value => self.put_fixed(value.to_be_bytes()),
            &f32 as value => self.put_fixed(value.to_be_bytes()),
            &bool as value => self.put_fixed([u8::from(*value)]),
            &String as value => self.put_text(value),
            &Option<i64> as value => self.put_optional(value.map(|value| value.to_be_bytes())),
            &Option<i32> as value => self.put_optional(value.map(|value| value.to_be_bytes())),
            &Option<i16> as value => self.put_optional(value.map(|value| value.to_be_bytes())),
            &Option<f64> as value => self.put_optional(value.map(|value| value.to_be_bytes())),
            &Option<f32> as value => self.put_optional(value.map(|value| value.to_be_bytes())),
            &Option<bool> as value => self.put_optional(value.map(|value| [u8::from(value)])),
            &Option<String> as value => match value {
                Some(value) => self.put_text(value),
                None => self.put_optional::<0>(None),
            },
            value => self.put_any(value),
        })
    }

    /// The same of a value that borrows nothing: more types are known by it.
    ///
    /// # Errors
    /// When the value has no form in the column's type.
    #[inline]
    pub fn put_owned<T: ToColumn + 'static>(&mut self, value: &T) -> Result<(), Fault> {
        #[cfg(feature = "chrono")]
        if let Some(micros) = cast!(value, &chrono::DateTime<chrono::Utc>).ok().and_then(instant) {
            return self.put_fixed(micros.to_be_bytes());
        }
        self.put(value)
    }

    /// The way of every type.
    fn put_any<T: ToColumn>(&mut self, value: &T) -> Result<(), Fault> {
        self.field(|ty, out| value.write(ty, out).map_err(|_| Fault::Refused))
    }

    #[inline]
    fn put_fixed<const N: usize>(&mut self, bytes: [u8; N]) -> Result<(), Fault> {
        let mut field = [0; 4 + 8];
        field[..4].copy_from_slice(&length(N)?.to_be_bytes());
        field[4..4 + N].copy_from_slice(&bytes);
        self.out.extend_from_slice(&field[..4 + N]);
        Ok(())
    }

    #[inline]
    fn put_text(&mut self, value: &String) -> Result<(), Fault> {
        // Some types have a version in front of the text.
        if self.column.check() != Check::Text {
            return self.put_any(value);
        }
        check(Check::Text, value.as_bytes())?;
        self.out.put_i32(length(value.len())?);
        self.out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    #[inline]
    fn put_optional<const N: usize>(&mut self, bytes: Option<[u8; N]>) -> Result<(), Fault> {
        match bytes {
            Some(bytes) => self.put_fixed(bytes),
            None => {
                self.put_null();
                Ok(())
            }
        }
    }

    /// Appends NULL.
    pub(crate) fn put_null(&mut self) {
        self.out.put_i32(-1);
    }

    /// Appends a value as JSON; a value that serialises to `null` is SQL NULL where the column allows it.
    ///
    /// # Errors
    /// When serde cannot serialise it.
    pub fn put_json<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        let not_null = self.column.not_null();
        self.field(|ty, out| {
            if *ty == Type::JSONB {
                out.put_u8(1);
            }
            let start = out.len();
            serde_json::to_writer(out.writer(), value).map_err(|_| Fault::Json)?;
            Ok(if !not_null && &out[start..] == b"null" { IsNull::Yes } else { IsNull::No })
        })
    }

    /// Appends a value as the type that it is stored as.
    ///
    /// # Errors
    /// When the value does not fit that type.
    pub fn put_as<U, T: Convert<U, Via>, Via>(&mut self, value: &T) -> Result<(), Fault> {
        let stored = value.to_stored().ok_or(Fault::OutOfRange)?;
        self.put(&stored)
    }

    #[inline]
    fn field(&mut self, write: impl FnOnce(&Type, &mut BytesMut) -> Result<IsNull, Fault>) -> Result<(), Fault> {
        let start = self.out.len();
        self.out.put_i32(-1);
        match write(self.column.ty(), self.out)? {
            IsNull::Yes => self.out.truncate(start + 4),
            IsNull::No => {
                let value = &self.out[start + 4..];
                let length = length(value.len())?;
                check(self.column.check(), value)?;
                self.out[start..start + 4].copy_from_slice(&length.to_be_bytes());
            }
        }
        Ok(())
    }
}

/// Microseconds since the year 2000; `None` leaves instants before it, whose parts of a microsecond chrono rounds to it,
/// to the type's own code.
#[cfg(feature = "chrono")]
#[inline]
fn instant(value: &chrono::DateTime<chrono::Utc>) -> Option<i64> {
    const YEAR_2000: i64 = 946_684_800_000_000;
    value.timestamp_micros().checked_sub(YEAR_2000).filter(|micros| *micros >= 0)
}
