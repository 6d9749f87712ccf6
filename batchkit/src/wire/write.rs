//! Writing fields: length, bytes, and the checks that spare a round trip.

use bytes::{BufMut, BytesMut};
use castaway::match_type;
use postgres_types::{IsNull, Type};
use serde::Serialize;

use super::check::check;
use super::column_type::{Check, ColumnType};
use super::fault::Fault;
use crate::model::{Convert, ToColumn};

/// Takes the fields of one row, one after the other. Used by generated code.
#[doc(hidden)]
#[derive(Debug)]
pub struct RowWriter<'a> {
    out: &'a mut BytesMut,
    columns: &'a [ColumnType],
    next: usize,
}

impl<'a> RowWriter<'a> {
    pub(crate) fn new(out: &'a mut BytesMut, columns: &'a [ColumnType]) -> Self {
        RowWriter { out, columns, next: 0 }
    }

    /// The next field. There are as many as the row has columns.
    #[inline]
    pub fn field(&mut self) -> ColumnWriter<'_> {
        let column = &self.columns[self.next];
        self.next += 1;
        ColumnWriter { out: self.out, column }
    }

    /// The position of the field that was asked for last.
    pub(crate) fn last(&self) -> usize {
        self.next.saturating_sub(1)
    }
}

/// Takes the value of one field. Generated code calls exactly one of the `put` methods per field.
#[derive(Debug)]
pub struct ColumnWriter<'a> {
    out: &'a mut BytesMut,
    column: &'a ColumnType,
}

impl<'a> ColumnWriter<'a> {
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

    /// The way of every type.
    fn put_any<T: ToColumn>(&mut self, value: &T) -> Result<(), Fault> {
        self.field(|ty, out| value.write(ty, out).map_err(|_| Fault::Refused))
    }

    #[inline]
    fn put_fixed<const N: usize>(&mut self, bytes: [u8; N]) -> Result<(), Fault> {
        let mut field = [0; 4 + 8];
        let length = i32::try_from(N).map_err(|_| Fault::TooLarge)?;
        field[..4].copy_from_slice(&length.to_be_bytes());
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
        self.out.put_i32(i32::try_from(value.len()).map_err(|_| Fault::TooLarge)?);
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
                let length = i32::try_from(value.len()).map_err(|_| Fault::TooLarge)?;
                check(self.column.check(), value)?;
                self.out[start..start + 4].copy_from_slice(&length.to_be_bytes());
            }
        }
        Ok(())
    }
}
