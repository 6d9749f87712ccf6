//! Rules about the attributes of one field: which contradict each other, or say nothing together.

use syn::Ident;

use crate::ast::{Field, Struct};
use crate::errors::Errors;

pub(super) fn model(model: &Struct<'_>, errors: &mut Errors) {
    for field in &model.fields {
        if field.attrs.relation.is_some() {
            continue;
        }
        if field.attrs.skip.is_some() {
            skip_stands_alone(field, errors);
            continue;
        }
        one_storage(field, errors);
        json_is_no_key(field, errors);
        computed_is_not_written(field, errors);
        key_stays(field, errors);
        if !model.is_read() {
            computed_is_read(field, errors);
        }
    }
}

pub(super) fn patch(patch: &Struct<'_>, errors: &mut Errors) {
    for field in &patch.fields {
        match field.attrs.skip {
            Some(_) => skip_stands_alone(field, errors),
            None => one_storage(field, errors),
        }
    }
}

/// A skipped field is no column, so that nothing can be said of its column.
fn skip_stands_alone(field: &Field<'_>, errors: &mut Errors) {
    let attrs = &field.attrs;
    let alone = attrs.key.is_none()
        && attrs.unique.is_empty()
        && attrs.auto.is_none()
        && attrs.computed.is_none()
        && attrs.version.is_none()
        && attrs.soft_delete.is_none()
        && attrs.on_insert.is_none()
        && attrs.on_update.is_none()
        && attrs.rename.is_none()
        && attrs.pg_type.is_none()
        && attrs.json.is_none()
        && attrs.stored_as.is_none()
        && attrs.parent.is_none()
        && attrs.field.is_none();
    if let (Some(skip), false) = (&attrs.skip, alone) {
        errors.at(skip, "a skipped field is no column: remove `skip`, or the other attributes");
    }
}

/// A value is encoded in one way.
fn one_storage(field: &Field<'_>, errors: &mut Errors) {
    if let (Some(_), Some((name, _))) = (&field.attrs.json, &field.attrs.stored_as) {
        errors.at(name, "a field is stored as JSON or as another type: remove `json` or `as`");
    }
}

/// `json` has no equality in PostgreSQL, and that of `jsonb` is not the one of the field's type.
fn json_is_no_key(field: &Field<'_>, errors: &mut Errors) {
    let attrs = &field.attrs;
    if let (Some(json), true) = (&attrs.json, attrs.key.is_some() || !attrs.unique.is_empty()) {
        errors.at(json, "a JSON document cannot be looked up by equality: remove `json`, or `key` and `unique`");
    }
}

/// The server alone computes such a column: nobody else can set it.
fn computed_is_not_written(field: &Field<'_>, errors: &mut Errors) {
    let attrs = &field.attrs;
    if attrs.computed.is_none() {
        return;
    }
    if let Some(key) = &attrs.key {
        errors.at(key, "a computed column cannot be the key, as no row could give it: remove one of the two");
    }
    if let Some(auto) = &attrs.auto {
        errors.at(auto, "a computed column is never written, an auto column may be: remove one of the two");
    }
    for expression in attrs.on_insert.iter().chain(&attrs.on_update) {
        errors.at(expression, "a computed column is never set: remove one of the two");
    }
}

/// Rows are found by their key: an update that changed it would lose them.
fn key_stays(field: &Field<'_>, errors: &mut Errors) {
    if let (Some(_), Some(on_update)) = (&field.attrs.key, &field.attrs.on_update) {
        errors.at(on_update, "an update does not change the key: remove one of the two");
    }
}

/// A computed column is only ever read, and this model never is.
fn computed_is_read(field: &Field<'_>, errors: &mut Errors) {
    let computed: Option<&Ident> = field.attrs.computed.as_ref();
    if let Some(computed) = computed {
        errors.at(computed, "a computed column is only read, and this model is `write_only`: remove the field");
    }
}
