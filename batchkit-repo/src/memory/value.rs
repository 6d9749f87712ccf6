//! Values as PostgreSQL compares them: equality and order by type, worked out of their binary forms.

use bytes::Bytes;
use postgres_types::{Kind, Type};

/// A value that is not NULL, by its type's own equality and order. Two values of one type only are compared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Value {
    /// Booleans, integers, dates, times, floats (by bits that have their order), intervals, labels of an enum.
    Number(i128),
    Numeric(Numeric),
    /// Texts, bytes, UUIDs, and all other types.
    Bytes(Bytes),
    /// Elements first, then the dimensions.
    Array(Vec<Element>, Vec<i32>),
}

/// An element of an array; NULL is equal to NULL there and above all others.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Element {
    Value(Value),
    Null,
}

/// A numeric: 1.0 and 1.00 are one. Those below zero have their parts negated, so that the order is that of the
/// parts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Numeric {
    rank: u8,
    weight: i32,
    digits: Vec<i32>,
}

impl Value {
    /// The value of these bytes, which are of type `ty`.
    pub(super) fn of(ty: &Type, bytes: &Bytes) -> Value {
        Value::read(ty, bytes).unwrap_or_else(|| Value::Bytes(bytes.clone()))
    }

    fn read(ty: &Type, bytes: &Bytes) -> Option<Value> {
        match ty.kind() {
            Kind::Domain(base) => return Value::read(base, bytes),
            Kind::Array(element) => return array(element, bytes),
            Kind::Enum(labels) => {
                let at = labels.iter().position(|label| label.as_bytes() == &bytes[..])?;
                return Some(Value::Number(i128::try_from(at).ok()?));
            }
            _ => {}
        }
        let value = match *ty {
            Type::BOOL | Type::CHAR => Value::Number(i128::from(i8::from_be_bytes(*bytes.first_chunk()?))),
            Type::INT2 => Value::Number(i128::from(i16::from_be_bytes(*bytes.first_chunk()?))),
            Type::INT4 | Type::DATE => Value::Number(i128::from(i32::from_be_bytes(*bytes.first_chunk()?))),
            Type::INT8 | Type::TIME | Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::MONEY => {
                Value::Number(i128::from(i64::from_be_bytes(*bytes.first_chunk()?)))
            }
            Type::OID => Value::Number(i128::from(u32::from_be_bytes(*bytes.first_chunk()?))),
            Type::FLOAT4 => Value::Number(float(f64::from(f32::from_be_bytes(*bytes.first_chunk()?)))),
            Type::FLOAT8 => Value::Number(float(f64::from_be_bytes(*bytes.first_chunk()?))),
            Type::NUMERIC => Value::Numeric(numeric(bytes)?),
            Type::INTERVAL => Value::Number(interval(bytes)?),
            Type::BPCHAR => {
                let end = bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
                Value::Bytes(bytes.slice(..end))
            }
            Type::JSONB => Value::Bytes(document(bytes)?),
            _ if ty.name() == "citext" => Value::Bytes(std::str::from_utf8(bytes).ok()?.to_lowercase().into()),
            _ => return None,
        };
        Some(value)
    }
}

/// A number that is ordered as the float is: NaN above all and equal to itself, -0 equal to 0.
fn float(value: f64) -> i128 {
    if value.is_nan() {
        return i128::MAX;
    }
    // Adding 0 makes 0 of -0.
    let bits = i128::from((value + 0.0).to_bits() & !(1 << 63));
    if value < 0.0 { -bits } else { bits }
}

fn interval(bytes: &Bytes) -> Option<i128> {
    const DAY: i128 = 86_400_000_000;
    let micros = i128::from(i64::from_be_bytes(*bytes.first_chunk()?));
    let days = i128::from(i32::from_be_bytes(*bytes.get(8..)?.first_chunk()?));
    let months = i128::from(i32::from_be_bytes(*bytes.get(12..)?.first_chunk()?));
    Some((months * 30 + days) * DAY + micros)
}

fn numeric(bytes: &Bytes) -> Option<Numeric> {
    let word = |at: usize| Some(*bytes.get(2 * at..)?.first_chunk::<2>()?);
    let (weight, sign) = (i16::from_be_bytes(word(1)?), u16::from_be_bytes(word(2)?));
    let bare = |rank| Numeric { rank, weight: 0, digits: Vec::new() };
    match sign {
        0xC000 => return Some(bare(5)),
        0xD000 => return Some(bare(4)),
        0xF000 => return Some(bare(0)),
        _ => {}
    }
    let count = usize::from(u16::from_be_bytes(word(0)?));
    let digits = (0..count).map(|at| word(4 + at).map(|digit| i32::from(i16::from_be_bytes(digit))));
    let digits = digits.collect::<Option<Vec<i32>>>()?;
    let Some(first) = digits.iter().position(|digit| *digit != 0) else { return Some(bare(2)) };
    let last = digits.iter().rposition(|digit| *digit != 0)?;
    let weight = i32::from(weight) - i32::try_from(first).ok()?;
    let mut digits = digits[first..=last].to_vec();
    if sign == 0 {
        return Some(Numeric { rank: 3, weight, digits });
    }
    digits.iter_mut().for_each(|digit| *digit = -*digit);
    // Of two numbers that begin alike, the longer one is further below zero.
    digits.push(i32::MAX);
    Some(Numeric { rank: 1, weight: -weight, digits })
}

