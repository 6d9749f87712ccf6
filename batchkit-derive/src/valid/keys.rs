//! Rules about keys. They are named in code (`Product::KEYS.sku`) and in calls (`unique_fields(["sku"])`),
//! and compared by the server.

use std::collections::HashSet;

use syn::LitStr;

use crate::ast::{Column, Key, identifier, primary_key, unique_keys};
use crate::errors::Errors;

/// Keys are tuples, and their traits are implemented for as many parts.
const PARTS: usize = 8;

pub(super) fn model(columns: &[Column<'_>], errors: &mut Errors) {
    let primary = primary_key(columns);
    let unique = unique_keys(columns);
    for group in groups(columns) {
        group_is_identifier(group, errors);
    }
    key_is_the_primary(columns, errors);
    group_is_no_field(columns, &unique, errors);
    for key in primary.iter().chain(&unique) {
        number_of_parts(key, errors);
    }
    if let Some(primary) = &primary {
        unique.iter().for_each(|key| key_is_unique_already(key, primary, errors));
    }
}

/// The literals that name groups, each group once.
fn groups<'a>(columns: &'a [Column<'a>]) -> Vec<&'a LitStr> {
    let mut seen = HashSet::new();
    let all = columns.iter().flat_map(|column| &column.field.attrs.unique).filter_map(|unique| unique.group.as_ref());
    all.filter(|group| seen.insert(group.value())).collect()
}

/// A group's name becomes a field of `KEYS`.
fn group_is_identifier(group: &LitStr, errors: &mut Errors) {
    if identifier(&group.value(), group.span()).is_none() {
        errors.at(group, "the group's name becomes a field of `KEYS`: write a Rust identifier");
    }
}

/// In reports and messages, `key` is the primary key.
fn key_is_the_primary(columns: &[Column<'_>], errors: &mut Errors) {
    for column in columns {
        for unique in &column.field.attrs.unique {
            match &unique.group {
                Some(group) if group.value() == "key" => {
                    errors.at(group, "`key` is the primary key's name: call the group otherwise");
                }
                None if column.field.name == "key" => {
                    errors.at(&unique.name, "`key` is the primary key's name: write `unique = \"…\"` with another one");
                }
                _ => {}
            }
        }
    }
}

/// `["place"]` would be a column to one reader, a group of columns to another.
fn group_is_no_field(columns: &[Column<'_>], unique: &[Key<'_>], errors: &mut Errors) {
    for group in groups(columns) {
        let name = group.value();
        let Some(field) = columns.iter().map(|column| column.field).find(|field| field.name == name) else { continue };
        let key = unique.iter().find(|key| key.name == name);
        let its_own = key.is_some_and(|key| matches!(key.columns[..], [column] if column.field.name == name));
        if !its_own {
            errors.at(group, format!("there is a field `{}`: call the group otherwise", field.name));
        }
    }
}

fn number_of_parts(key: &Key<'_>, errors: &mut Errors) {
    if let Some(first_too_many) = key.columns.get(PARTS) {
        let message = format!("a key has at most {PARTS} columns; `{}` has {}", key.name, key.columns.len());
        errors.at(first_too_many.field.ident, message);
    }
}

/// The same columns would be one key with two names.
fn key_is_unique_already(key: &Key<'_>, primary: &Key<'_>, errors: &mut Errors) {
    if key.positions() == primary.positions()
        && let Some(first) = key.columns.first()
        && let Some(unique) = first.field.attrs.unique.first()
    {
        errors.at(&unique.name, "these columns are the key, which is unique: remove `unique`");
    }
}
