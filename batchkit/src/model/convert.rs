//! `#[batch(as = "U")]`: a field that is stored as another type.
//!
//! Which of the three ways holds (the value itself, an `Option` or a `Vec` of it) is found by the type
//! system, through the marker parameter that callers leave to inference.

use std::marker::PhantomData;

use postgres_types::{FromSql, ToSql, Type};

use super::value::{FromColumn, ToColumn};
use crate::wire::{ColumnWriter, Fault, ReadFault, RowReader};

/// In the types of a model's names and keys: the field is a `T`, stored as a `U`.
#[derive(Debug)]
pub struct As<T, U>(PhantomData<fn() -> (T, U)>);

/// In the types of a model's names: the field is a `T`, stored as a JSON document.
#[derive(Debug)]
pub struct Json<T>(PhantomData<fn() -> T>);

/// Marks the conversion of the value itself.
#[derive(Debug)]
pub struct Itself;
/// Marks the conversion inside an `Option`.
#[derive(Debug)]
pub struct InOption;
/// Marks the conversion inside a `Vec`.
#[derive(Debug)]
pub struct InVec;

/// A field type that is stored as `U` (or `Option<U>`, `Vec<U>`), by `TryFrom` both ways.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored as `{U}`",
    label = "not convertible to `{U}` and back",
    note = "`#[batch(as = \"{U}\")]` needs `Clone`, `TryInto<{U}>` and `TryFrom<{U}>` (which `From` gives too)"
)]
pub trait Convert<U, Via>: Sized {
    /// The type that is sent and read.
    type Stored: ToSql + for<'a> FromSql<'a> + 'static;

    /// The stored form, or `None` when the value does not fit it.
    fn to_stored(&self) -> Option<Self::Stored>;

    /// The field's value, or `None` when the stored value does not fit it.
    fn from_stored(stored: Self::Stored) -> Option<Self>;

    /// Whether the stored form can be sent as `ty`.
    fn writes(ty: &Type) -> bool {
        <Self::Stored as ToColumn>::writes(ty)
    }

    /// Whether the stored form can be read from `ty`.
    fn reads(ty: &Type) -> bool {
        <Self::Stored as FromColumn>::reads(ty)
    }

    /// Whether the stored form can hold NULL.
    fn nullable(ty: &Type) -> bool {
        <Self::Stored as FromColumn>::nullable(ty)
    }

    /// Appends the stored form as one field.
    ///
    /// # Errors
    /// When the value does not fit that form.
    #[inline]
    fn put(&self, out: &mut ColumnWriter<'_>) -> Result<(), Fault> {
        out.put_as(self)
    }

    /// Reads the next field from its stored form.
    ///
    /// # Errors
    /// When the stored value does not fit this type.
    #[inline]
    fn get(row: &mut RowReader<'_>) -> Result<Self, ReadFault> {
        row.read_as()
    }
}

#[diagnostic::do_not_recommend]
impl<T, U> Convert<U, Itself> for T
where
    T: Clone + TryInto<U> + TryFrom<U>,
    U: ToSql + for<'a> FromSql<'a> + 'static,
{
    type Stored = U;

    fn to_stored(&self) -> Option<U> {
        self.clone().try_into().ok()
    }

    fn from_stored(stored: U) -> Option<Self> {
        stored.try_into().ok()
    }
}

#[diagnostic::do_not_recommend]
impl<T, U> Convert<U, InOption> for Option<T>
where
    T: Clone + TryInto<U> + TryFrom<U>,
    U: ToSql + for<'a> FromSql<'a> + 'static,
{
    type Stored = Option<U>;

    fn to_stored(&self) -> Option<Option<U>> {
        self.as_ref().map(Convert::to_stored).map_or(Some(None), |stored| stored.map(Some))
    }

    fn from_stored(stored: Option<U>) -> Option<Self> {
        stored.map_or(Some(None), |stored| T::from_stored(stored).map(Some))
    }
}

#[diagnostic::do_not_recommend]
impl<T, U> Convert<U, InVec> for Vec<T>
where
    T: Clone + TryInto<U> + TryFrom<U>,
    U: ToSql + for<'a> FromSql<'a> + 'static,
{
    type Stored = Vec<U>;

    fn to_stored(&self) -> Option<Vec<U>> {
        self.iter().map(Convert::to_stored).collect()
    }

    fn from_stored(stored: Vec<U>) -> Option<Self> {
        stored.into_iter().map(T::from_stored).collect()
    }
}