fn array(element: &Type, bytes: &Bytes) -> Option<Value> {
    let int = |at: usize| Some(i32::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    let dimensions = usize::try_from(int(0)?).ok()?;
    let sizes = (0..2 * dimensions).map(|word| int(12 + 4 * word)).collect::<Option<Vec<i32>>>()?;
    let mut at = 12 + 8 * dimensions;
    let mut elements = Vec::new();
    while at < bytes.len() {
        let length = int(at)?;
        at += 4;
        elements.push(match usize::try_from(length) {
            Err(_) => Element::Null,
            Ok(length) => {
                let value = bytes.get(at..at + length)?;
                at += length;
                Element::Value(Value::of(element, &bytes.slice_ref(value)))
            }
        });
    }
    Some(Value::Array(elements, sizes))
}

/// A JSON document in the one form that equal documents have.
fn document(bytes: &Bytes) -> Option<Bytes> {
    fn even(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Array(items) => items.iter_mut().for_each(even),
            serde_json::Value::Object(fields) => fields.values_mut().for_each(even),
            serde_json::Value::Number(number) => {
                // 1.0 and 1 are one number.
                if let Some(whole) = number.as_f64().filter(|n| !number.is_i64() && n.fract() == 0.0 && n.abs() < 1e15)
                    && let Ok(whole) = format!("{whole:.0}").parse::<i64>()
                {
                    *number = whole.into();
                }
            }
            _ => {}
        }
    }
    // The first byte is jsonb's version number.
    let mut value: serde_json::Value = serde_json::from_slice(bytes.get(1..)?).ok()?;
    even(&mut value);
    Some(value.to_string().into())
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use postgres_types::ToSql;

    use super::*;

    fn value(ty: &Type, of: &dyn ToSql) -> Value {
        let mut bytes = BytesMut::new();
        of.to_sql_checked(ty, &mut bytes).unwrap();
        Value::of(ty, &bytes.freeze())
    }

    /// Each of these is less than the next one.
    fn ascending(ty: &Type, values: &[&dyn ToSql]) {
        let values: Vec<Value> = values.iter().map(|of| value(ty, *of)).collect();
        assert!(values.windows(2).all(|pair| pair[0] < pair[1]), "{ty}");
        assert!(values.iter().all(|value| *value == value.clone()), "{ty}");
    }

    #[test]
    fn numbers_texts_and_arrays_have_their_own_order() {
        ascending(&Type::BOOL, &[&false, &true]);
        ascending(&Type::INT8, &[&i64::MIN, &-1i64, &0i64, &1i64, &i64::MAX]);
        ascending(&Type::FLOAT8, &[&f64::NEG_INFINITY, &-2.5, &-0.5, &0.0, &0.5, &f64::INFINITY, &f64::NAN]);
        ascending(&Type::FLOAT4, &[&-1.5f32, &0f32, &f32::MIN_POSITIVE, &f32::NAN]);
        ascending(&Type::TEXT, &[&"", &"B", &"a", &"aa", &"ä"]);
        ascending(&Type::BYTEA, &[&[0u8].as_slice(), &[0u8, 0].as_slice(), &[200u8].as_slice()]);
        let (one, two) = (vec![Some(1), Some(2)], vec![Some(1), Some(2), Some(0)]);
        ascending(&Type::INT4_ARRAY, &[&Vec::<i32>::new(), &one, &two, &vec![Some(1), None], &vec![Some(3)]]);
    }

    #[test]
    fn what_is_equal_is_equal() {
        assert!(value(&Type::FLOAT8, &-0.0) == value(&Type::FLOAT8, &0.0));
        assert!(value(&Type::FLOAT8, &f64::NAN) == value(&Type::FLOAT8, &-f64::NAN));
        assert!(value(&Type::BPCHAR, &"a  ") == value(&Type::BPCHAR, &"a"));
        let citext = Type::new("citext".to_owned(), 0, Kind::Simple, "public".to_owned());
        assert!(value(&citext, &"Ä") == value(&citext, &"ä"));
        let json = |text: &str| Value::of(&Type::JSONB, &format!("\u{1}{text}").into());
        assert!(json(r#"{"a": 1, "b": [2.0]}"#) == json(r#"{"b":[2],"a":1.0}"#));
        assert!(json("1.5") != json("1"));
    }

    #[test]
    fn numerics_are_ordered_by_value() {
        let numeric = |weight: i16, sign: u16, digits: &[i16]| {
            let mut bytes = BytesMut::new();
            bytes.extend(i16::try_from(digits.len()).unwrap().to_be_bytes());
            bytes.extend(weight.to_be_bytes());
            bytes.extend(sign.to_be_bytes());
            bytes.extend(0i16.to_be_bytes());
            digits.iter().for_each(|digit| bytes.extend(digit.to_be_bytes()));
            Value::of(&Type::NUMERIC, &bytes.freeze())
        };
        let negative = 0x4000;
        let ascending = [
            numeric(0, 0xF000, &[]),
            numeric(1, negative, &[1]),
            numeric(0, negative, &[12, 5_000]),
            numeric(0, negative, &[12]),
            numeric(-1, negative, &[1]),
            numeric(0, 0, &[]),
            numeric(-1, 0, &[1]),
            numeric(0, 0, &[12]),
            numeric(0, 0, &[12, 5_000]),
            numeric(1, 0, &[1]),
            numeric(0, 0xD000, &[]),
            numeric(0, 0xC000, &[]),
        ];
        assert!(ascending.windows(2).all(|pair| pair[0] < pair[1]));
        // 1.0 is 1, and 0.0 is 0.
        assert!(numeric(0, 0, &[1, 0]) == numeric(0, 0, &[1]));
        assert!(numeric(1, 0, &[0, 1]) == numeric(0, 0, &[1]));
        assert!(numeric(0, negative, &[0]) == numeric(0, 0, &[]));
    }
}
