//! What the server would put into a column by itself: the next number, a random UUID, the time.

use std::sync::Arc;
use std::time::SystemTime;

use batchkit::model::{Column as ModelColumn, ColumnKind};
use batchkit::wire::ColumnType;
use bytes::Bytes;
use postgres_types::{Kind, Type};

use super::table::{Fill, OnUpdate};

/// Where a column's values come from if nothing is declared.
pub(super) fn fill_of(column: &ModelColumn, ty: &ColumnType, in_key: bool) -> Fill {
    if let Some(expression) = column.insert_expression() {
        return expression_of(expression, ty.ty());
    }
    match column.kind {
        ColumnKind::Plain => Fill::Null,
        ColumnKind::Computed => Fill::Undeclared { computed: true },
        ColumnKind::Auto => match *ty.ty() {
            Type::INT2 | Type::INT4 | Type::INT8 if in_key => Fill::Sequence(1),
            Type::UUID => Fill::Uuid,
            Type::TIMESTAMPTZ | Type::TIMESTAMP | Type::DATE => Fill::Now,
            _ => Fill::Undeclared { computed: false },
        },
    }
}

/// What the expression that sets a column of new rows means: that of `#[batch(on_insert = "…")]`, a version's `1`, or
/// the mark of a row that is not deleted.
fn expression_of(expression: &'static str, ty: &Type) -> Fill {
    let constant = |value: Bytes| Fill::Default(Arc::new(move || Ok(Some(value.clone()))));
    let said = expression.trim().to_ascii_lowercase();
    let known = match said.as_str() {
        "null" => Some(Fill::Null),
        "true" | "false" if *ty == Type::BOOL => Some(constant(vec![u8::from(said == "true")].into())),
        "gen_random_uuid()" | "uuidv4()" if *ty == Type::UUID => Some(Fill::Uuid),
        _ if is_now(&said) && time(ty, SystemTime::UNIX_EPOCH).is_some() => Some(Fill::Now),
        _ => said.parse().ok().and_then(|said| number(ty, said)).map(constant),
    };
    known.unwrap_or(Fill::Expression(expression))
}

/// What the expression of `#[batch(on_update = "…")]` means.
pub(super) fn on_update_of(expression: &'static str) -> OnUpdate {
    let said = expression.trim().to_ascii_lowercase();
    if is_now(&said) { OnUpdate::Now } else { OnUpdate::Undeclared(expression) }
}

fn is_now(said: &str) -> bool {
    const NOW: [&str; 7] = [
        "now()",
        "current_timestamp",
        "transaction_timestamp()",
        "statement_timestamp()",
        "clock_timestamp()",
        "localtimestamp",
        "current_date",
    ];
    NOW.contains(&said)
}

/// The number behind that in a version's column; `None` when it is too large for it, or there is none.
pub(super) fn next_version(ty: &Type, version: &Bytes) -> Option<Bytes> {
    let version = match *ty {
        Type::INT2 => i64::from(i16::from_be_bytes(version[..].try_into().ok()?)),
        Type::INT4 => i64::from(i32::from_be_bytes(version[..].try_into().ok()?)),
        Type::INT8 => i64::from_be_bytes(version[..].try_into().ok()?),
        _ => return None,
    };
    number(ty, version.checked_add(1)?)
}

/// The next number of a sequence, as a column of this type holds it; `None` when it is too large for it.
pub(super) fn number(ty: &Type, number: i64) -> Option<Bytes> {
    Some(match *ty {
        Type::INT2 => Bytes::copy_from_slice(&i16::try_from(number).ok()?.to_be_bytes()),
        Type::INT4 => Bytes::copy_from_slice(&i32::try_from(number).ok()?.to_be_bytes()),
        Type::INT8 => Bytes::copy_from_slice(&number.to_be_bytes()),
        _ => return None,
    })
}

/// A random UUID, version 4.
pub(super) fn uuid() -> Bytes {
    let mut bytes = fastrand::u128(..).to_be_bytes();
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    Bytes::copy_from_slice(&bytes)
}

