//! Declared unique keys, and the values that can be looked up as one.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use postgres_types::{FromSql, ToSql};

use super::convert::{As, Convert, Itself};
use super::value::FromColumn;
use crate::wire::{ColumnWriter, Fault, ReadFault, RowReader, RowWriter};

/// A unique key that the struct declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UniqueKey {
    /// Its name: the group's, the field's, or `key` for the primary one.
    pub name: &'static str,
    /// The positions of its columns in [`Model::columns`](super::Model::columns).
    pub columns: &'static [usize],
}

/// The key type of a model that declares no key. Nothing can be looked up by it.
#[derive(Debug)]
pub enum NoKey {}

/// The typed name of a unique key of `M` whose fields have the types `K` (a tuple).
pub struct Unique<M, K> {
    key: UniqueKey,
    of: PhantomData<fn() -> (M, K)>,
}

impl<M, K> Unique<M, K> {
    /// Used by generated code.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str, columns: &'static [usize]) -> Self {
        Unique { key: UniqueKey { name, columns }, of: PhantomData }
    }

    /// The key's name and columns.
    #[must_use]
    pub const fn key(&self) -> UniqueKey {
        self.key
    }
}

impl<M, K> Clone for Unique<M, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M, K> Copy for Unique<M, K> {}

impl<M, K> fmt::Debug for Unique<M, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

/// A value that can be compared with a key column whose field has type `A`.
///
/// The field's own type and a reference to it; `&str` for `String`, `&[u8]` for `Vec<u8>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a value of a key column of type `{A}`",
    note = "pass the field's own type or a reference to it (`&str` for `String`)"
)]
pub trait KeyPart<A>: Sync {
    /// Appends the value as one field.
    ///
    /// # Errors
    /// When the value has no form in the column's type.
    fn write_part(&self, out: &mut ColumnWriter<'_>) -> Result<(), Fault>;
}

impl<T: ToSql + Sync> KeyPart<T> for T {
    #[inline]
    fn write_part(&self, out: &mut ColumnWriter<'_>) -> Result<(), Fault> {
        out.put(self)
    }
}

impl<T: ToSql + Sync> KeyPart<T> for &T {
    #[inline]
    fn write_part(&self, out: &mut ColumnWriter<'_>) -> Result<(), Fault> {
        out.put(*self)
    }
}

// A nullable column is looked up by a value: NULL equals nothing.
impl<T: ToSql + Sync> KeyPart<Option<T>> for T {
    #[inline]
    fn write_part(&self, out: &mut ColumnWriter<'_>) -> Result<(), Fault> {
        out.put(self)
    }
}

impl<T: ToSql + Sync> KeyPart<Option<T>> for &T {
    #[inline]
    fn write_part(&self, out: &mut ColumnWriter<'_>) -> Result<(), Fault> {
        out.put(*self)
    }
}

impl<T, U> KeyPart<As<T, U>> for T
where
    T: Clone + TryInto<U> + TryFrom<U> + Sync,
    U: ToSql + for<'a> FromSql<'a> + 'static,
{
    #[inline]
    fn write_part(&self, out: &mut ColumnWriter<'_>) -> Result<(), Fault> {
        out.put_as::<U, T, Itself>(self)
    }
}

impl<T, U> KeyPart<As<T, U>> for &T
where
    T: Convert<U, Itself> + Clone + TryInto<U> + TryFrom<U> + Sync,
    U: ToSql + for<'a> FromSql<'a> + 'static,
{
    #[inline]
    fn write_part(&self, out: &mut ColumnWriter<'_>) -> Result<(), Fault> {
        out.put_as::<U, T, Itself>(*self)
    }
}

macro_rules! borrowed_part {
    ($($borrowed:ty => $owned:ty),* $(,)?) => {$(
        impl KeyPart<$owned> for $borrowed {
            #[inline]
            fn write_part(&self, out: &mut ColumnWriter<'_>) -> Result<(), Fault> {
                out.put(self)
            }
        }
    )*};
}

borrowed_part! {
    &str => String, &&str => String, &str => Box<str>, &&str => Box<str>, String => Box<str>, &String => Box<str>,
    &str => Option<String>, &&str => Option<String>, Cow<'_, str> => String, &[u8] => Vec<u8>, &&[u8] => Vec<u8>,
}

/// A value that can be looked up as a key of the fields' types `K`: the value itself for a key of one
/// column, a tuple in the key's order for one of several.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a key of type `{K}`",
    note = "pass the key field's own type (or a reference), or a tuple of them in the key's order; a model without `#[batch(key)]` cannot be looked up"
)]
pub trait KeyFor<K>: Sync {
    /// Appends the part number `part` of the key as one field.
    ///
    /// # Errors
    /// When the value has no form in the column's type.
    fn write_key(&self, part: usize, out: &mut ColumnWriter<'_>) -> Result<(), Fault>;

    /// Appends all parts, in the key's order.
    ///
    /// # Errors
    /// When a part has no form in its column's type.
    #[doc(hidden)]
    #[inline]
    fn write_all(&self, row: &mut RowWriter<'_>) -> Result<(), Fault> {
        (0..row.fields()).try_for_each(|part| self.write_key(part, &mut row.field()))
    }
}

impl<A, T: KeyPart<A>> KeyFor<(A,)> for T {
    fn write_key(&self, _part: usize, out: &mut ColumnWriter<'_>) -> Result<(), Fault> {
        self.write_part(out)
    }

