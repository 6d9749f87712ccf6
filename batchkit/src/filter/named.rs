//! Conditions on fields that are named at run time: `Filter::field("price")?.gt(10)`.

use std::any::Any;
use std::marker::PhantomData;

use bytes::BytesMut;
use postgres_types::{ToSql, Type};

use super::field::escaped;
use super::operand::Operand;
use super::value::{EncodeValue, Refusal, write_plain};
use super::{Comparison, Filter};
use crate::wire::{Fault, base};

/// A field of `M` that was named at run time: [`Filter::field`].
///
/// Its conditions take any value that the column's type can hold; one that it cannot is
/// [`ErrorKind::InvalidFilter`](crate::ErrorKind::InvalidFilter) when the call runs. Whole numbers fit columns of
/// every type of numbers, as far as they are in its range; other values fit as `postgres_types::ToSql` says.
/// Values are owned: `name.to_owned()`.
pub struct NamedField<M> {
    position: usize,
    of: PhantomData<fn() -> M>,
}

/// Marks a value whose type is compared with the column's at run time.
#[derive(Debug)]
pub struct AtRunTime;

/// A value for a column of any type.
#[derive(Debug)]
pub struct Loose<T>(pub(super) T);

/// The fields that are named at run time have this type.
#[derive(Debug)]
pub struct AnyType;

impl<T: ToSql + Send + Sync + 'static> Operand<AnyType, AtRunTime> for T {
    type Kept = Loose<T>;

    fn keep(self) -> Loose<T> {
        Loose(self)
    }
}

impl<T: ToSql + Send + Sync + 'static> EncodeValue for Loose<T> {
    fn write(&self, ty: &Type, out: &mut BytesMut) -> Result<(), Refusal> {
        if T::accepts(ty) || T::accepts(base(ty)) {
            return write_plain(&self.0, ty, out);
        }
        match whole_number(&self.0) {
            Some(number) => write_number(number, ty, out).unwrap_or(Err(Refusal::Type(std::any::type_name::<T>()))),
            None => Err(Refusal::Type(std::any::type_name::<T>())),
        }
    }
}

/// The number, if the value is a whole one.
fn whole_number(value: &dyn Any) -> Option<i64> {
    None.or_else(|| value.downcast_ref::<i8>().map(|&n| n.into()))
        .or_else(|| value.downcast_ref::<i16>().map(|&n| n.into()))
        .or_else(|| value.downcast_ref::<i32>().map(|&n| n.into()))
        .or_else(|| value.downcast_ref::<u32>().map(|&n| n.into()))
        .or_else(|| value.downcast_ref::<i64>().copied())
}

/// Writes a number in the column's own type, if that is one of numbers.
fn write_number(number: i64, ty: &Type, out: &mut BytesMut) -> Option<Result<(), Refusal>> {
    fn narrow<T: TryFrom<i64> + ToSql>(number: i64, ty: &Type, out: &mut BytesMut) -> Result<(), Refusal> {
        let number = T::try_from(number).map_err(|_| Refusal::Fault(Fault::OutOfRange))?;
        write_plain(&number, ty, out)
    }
    Some(match *base(ty) {
        Type::INT2 => narrow::<i16>(number, ty, out),
        Type::INT4 => narrow::<i32>(number, ty, out),
        Type::INT8 => narrow::<i64>(number, ty, out),
        Type::OID => narrow::<u32>(number, ty, out),
        // Exact as far as a double can be; beyond that the column itself is not.
        Type::FLOAT4 | Type::FLOAT8 => float(number, ty, out),
        Type::NUMERIC => write_plain(&Numeric(number), ty, out),
        _ => return None,
    })
}

fn float(number: i64, ty: &Type, out: &mut BytesMut) -> Result<(), Refusal> {
    // A number written as text is read as the nearest double.
    let parse = || Refusal::Fault(Fault::OutOfRange);
    match *base(ty) {
        Type::FLOAT4 => write_plain(&number.to_string().parse::<f32>().map_err(|_| parse())?, ty, out),
        _ => write_plain(&number.to_string().parse::<f64>().map_err(|_| parse())?, ty, out),
    }
}

/// A whole number as a `numeric`.
#[derive(Debug)]
struct Numeric(i64);

