//! The rules that span several attributes or fields: one function each, and why it is a rule.

use std::collections::HashMap;

use syn::{GenericParam, LitStr};

use crate::ast::{Field, Struct, primary_key, unique_keys};
use crate::errors::Errors;

/// PostgreSQL cuts longer names silently.
const NAME_BYTES: usize = 63;
/// A table cannot have more columns.
const COLUMNS: usize = 1_600;
/// Keys are tuples, and their traits are implemented for as many parts.
const KEY_PARTS: usize = 8;

/// Checks a model.
pub(crate) fn model(model: &Struct<'_>, errors: &mut Errors) {
    names(model, errors);
    generics(model, errors);
    columns(model, errors);
    keys(model, errors);
    model.fields.iter().for_each(|field| combination(field, errors));
    if let Some(new) = &model.attrs.new
        && *new == model.input.ident
    {
        errors.at(new, "the new form needs a name of its own");
    }
    if let (Some(derives), None) = (&model.attrs.new_derive, &model.attrs.new) {
        let first = derives.first().map_or_else(|| model.input.ident.clone().into(), Clone::clone);
        errors.at(first, "`new_derive` is for the struct that `new = \"…\"` makes: add that");
    }
}

/// A patch without a model patches nothing; its columns are checked against the model by the compiler.
pub(crate) fn patch(patch: &Struct<'_>, errors: &mut Errors) {
    if patch.attrs.model.is_none() {
        errors.at(&patch.input.ident, "say which model this patches: #[batch(model = \"…\")]");
    }
    type_parameters(patch, errors);
    patch.fields.iter().for_each(|field| combination(field, errors));
}

/// A name that the server would cut or refuse makes another name than the one written.
fn names(model: &Struct<'_>, errors: &mut Errors) {
    match &model.attrs.table {
        None => errors.at(&model.input.ident, "say which table this is: #[batch(table = \"…\")]"),
        Some(table) => {
            name(table, &table.value(), errors);
            // Legal in a name, but nearly always meant otherwise.
            if let (Some((schema, rest)), None) = (table.value().split_once('.'), &model.attrs.schema) {
                errors.at(table, format!("write `schema = {schema:?}, table = {rest:?}`"));
            }
        }
    }
    if let Some(schema) = &model.attrs.schema {
        name(schema, &schema.value(), errors);
    }
    for field in model.columns() {
        match &field.attrs.rename {
            Some(rename) => name(rename, &field.column, errors),
            None => name(field.ident, &field.column, errors),
        }
    }
}

fn name(tokens: impl quote::ToTokens, name: &str, errors: &mut Errors) {
    if name.is_empty() {
        errors.at(tokens, "a name cannot be empty");
    } else if name.contains('\0') {
        errors.at(tokens, "a name cannot hold NUL");
    } else if name.len() > NAME_BYTES {
        errors.at(tokens, format!("a name has at most {NAME_BYTES} bytes in PostgreSQL; this one has {}", name.len()));
    }
}

/// What is read has to own its text; and one table has the columns of one type.
fn generics(model: &Struct<'_>, errors: &mut Errors) {
    type_parameters(model, errors);
    if model.attrs.write_only.is_none()
        && let Some(lifetime) = model.input.generics.lifetimes().next()
    {
        errors.at(
            lifetime,
            "a model that borrows cannot be read back: add #[batch(write_only)] to the struct, or own the fields",
        );
    }
}

fn type_parameters(of: &Struct<'_>, errors: &mut Errors) {
    for parameter in &of.input.generics.params {
        match parameter {
            GenericParam::Lifetime(_) => {}
            GenericParam::Type(parameter) => errors.at(
                &parameter.ident,
                "type parameters are not supported: a table's columns have one type each; write one struct per type",
            ),
            GenericParam::Const(parameter) => {
                errors.at(&parameter.ident, "const parameters are not supported: write one struct per value");
            }
        }
    }
}