    #[inline]
    fn write_all(&self, row: &mut RowWriter<'_>) -> Result<(), Fault> {
        self.write_part(&mut row.field())
    }
}

/// A primary key that stored rows can be told by, of the fields' types `Self` (a tuple).
#[diagnostic::on_unimplemented(
    message = "there is no key of the types `{Self}` to be read",
    note = "the model needs a `#[batch(key)]` whose fields can be read from their columns"
)]
pub trait ReadKey {
    /// The key as its users have it: the value itself for one of one column, a tuple for one of several.
    type Value: Send + 'static;

    /// Reads its fields, which are the next ones.
    ///
    /// # Errors
    /// When one has no form in its field's type.
    #[doc(hidden)]
    fn read(row: &mut RowReader<'_>) -> Result<Self::Value, ReadFault>;
}

/// A field of a key as it is read.
pub trait ReadPart {
    /// The field's own type.
    type Value: Send + 'static;

    #[doc(hidden)]
    fn read(row: &mut RowReader<'_>) -> Result<Self::Value, ReadFault>;
}

impl<T: FromColumn + Send> ReadPart for T {
    type Value = T;

    #[inline]
    fn read(row: &mut RowReader<'_>) -> Result<T, ReadFault> {
        row.read()
    }
}

impl<T, U> ReadPart for As<T, U>
where
    T: Convert<U, Itself> + Send + 'static,
{
    type Value = T;

    fn read(row: &mut RowReader<'_>) -> Result<T, ReadFault> {
        row.read_as::<U, T, Itself>()
    }
}

impl<A: ReadPart> ReadKey for (A,) {
    type Value = A::Value;

    #[inline]
    fn read(row: &mut RowReader<'_>) -> Result<A::Value, ReadFault> {
        A::read(row)
    }
}

macro_rules! composite_key {
    ($(($field:ident $value:ident $position:tt))*) => {
        impl<$($field: ReadPart),*> ReadKey for ($($field,)*) {
            type Value = ($($field::Value,)*);

            fn read(row: &mut RowReader<'_>) -> Result<Self::Value, ReadFault> {
                Ok(($($field::read(row)?,)*))
            }
        }

        impl<$($field, $value: KeyPart<$field>),*> KeyFor<($($field,)*)> for ($($value,)*) {
            fn write_key(&self, part: usize, out: &mut ColumnWriter<'_>) -> Result<(), Fault> {
                match part {
                    $($position => self.$position.write_part(out),)*
                    _ => Ok(()),
                }
            }

            #[inline]
            fn write_all(&self, row: &mut RowWriter<'_>) -> Result<(), Fault> {
                $(self.$position.write_part(&mut row.field())?;)*
                Ok(())
            }
        }

        impl<$($field, $value: KeyPart<$field>),*> KeyFor<($($field,)*)> for &($($value,)*) {
            fn write_key(&self, part: usize, out: &mut ColumnWriter<'_>) -> Result<(), Fault> {
                KeyFor::<($($field,)*)>::write_key(*self, part, out)
            }

            #[inline]
            fn write_all(&self, row: &mut RowWriter<'_>) -> Result<(), Fault> {
                KeyFor::<($($field,)*)>::write_all(*self, row)
            }
        }
    };
}

composite_key!((A KA 0) (B KB 1));
composite_key!((A KA 0) (B KB 1) (C KC 2));
composite_key!((A KA 0) (B KB 1) (C KC 2) (D KD 3));
composite_key!((A KA 0) (B KB 1) (C KC 2) (D KD 3) (E KE 4));
composite_key!((A KA 0) (B KB 1) (C KC 2) (D KD 3) (E KE 4) (F KF 5));
composite_key!((A KA 0) (B KB 1) (C KC 2) (D KD 3) (E KE 4) (F KF 5) (G KG 6));
composite_key!((A KA 0) (B KB 1) (C KC 2) (D KD 3) (E KE 4) (F KF 5) (G KG 6) (H KH 7));