impl ToSql for Numeric {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<postgres_types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        use bytes::BufMut;
        // Digits to the base of 10,000, the highest first.
        let mut digits: Vec<i16> = Vec::new();
        let mut rest = self.0.unsigned_abs();
        while rest > 0 {
            digits.insert(0, i16::try_from(rest % 10_000)?);
            rest /= 10_000;
        }
        out.put_i16(i16::try_from(digits.len())?);
        out.put_i16(i16::try_from(digits.len())? - 1);
        out.put_u16(if self.0 < 0 { 0x4000 } else { 0 });
        out.put_i16(0);
        digits.into_iter().for_each(|digit| out.put_i16(digit));
        Ok(postgres_types::IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::NUMERIC
    }

    postgres_types::to_sql_checked!();
}

impl<M> NamedField<M> {
    pub(super) fn new(position: usize) -> Self {
        NamedField { position, of: PhantomData }
    }

    /// The column's position in [`Model::columns`](crate::model::Model::columns).
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// The column equals the value. NULL equals nothing: see [`is_null`](Self::is_null).
    #[must_use]
    pub fn eq(self, value: impl Operand<AnyType, AtRunTime>) -> Filter<M> {
        Filter::compare(self.position, Comparison::Eq, value)
    }

    /// The column is not NULL and does not equal the value.
    #[must_use]
    pub fn ne(self, value: impl Operand<AnyType, AtRunTime>) -> Filter<M> {
        Filter::compare(self.position, Comparison::Ne, value)
    }

    /// The column is less than the value.
    #[must_use]
    pub fn lt(self, value: impl Operand<AnyType, AtRunTime>) -> Filter<M> {
        Filter::compare(self.position, Comparison::Lt, value)
    }

    /// The column is at most the value.
    #[must_use]
    pub fn le(self, value: impl Operand<AnyType, AtRunTime>) -> Filter<M> {
        Filter::compare(self.position, Comparison::Le, value)
    }

    /// The column is greater than the value.
    #[must_use]
    pub fn gt(self, value: impl Operand<AnyType, AtRunTime>) -> Filter<M> {
        Filter::compare(self.position, Comparison::Gt, value)
    }

    /// The column is at least the value.
    #[must_use]
    pub fn ge(self, value: impl Operand<AnyType, AtRunTime>) -> Filter<M> {
        Filter::compare(self.position, Comparison::Ge, value)
    }

    /// The column is at least `low` and at most `high`.
    #[must_use]
    pub fn between(self, low: impl Operand<AnyType, AtRunTime>, high: impl Operand<AnyType, AtRunTime>) -> Filter<M> {
        self.ge(low) & self.le(high)
    }

    /// The column equals one of the values; none fits an empty list. A `None` among them is left out.
    #[must_use]
    pub fn is_in(self, values: impl IntoIterator<Item = impl Operand<AnyType, AtRunTime>>) -> Filter<M> {
        Filter::one_of(self.position, values)
    }

    /// The column is not NULL and equals none of the values; every row fits an empty list. A `None` among them is
    /// left out.
    #[must_use]
    pub fn not_in(self, values: impl IntoIterator<Item = impl Operand<AnyType, AtRunTime>>) -> Filter<M> {
        !Filter::one_of(self.position, values)
    }

    /// The column is NULL.
    #[must_use]
    pub fn is_null(self) -> Filter<M> {
        Filter::null(self.position)
    }

    /// The column is not NULL.
    #[must_use]
    pub fn is_not_null(self) -> Filter<M> {
        !Filter::null(self.position)
    }

    /// The column fits the pattern: `%` is any text, `_` any character, and `\` takes both by the letter. The
    /// server refuses it for a column that is no text.
    #[must_use]
    pub fn like(self, pattern: impl Into<String>) -> Filter<M> {
        Filter::pattern(self.position, Comparison::Like, pattern.into())
    }

    /// The column fits the pattern, without regard to case.
    #[must_use]
    pub fn ilike(self, pattern: impl Into<String>) -> Filter<M> {
        Filter::pattern(self.position, Comparison::ILike, pattern.into())
    }

    /// The column starts with the text, taken by the letter.
    #[must_use]
    pub fn starts_with(self, text: impl AsRef<str>) -> Filter<M> {
        self.like(escaped(text.as_ref()) + "%")
    }

    /// The column ends with the text, taken by the letter.
    #[must_use]
    pub fn ends_with(self, text: impl AsRef<str>) -> Filter<M> {
        self.like(format!("%{}", escaped(text.as_ref())))
    }

    /// The column has the text in it, taken by the letter.
    #[must_use]
    pub fn contains(self, text: impl AsRef<str>) -> Filter<M> {
        self.like(format!("%{}%", escaped(text.as_ref())))
    }
}

impl<M> Clone for NamedField<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for NamedField<M> {}

impl<M> std::fmt::Debug for NamedField<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NamedField({})", self.position)
    }
}
