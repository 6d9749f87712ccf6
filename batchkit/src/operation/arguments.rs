//! The values of a read's parameters: their types are found, and they are encoded.

use bytes::{BufMut, BytesMut};
use postgres_types::{Kind, Type};

use crate::error::{Error, ErrorKind, Result};
use crate::filter::FilterValues;
use crate::session::{Encoded, Values};
use crate::sql::{Argument, ArgumentType, Arguments};
use crate::wire::{ColumnType, base, put_field};

/// The parameters that one statement can have.
const MOST_PARAMETERS: usize = 65_535;

/// The types to prepare the statement with; `UNKNOWN` is what the server infers.
pub(super) fn declared_types(arguments: &Arguments<'_>, columns: &[ColumnType]) -> Result<Vec<Type>> {
    if arguments.len() > MOST_PARAMETERS {
        let what = format!("{} values, of {MOST_PARAMETERS} that a filter can have: use is_in", arguments.len());
        return Err(Error::new(ErrorKind::InvalidFilter, what));
    }
    let declared = |(argument, ty): &(Argument<'_>, ArgumentType)| match (argument, ty) {
        // The driver does not know the array type of every type.
        (Argument::Values(_), ArgumentType::Column(column)) if is_array(columns[*column].ty()) => {
            let what = "is_in does not take columns of arrays: put eq together with |";
            Err(Error::new(ErrorKind::InvalidFilter, what))
        }
        (Argument::Values(_), _) => Ok(Type::UNKNOWN),
        (_, ArgumentType::Column(column)) => Ok(columns[*column].ty().clone()),
        (_, ArgumentType::Known(ty)) => Ok(ty.clone()),
        (_, ArgumentType::Inferred) => Ok(Type::UNKNOWN),
    };
    arguments.iter().map(declared).collect()
}

/// The values as the server takes them, once it has told the parameters' types; `None` is NULL.
pub(super) fn encode(arguments: &Arguments<'_>, columns: &[ColumnType], parameters: &[Type]) -> Result<Values> {
    let encoded = |((argument, ty), parameter): (&(Argument<'_>, ArgumentType), &Type)| match argument {
        Argument::Value(value) => value.encode(match ty {
            ArgumentType::Column(column) => columns[*column].ty(),
            ArgumentType::Known(ty) => ty,
            ArgumentType::Inferred => parameter,
        }),
        Argument::Values(values) => array(values, ty, columns, parameter).map(Some),
        Argument::Encoded(value) => Ok((*value).clone()),
        Argument::Rows(rows) => Ok(Some(i64::try_from(*rows).unwrap_or(i64::MAX).to_be_bytes().to_vec())),
    };
    let encoded = |one| Ok(encoded(one)?.map(|bytes| Encoded::Value(bytes.into())));
    arguments.iter().zip(parameters).map(encoded).collect()
}

/// The values as an array, without those that are NULL.
fn array(values: &FilterValues, ty: &ArgumentType, columns: &[ColumnType], parameter: &Type) -> Result<Vec<u8>> {
    let Kind::Array(element) = base(parameter).kind() else {
        return Err(Error::new(ErrorKind::InvalidFilter, format!("is_in does not take columns of type {parameter}")));
    };
    let ty = match ty {
        ArgumentType::Column(column) => columns[*column].ty(),
        ArgumentType::Known(ty) => ty,
        ArgumentType::Inferred => element,
    };
    let (mut elements, mut count) = (BytesMut::new(), 0i32);
    for value in values.encode(ty) {
        if let Some(value) = value? {
            put_field(&mut elements, Some(&value));
            count = count.saturating_add(1);
        }
    }
    let mut out = BytesMut::new();
    out.put_i32(i32::from(count > 0));
    out.put_i32(0);
    out.put_u32(element.oid());
    if count > 0 {
        out.put_i32(count);
        out.put_i32(1);
        out.extend_from_slice(&elements);
    }
    Ok(out.to_vec())
}

fn is_array(ty: &Type) -> bool {
    matches!(base(ty).kind(), Kind::Array(_))
}
