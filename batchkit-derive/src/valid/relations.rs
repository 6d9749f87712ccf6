//! Rules about relations, as far as one struct tells: the compiler compares the two of a relation.

use syn::LitStr;

use crate::ast::{Column, Field, Struct, primary_key};
use crate::attr::{RelationAttr, Relationship};
use crate::errors::Errors;

pub(super) fn model(model: &Struct<'_>, columns: &[Column<'_>], errors: &mut Errors) {
    for (field, relation) in model.relations() {
        relation_stands_alone(field, relation, errors);
        not_write_only(model, relation, errors);
        own_columns_are_known(columns, relation, errors);
        same_number(columns, relation, errors);
        children_are_new(model, relation, errors);
    }
    for field in &model.fields {
        parent_is_new(model, field, errors);
    }
}

/// Rows below are inserted with the `new` form.
fn children_are_new(model: &Struct<'_>, relation: &RelationAttr, errors: &mut Errors) {
    if let (Some(new), None, true) = (&relation.new, &model.attrs.new, model.attrs.legible) {
        errors.at(new, "the struct has no new form that could hold these rows: add `new = \"…\"` to the struct");
    }
}

/// What a graph hands down can be left out of the `new` form, and only there.
fn parent_is_new(model: &Struct<'_>, field: &Field<'_>, errors: &mut Errors) {
    let Some(parent) = &field.attrs.parent else { return };
    if model.attrs.new.is_none() && model.attrs.legible {
        errors.at(
            parent,
            "there is no new form that could leave it out: add `new = \"…\"` to the struct, or remove `parent`",
        );
    } else if field.attrs.skip.is_none() && (!field.is_new() || field.attrs.json.is_some()) {
        errors.at(
            parent,
            "the new form does not have this field as a column that a key can be handed down to: remove one",
        );
    }
}

/// A relation is no column, so that nothing can be said of its column.
fn relation_stands_alone(field: &Field<'_>, relation: &RelationAttr, errors: &mut Errors) {
    let attrs = &field.attrs;
    let alone = attrs.key.is_none()
        && attrs.unique.is_empty()
        && attrs.auto.is_none()
        && attrs.computed.is_none()
        && attrs.on_update.is_none()
        && attrs.rename.is_none()
        && attrs.skip.is_none()
        && attrs.pg_type.is_none()
        && attrs.json.is_none()
        && attrs.parent.is_none()
        && attrs.stored_as.is_none();
    if !alone {
        errors.at(&relation.name, "a relation is no column: remove it, or the other attributes");
    }
}

/// What is related is loaded for rows that are read.
fn not_write_only(model: &Struct<'_>, relation: &RelationAttr, errors: &mut Errors) {
    if !model.is_read() {
        errors.at(&relation.name, "a `write_only` model is never read, so nothing can be loaded: remove the relation");
    }
}

/// The columns of this struct that the relation names.
pub(crate) fn own_columns(relation: &RelationAttr) -> &[LitStr] {
    match relation.relationship {
        Relationship::BelongsTo => &relation.key,
        Relationship::HasOne | Relationship::HasMany | Relationship::ManyToMany => &relation.references,
    }
}

/// They are fields of this struct that rows give.
fn own_columns_are_known(columns: &[Column<'_>], relation: &RelationAttr, errors: &mut Errors) {
    for name in own_columns(relation) {
        let wanted = name.value();
        let known: Vec<&str> = columns.iter().map(|column| column.field.name.as_str()).collect();
        match columns.iter().find(|column| column.field.name == wanted) {
            None => errors.at(name, format!("there is no field `{wanted}`; there are `{}`", known.join("`, `"))),
            Some(column) if !column.field.is_written() => {
                errors.at(
                    name,
                    format!("`{wanted}` is computed by the server: a relation goes by columns that rows give"),
                );
            }
            Some(column) if column.field.attrs.json.is_some() => {
                errors.at(name, format!("`{wanted}` is a JSON document, which cannot be looked up by equality"));
            }
            Some(_) => {}
        }
    }
    let own_key = relation.relationship != Relationship::BelongsTo && relation.references.is_empty();
    if own_key && primary_key(columns).is_none() {
        let message = "the struct has no `#[batch(key)]` that others could name: add one, or say `references = \"…\"`";
        errors.at(&relation.name, message);
    }
}

/// Columns are compared one by one.
fn same_number(columns: &[Column<'_>], relation: &RelationAttr, errors: &mut Errors) {
    let references = match (&relation.references[..], relation.relationship) {
        // The other's key: the compiler knows it.
        ([], Relationship::BelongsTo) => return,
        ([], _) => primary_key(columns).map_or(0, |key| key.columns.len()),
        (references, _) => references.len(),
    };
    if references != 0 && references != relation.key.len() {
        let message = format!("{} columns cannot name a key of {references}", relation.key.len());
        match relation.key.first() {
            Some(first) => errors.at(first, message),
            None => errors.at(&relation.name, message),
        }
    }
}
