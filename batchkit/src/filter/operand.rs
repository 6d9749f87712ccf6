//! Which values a column can be compared with, by the type of its field.

use std::borrow::Cow;

use postgres_types::{FromSql, ToSql};
use serde::Serialize;

use super::value::{Converted, Document, EncodeValue, Plain};
use crate::model::{As, Convert, InOption, Itself, Json};

/// A value that a column whose field has type `T` can be compared with.
///
/// The field's own type and a reference to it; `&str` for `String`; an array or a slice for a `Vec`; for an
/// `Option` the bare value too. `Via` is left to inference.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be compared with a column of type `{T}`",
    label = "not a value of the column's type",
    note = "pass the field's own type, a reference to it, `&str` for `String`, and for an `Option` the bare value or the `Option`",
    note = "`Json<…>` is a field with `#[batch(json)]`, `As<T, U>` one with `#[batch(as = \"U\")]`: both take values of the field's own type"
)]
pub trait Operand<T, Via> {
    /// What is kept of it until the column's type is known.
    type Kept: EncodeValue;

    /// The value, kept.
    fn keep(self) -> Self::Kept;
}

impl<T: ToSql + Send + Sync + 'static> Operand<T, Itself> for T {
    type Kept = Plain<T>;

    fn keep(self) -> Plain<T> {
        Plain(self)
    }
}

impl<T: ToSql + Clone + Send + Sync + 'static> Operand<T, Itself> for &T {
    type Kept = Plain<T>;

    fn keep(self) -> Plain<T> {
        Plain(self.clone())
    }
}

impl<T: ToSql + Send + Sync + 'static> Operand<Option<T>, Itself> for T {
    type Kept = Plain<T>;

    fn keep(self) -> Plain<T> {
        Plain(self)
    }
}

impl<T: ToSql + Clone + Send + Sync + 'static> Operand<Option<T>, Itself> for &T {
    type Kept = Plain<T>;

    fn keep(self) -> Plain<T> {
        Plain(self.clone())
    }
}

macro_rules! borrowed {
    ($($given:ty => $kept:ty, by $how:path: $($field:ty),+;)*) => {$($(
        impl Operand<$field, Itself> for $given {
            type Kept = Plain<$kept>;

            fn keep(self) -> Plain<$kept> {
                Plain($how(self))
            }
        }
    )+)*};
}

fn own(text: &&str) -> String {
    (*text).to_owned()
}

borrowed! {
    &str => String, by String::from: String, Option<String>, Box<str>, Option<Box<str>>, Cow<'static, str>, Option<Cow<'static, str>>;
    &&str => String, by own: String, Option<String>, Box<str>, Option<Box<str>>, Cow<'static, str>, Option<Cow<'static, str>>;
    Cow<'_, str> => String, by String::from: String, Option<String>, Box<str>, Option<Box<str>>;
    String => String, by std::convert::identity: Box<str>, Option<Box<str>>, Cow<'static, str>, Option<Cow<'static, str>>;
    &String => String, by Clone::clone: Box<str>, Option<Box<str>>, Cow<'static, str>, Option<Cow<'static, str>>;
}

/// Marks the items of a list that are converted one by one.
#[derive(Debug)]
pub struct Items;

macro_rules! lists {
    ($([$($generics:tt)*] $given:ty => $field:ty;)*) => {$(
        impl<T, E, $($generics)*> Operand<$field, Items> for $given
        where
            E: Into<T> + Clone,
            Vec<T>: ToSql + Send + Sync + 'static,
        {
            type Kept = Plain<Vec<T>>;

            fn keep(self) -> Plain<Vec<T>> {
                Plain(self.iter().cloned().map(Into::into).collect())
            }
        }
    )*};
}

lists! {
    [const N: usize] [E; N] => Vec<T>;
    [const N: usize] [E; N] => Option<Vec<T>>;
    [const N: usize] &[E; N] => Vec<T>;
    [const N: usize] &[E; N] => Option<Vec<T>>;
    [] &[E] => Vec<T>;
    [] &[E] => Option<Vec<T>>;
}

#[cfg(feature = "rust_decimal")]
borrowed! {
    i32 => rust_decimal::Decimal, by rust_decimal::Decimal::from: rust_decimal::Decimal, Option<rust_decimal::Decimal>;
    i64 => rust_decimal::Decimal, by rust_decimal::Decimal::from: rust_decimal::Decimal, Option<rust_decimal::Decimal>;
}

impl<T, U, Via> Operand<As<T, U>, Via> for T
where
    T: Convert<U, Via, Stored: Send + Sync + 'static>,
{
    type Kept = Converted<T::Stored>;

    fn keep(self) -> Self::Kept {
        Converted(self.to_stored())
    }
}

impl<T, U, Via> Operand<As<T, U>, Via> for &T
where
    T: Convert<U, Via, Stored: Send + Sync + 'static>,
{
    type Kept = Converted<T::Stored>;

    fn keep(self) -> Self::Kept {
        Converted(self.to_stored())
    }
}

impl<T, U> Operand<As<Option<T>, U>, InOption> for T
where
    T: TryInto<U>,
    U: ToSql + for<'a> FromSql<'a> + Send + Sync + 'static,
{
    type Kept = Converted<U>;

    fn keep(self) -> Converted<U> {
        Converted(self.try_into().ok())
    }
}

impl<T, U> Operand<As<Option<T>, U>, InOption> for &T
where
    T: TryInto<U> + Clone,
    U: ToSql + for<'a> FromSql<'a> + Send + Sync + 'static,
{
    type Kept = Converted<U>;

    fn keep(self) -> Converted<U> {
        Converted(self.clone().try_into().ok())
    }
}

impl<T: Serialize> Operand<Json<T>, Itself> for T {
    type Kept = Document;

    fn keep(self) -> Document {
        Document(serde_json::to_value(self).ok())
    }
}

impl<T: Serialize> Operand<Json<T>, Itself> for &T {
    type Kept = Document;

    fn keep(self) -> Document {
        Document(serde_json::to_value(self).ok())
    }
}

impl<T: Serialize> Operand<Json<Option<T>>, InOption> for T {
    type Kept = Document;

    fn keep(self) -> Document {
        Document(serde_json::to_value(self).ok())
    }
}

impl<T: Serialize> Operand<Json<Option<T>>, InOption> for &T {
    type Kept = Document;

    fn keep(self) -> Document {
        Document(serde_json::to_value(self).ok())
    }
}