/// A time, as a column of this type holds it; `None` for types that hold none.
pub(super) fn time(ty: &Type, time: SystemTime) -> Option<Bytes> {
    /// Microseconds from 1970 to 2000, where PostgreSQL's time begins.
    const EPOCH: i64 = 946_684_800_000_000;
    const DAY: i64 = 86_400_000_000;
    let since_1970 = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).ok()?,
        Err(before) => -i64::try_from(before.duration().as_micros()).ok()?,
    };
    let micros = since_1970 - EPOCH;
    Some(match *ty {
        Type::TIMESTAMPTZ | Type::TIMESTAMP => Bytes::copy_from_slice(&micros.to_be_bytes()),
        Type::DATE => Bytes::copy_from_slice(&i32::try_from(micros.div_euclid(DAY)).ok()?.to_be_bytes()),
        _ => return None,
    })
}

/// Any value of a type, for a field that has to be read before its own is worked out.
pub(super) fn placeholder(ty: &Type) -> Bytes {
    match ty.kind() {
        Kind::Domain(base) => return placeholder(base),
        // No dimensions, no NULLs, and the element's type.
        Kind::Array(element) => {
            let mut bytes = vec![0; 8];
            bytes.extend(element.oid().to_be_bytes());
            return bytes.into();
        }
        Kind::Enum(labels) => return labels.first().cloned().unwrap_or_default().into(),
        _ => {}
    }
    let zeros = |count: usize| Bytes::from(vec![0; count]);
    match *ty {
        Type::BOOL | Type::CHAR => zeros(1),
        Type::INT2 => zeros(2),
        Type::INT4 | Type::FLOAT4 | Type::DATE | Type::OID => zeros(4),
        Type::INT8 | Type::FLOAT8 | Type::TIME | Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::NUMERIC => zeros(8),
        Type::UUID | Type::INTERVAL => zeros(16),
        Type::JSON => Bytes::from_static(b"null"),
        Type::JSONB => Bytes::from_static(b"\x01null"),
        // An IPv4 address: family, bits, no network, four bytes.
        Type::INET => Bytes::from_static(&[2, 32, 0, 4, 0, 0, 0, 0]),
        _ => Bytes::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_count_from_the_year_2000() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(946_684_800 + 86_400);
        assert_eq!(time(&Type::TIMESTAMPTZ, at).unwrap(), 86_400_000_000i64.to_be_bytes().as_slice());
        assert_eq!(time(&Type::DATE, at).unwrap(), 1i32.to_be_bytes().as_slice());
        let before = SystemTime::UNIX_EPOCH + Duration::from_secs(946_684_799);
        assert_eq!(time(&Type::DATE, before).unwrap(), (-1i32).to_be_bytes().as_slice());
        assert_eq!(time(&Type::TIME, at), None);
    }

    #[test]
    fn numbers_end_where_their_type_does() {
        assert_eq!(number(&Type::INT2, 32_767).unwrap(), [127, 255].as_slice());
        assert_eq!(number(&Type::INT2, 32_768), None);
    }

    #[test]
    fn expressions_of_new_rows_are_known_where_they_are_plain() {
        let value = |expression, ty| match expression_of(expression, &ty) {
            Fill::Default(make) => make().unwrap(),
            _ => None,
        };
        assert_eq!(value("1", Type::INT4).unwrap(), [0, 0, 0, 1].as_slice());
        assert_eq!(value("FALSE", Type::BOOL).unwrap(), [0].as_slice());
        assert!(matches!(expression_of("null", &Type::TEXT), Fill::Null));
        assert!(matches!(expression_of("now()", &Type::TIMESTAMPTZ), Fill::Now));
        assert!(matches!(expression_of("gen_random_uuid()", &Type::UUID), Fill::Uuid));
        for (expression, ty) in [("now()", Type::TEXT), ("1", Type::TEXT), ("f(1)", Type::INT8)] {
            assert!(matches!(expression_of(expression, &ty), Fill::Expression(_)), "{expression} {ty}");
        }
    }

    #[test]
    fn versions_end_where_their_type_does() {
        assert_eq!(next_version(&Type::INT2, &Bytes::from_static(&[0, 7])).unwrap(), [0, 8].as_slice());
        assert_eq!(next_version(&Type::INT2, &Bytes::from_static(&[127, 255])), None);
    }

    #[test]
    fn uuids_are_random_ones() {
        let (one, two) = (uuid(), uuid());
        assert_ne!(one, two);
        assert_eq!((one[6] >> 4, one[8] >> 6), (4, 2));
    }
}
