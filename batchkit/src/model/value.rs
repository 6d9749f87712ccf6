//! Which Rust types a column can hold: whatever `postgres-types` can send and read.
//!
//! The two traits add nothing to `ToSql` and `FromSql` but a message that helps when a field's type has
//! no place in PostgreSQL. User enums, domains and composites come in through the derives of
//! `postgres-types`; `#[batch(json)]` takes any serde type, `#[batch(as = "…")]` any convertible one.

use bytes::BytesMut;
use postgres_types::{FromSql, IsNull, ToSql, Type};

/// A type whose values can be written to a column. Implemented for all `postgres_types::ToSql`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written to a PostgreSQL column",
    label = "not a type that a column can hold",
    note = "PostgreSQL has no unsigned integers but `oid` (`u32`): write `#[batch(as = \"i64\")]` to store the field as another type",
    note = "write `#[batch(json)]` to store any serde type as jsonb, or derive `postgres_types::ToSql` for an enum, domain or composite",
    note = "types of chrono, time, jiff, uuid and rust_decimal need batchkit's feature of that name"
)]
pub trait ToColumn {
    /// Whether values of this type can be sent as `ty`.
    fn writes(ty: &Type) -> bool
    where
        Self: Sized;

    /// Appends the value's binary form, without its length.
    ///
    /// # Errors
    /// What `ToSql::to_sql` says, when the value has no form in `ty`.
    fn write(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>>;
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
pub trait FromColumn: Sized {
    /// Whether values of `ty` can be read into this type.
    fn reads(ty: &Type) -> bool;

    /// Whether SQL NULL can be read into this type.
    fn nullable(ty: &Type) -> bool;

    /// Reads a value's binary form; `None` is SQL NULL.
    ///
    /// # Errors
    /// What `FromSql::from_sql` says, when the bytes have no value of this type.
    fn read(ty: &Type, raw: Option<&[u8]>) -> Result<Self, Box<dyn std::error::Error + Sync + Send>>;
}

#[diagnostic::do_not_recommend]
impl<T: for<'a> FromSql<'a>> FromColumn for T {
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
