//! Writing one field: its length, its bytes, and the checks that spare a round trip.

use bytes::{BufMut, BytesMut};
use postgres_types::{IsNull, Type};
use serde::Serialize;

use super::check::check;
use super::column_type::ColumnType;
use super::fault::Fault;
use crate::model::{Convert, ToColumn};

/// Takes the value of one field. Generated code calls exactly one of the `put` methods per field.
#[derive(Debug)]
pub struct ColumnWriter<'a> {
    out: &'a mut BytesMut,
    column: &'a ColumnType,
}

impl<'a> ColumnWriter<'a> {
    pub(crate) fn new(out: &'a mut BytesMut, column: &'a ColumnType) -> Self {
        ColumnWriter { out, column }
    }

    /// Appends a value by its own binary form.
    ///
    /// # Errors
    /// When the value has no form in the column's type.
    #[inline]
    pub fn put<T: ToColumn + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.field(|ty, out| value.write(ty, out).map_err(|_| Fault::Refused))
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
