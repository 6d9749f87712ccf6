//! Which Rust types a column can hold: whatever `postgres-types` can send and read.
//!
//! The traits add nothing to `ToSql` and `FromSql` but a message that helps when a field's type has no
//! place in PostgreSQL. User enums, domains and composites come in through the derives of
//! `postgres-types`; `#[batch(json)]` takes any serde type, `#[batch(as = "…")]` any convertible one.

use bytes::BytesMut;
use postgres_types::{FromSql, IsNull, ToSql, Type};

use crate::wire::{ColumnWriter, Fault, ReadFault, RowReader};

/// A type whose values can be written to a column. Implemented for all `postgres_types::ToSql`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written to a PostgreSQL column",
    label = "not a type that a column can hold",
    note = "PostgreSQL has no unsigned integers but `oid` (`u32`): write `#[batch(as = \"i64\")]` to store the field as another type",
    note = "write `#[batch(json)]` to store any serde type as jsonb, or derive `postgres_types::ToSql` for an enum, domain or composite",
    note = "types of chrono, time, jiff, uuid and rust_decimal need batchkit's feature of that name"
)]
pub trait ToColumn: Sized {
    /// Whether values of this type can be sent as `ty`.
    fn writes(ty: &Type) -> bool;

    /// Appends the value's binary form, without its length.
    ///
    /// # Errors
    /// What `ToSql::to_sql` says, when the value has no form in `ty`.
    fn write(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>>;

    /// Appends the value as one field.
    ///
    /// # Errors
    /// When the value has no form in the column's type.
    #[inline]
    fn put(&self, out: &mut ColumnWriter<'_>) -> Result<(), Fault> {
        out.put(self)
    }
}

#[diagnostic::do_not_recommend]
impl<T: ToSql> ToColumn for T {
    fn writes(ty: &Type) -> bool {
        T::accepts(ty)
    }

    #[inline]
    fn write(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.to_sql(ty, out)
    }
}

/// A type whose values can be read from a column. Implemented for all owned `postgres_types::FromSql`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a PostgreSQL column",
    label = "not a type that can be read from a column",
    note = "a model that borrows its text cannot be read back: add `#[batch(write_only)]` to the struct, or own the field",
    note = "write `#[batch(as = \"i64\")]` to store the field as another type, `#[batch(json)]` for any serde type, or derive `postgres_types::FromSql`"
)]
pub trait FromColumn: Sized + 'static {
    /// Whether values of `ty` can be read into this type.
    fn reads(ty: &Type) -> bool;

    /// Whether SQL NULL can be read into this type.
    fn nullable(ty: &Type) -> bool;

    /// Reads a value's binary form; `None` is SQL NULL.
    ///
    /// # Errors
    /// What `FromSql::from_sql` says, when the bytes have no value of this type.
    fn read(ty: &Type, raw: Option<&[u8]>) -> Result<Self, Box<dyn std::error::Error + Sync + Send>>;

    /// Reads the next field.
    ///
    /// # Errors
    /// When it is NULL or not representable in this type.
    #[inline]
    fn get(row: &mut RowReader<'_>) -> Result<Self, ReadFault> {
        row.read()
    }
}

#[diagnostic::do_not_recommend]
impl<T: for<'a> FromSql<'a> + 'static> FromColumn for T {
    fn reads(ty: &Type) -> bool {
        T::accepts(ty)
    }

    fn nullable(ty: &Type) -> bool {
        T::from_sql_null(ty).is_ok()
    }

    #[inline]
    fn read(ty: &Type, raw: Option<&[u8]>) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        T::from_sql_nullable(ty, raw)
    }
}

/// A type that a column can hold: written and read. Implemented for all that are both.
///
/// Generated code names a field's type by this one trait, and always in the same way: an unsupported type
/// is then one error of the compiler, not one for each use.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a type that a PostgreSQL column can hold",
    label = "no column can hold this",
    note = "PostgreSQL has no unsigned integers but `oid` (`u32`): write `#[batch(as = \"i64\")]` to store the field as another type",
    note = "write `#[batch(json)]` to store any serde type as jsonb, or derive `postgres_types::ToSql` and `FromSql` for an enum, domain or composite",
    note = "types of chrono, time, jiff, uuid and rust_decimal need batchkit's feature of that name"
)]
pub trait ColumnValue: Sized {
    /// Whether values of this type can be sent as `ty`.
    fn writes(ty: &Type) -> bool;

    /// Whether values of `ty` can be read into this type.
    fn reads(ty: &Type) -> bool;

    /// Whether SQL NULL can be read into this type.
    fn nullable(ty: &Type) -> bool;

    /// Appends the value as one field.
    ///
    /// # Errors
    /// When the value has no form in the column's type.
    fn put(&self, out: &mut ColumnWriter<'_>) -> Result<(), Fault>;

    /// Reads the next field.
    ///
    /// # Errors
    /// When it is NULL or not representable in this type.
    fn get(row: &mut RowReader<'_>) -> Result<Self, ReadFault>;
}

#[diagnostic::do_not_recommend]
impl<T: ToColumn + FromColumn> ColumnValue for T {
    fn writes(ty: &Type) -> bool {
        <T as ToColumn>::writes(ty)
    }

    fn reads(ty: &Type) -> bool {
        <T as FromColumn>::reads(ty)
    }

    fn nullable(ty: &Type) -> bool {
        <T as FromColumn>::nullable(ty)
    }

    #[inline]
    fn put(&self, out: &mut ColumnWriter<'_>) -> Result<(), Fault> {
        out.put_owned(self)
    }

    #[inline]
    fn get(row: &mut RowReader<'_>) -> Result<Self, ReadFault> {
        row.read()
    }
}
