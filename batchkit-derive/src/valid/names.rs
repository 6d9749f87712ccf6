//! Rules about names: of tables, columns, types and a patch's fields.

use std::collections::HashMap;

use quote::ToTokens;
use syn::LitStr;

use crate::ast::{Column, Field, Struct, identifier};
use crate::errors::Errors;

/// Longer names are cut by PostgreSQL (`NAMEDATALEN - 1`), with no more than a notice.
const NAME_BYTES: usize = 63;

pub(super) fn model(model: &Struct<'_>, columns: &[Column<'_>], errors: &mut Errors) {
    for text in model.attrs.table.iter().chain(&model.attrs.schema) {
        name(text, &text.value(), errors);
    }
    dotted_table(model, errors);
    for column in columns {
        column_name(column.field, |at, errors| name(at, &column.field.column, errors), errors);
        let attrs = &column.field.attrs;
        for text in attrs.on_insert.iter().chain(&attrs.on_update).chain(&attrs.pg_type) {
            sql(text, errors);
        }
    }
    one_field_per_column(columns, errors);
}

/// Two values for one column cannot both be written.
pub(super) fn patch(patch: &Struct<'_>, errors: &mut Errors) {
    let mut seen: HashMap<&str, &Field<'_>> = HashMap::new();
    for Column { field, .. } in patch.columns() {
        if let Some(first) = seen.insert(&field.column, field) {
            let message = format!("`{}` is patched by the field `{}` already", field.column, first.name);
            match &field.attrs.field {
                Some(text) => errors.at(text, message),
                None => errors.at(field.ident, message),
            }
        }
        if let Some(text) = &field.attrs.field
            && identifier(&text.value(), text.span()).is_none()
        {
            errors.at(text, "write the name of the model's field, as in its struct");
        }
    }
}

/// Two fields of one column would write it twice.
fn one_field_per_column(columns: &[Column<'_>], errors: &mut Errors) {
    let mut seen: HashMap<&str, &Field<'_>> = HashMap::new();
    for Column { field, .. } in columns {
        if let Some(first) = seen.insert(&field.column, field) {
            let message = format!("the column {:?} is the field `{}` already: rename one", field.column, first.name);
            column_name(field, |at, errors| errors.at(at, message), errors);
        }
    }
}

/// A dot is legal in a name, but nearly always meant to part schema and table.
fn dotted_table(model: &Struct<'_>, errors: &mut Errors) {
    if let (Some(table), None) = (&model.attrs.table, &model.attrs.schema)
        && let Some((schema, rest)) = table.value().split_once('.')
    {
        let message = format!(
            "write `schema = {schema:?}, table = {rest:?}` (where `schema` is given, a dot in `table` is taken as it is)"
        );
        errors.at(table, message);
    }
}

/// A name that the server would cut or refuse is another name than the one that was written.
fn name(at: &dyn ToTokens, name: &str, errors: &mut Errors) {
    if name.is_empty() {
        errors.at(at, "a name cannot be empty");
    } else if name.contains('\0') {
        errors.at(at, "a name cannot hold NUL");
    } else if name.len() > NAME_BYTES {
        errors.at(at, format!("a name has at most {NAME_BYTES} bytes in PostgreSQL; this one has {}", name.len()));
    }
}

/// SQL text that is put into statements as it is.
fn sql(text: &LitStr, errors: &mut Errors) {
    if text.value().trim().is_empty() {
        errors.at(text, "write SQL here: this is empty");
    } else if text.value().contains('\0') {
        errors.at(text, "SQL cannot hold NUL");
    }
}

/// Calls `report` with the tokens that name the field's column.
fn column_name(field: &Field<'_>, report: impl FnOnce(&dyn ToTokens, &mut Errors), errors: &mut Errors) {
    match &field.attrs.rename {
        Some(rename) => report(rename, errors),
        None => report(field.ident, errors),
    }
}