/// Two fields of one column would write it twice.
fn columns(model: &Struct<'_>, errors: &mut Errors) {
    let columns = model.columns();
    if columns.is_empty()
        && matches!(&model.input.data, syn::Data::Struct(data) if matches!(data.fields, syn::Fields::Named(_)))
    {
        errors.at(&model.input.ident, "a table has columns: give the struct a field that is not skipped");
    }
    if columns.len() > COLUMNS {
        errors.at(&model.input.ident, format!("a table has at most {COLUMNS} columns"));
    }
    let mut seen: HashMap<&str, &Field<'_>> = HashMap::new();
    for field in columns {
        if let Some(first) = seen.insert(&field.column, field) {
            let message = format!("column {:?} is field `{}` already: rename one", field.column, first.name);
            match &field.attrs.rename {
                Some(rename) => errors.at(rename, message),
                None => errors.at(field.ident, message),
            }
        }
    }
}

/// A key is compared by the server and named in code: it needs an equality and a name of its own.
fn keys(model: &Struct<'_>, errors: &mut Errors) {
    let columns = model.columns();
    for field in &columns {
        let keyed = field.attrs.key.is_some() || !field.attrs.unique.is_empty();
        if let (true, Some(json)) = (keyed, &field.attrs.json) {
            errors.at(json, "a JSON document cannot be a key: it is not looked up by equality");
        }
        if let (Some(key), Some(_)) = (&field.attrs.key, &field.attrs.computed) {
            errors.at(key, "a computed column cannot be the key: rows could not give it");
        }
        let mut groups = Vec::new();
        for unique in &field.attrs.unique {
            let group = unique.group.as_ref().map(LitStr::value);
            if let (Some(name), Some(literal)) = (&group, &unique.group)
                && syn::parse_str::<syn::Ident>(name).is_err()
            {
                errors.at(literal, "the name of a group becomes a field in `KEYS`: write a Rust identifier");
            }
            if groups.contains(&group) {
                errors.at(&unique.path, "this attribute is given twice: leave one");
            }
            groups.push(group);
        }
    }
    for field in &columns {
        for unique in field.attrs.unique.iter().filter_map(|unique| unique.group.as_ref()) {
            let clashes = |other: &&&Field<'_>| {
                other.name == unique.value() && other.attrs.unique.iter().any(|unique| unique.group.is_none())
            };
            if columns.iter().any(|other| clashes(&other)) {
                errors.at(unique, "a unique column has this name already: call the group otherwise");
            }
        }
    }
    for key in primary_key(&columns).into_iter().chain(unique_keys(&columns)) {
        if let Some((_, ninth)) = key.fields.get(KEY_PARTS) {
            errors.at(ninth.ident, format!("a key has at most {KEY_PARTS} columns"));
        }
    }
}

/// Attributes of one field that contradict each other.
fn combination(field: &Field<'_>, errors: &mut Errors) {
    let attrs = &field.attrs;
    if let Some(skip) = &attrs.skip {
        let others = attrs.key.is_some()
            || !attrs.unique.is_empty()
            || attrs.auto.is_some()
            || attrs.computed.is_some()
            || attrs.on_update.is_some()
            || attrs.rename.is_some()
            || attrs.pg_type.is_some()
            || attrs.json.is_some()
            || attrs.stored_as.is_some();
        if others {
            errors.at(skip, "a skipped field is no column: leave `skip` or the other attributes");
        }
        return;
    }
    if let (Some(json), Some(_)) = (&attrs.json, &attrs.stored_as) {
        errors.at(json, "a field is stored as JSON or as another type: leave `json` or `as`");
    }
    if let Some(computed) = &attrs.computed {
        if attrs.auto.is_some() {
            errors.at(computed, "`computed` is never written, `auto` may be: leave one");
        }
        if let Some(on_update) = &attrs.on_update {
            errors.at(on_update, "a computed column is never written: leave `computed` or `on_update`");
        }
    }
    if let (Some(_), Some(on_update)) = (&attrs.key, &attrs.on_update) {
        errors.at(on_update, "a key is not updated: leave `key` or `on_update`");
    }
}
