//! Rules about the columns that batchkit itself sets: the version, and the mark of deletion.

use syn::Ident;

use crate::ast::Column;
use crate::attr::FieldAttrs;
use crate::errors::Errors;

pub(super) fn model(columns: &[Column<'_>], errors: &mut Errors) {
    only_one(columns, |attrs| attrs.version.as_ref(), "a row has one version", errors);
    only_one(columns, |attrs| attrs.soft_delete.as_ref(), "a row is deleted or not", errors);
    for column in columns {
        let attrs = &column.field.attrs;
        if let (Some(_), Some(soft_delete)) = (&attrs.version, &attrs.soft_delete) {
            errors.at(soft_delete, "a version is no mark of deletion: remove one of the two");
        }
        for (name, what) in [(&attrs.version, "a version"), (&attrs.soft_delete, "a mark of deletion")] {
            if let Some(name) = name {
                stands_alone(attrs, name, what, errors);
            }
        }
        // It counts: `as` and `json` would make of it what cannot be counted on.
        if let (Some(_), Some((stored_as, _))) = (&attrs.version, &attrs.stored_as) {
            errors.at(stored_as, "a version is an `i16`, `i32` or `i64`: remove `as`");
        }
    }
}

/// With two of them it would be open which one is meant.
fn only_one(columns: &[Column<'_>], pick: fn(&FieldAttrs) -> Option<&Ident>, why: &str, errors: &mut Errors) {
    let mut all = columns.iter().filter_map(|column| Some((column.field, pick(&column.field.attrs)?)));
    let Some((first, _)) = all.next() else { return };
    for (_, again) in all {
        errors.at(again, format!("{why}, and that is the field `{}`: remove one of the two", first.name));
    }
}

/// batchkit sets such a column by itself, so that nobody else can, and rows are not found by it.
fn stands_alone(attrs: &FieldAttrs, name: &Ident, what: &str, errors: &mut Errors) {
    if let Some(key) = &attrs.key {
        errors.at(key, format!("{what} changes, a key does not: remove one of the two"));
    }
    for unique in &attrs.unique {
        errors.at(&unique.name, format!("no row is known by {what}: remove `unique` or `{name}`"));
    }
    if let Some(auto) = &attrs.auto {
        errors.at(auto, format!("`{name}` says that already: remove `auto`"));
    }
    if let Some(computed) = &attrs.computed {
        errors.at(computed, format!("{what} is written: remove `computed` or `{name}`"));
    }
    for expression in attrs.on_insert.iter().chain(&attrs.on_update) {
        errors.at(expression, format!("`{name}` says how the column is set: remove one of the two"));
    }
    if let Some(json) = &attrs.json {
        errors.at(json, format!("{what} is no JSON document: remove `json` or `{name}`"));
    }
}
