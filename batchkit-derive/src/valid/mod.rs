//! The rules that span several attributes or fields: one function each, and why it is a rule.

mod fields;
mod habits;
mod keys;
mod names;
mod relations;

pub(crate) use relations::own_columns;
use syn::GenericParam;

use crate::ast::{Column, Struct};
use crate::errors::Errors;
use crate::types::{is_reference, named_lifetimes};

/// A table of PostgreSQL cannot have more columns.
const COLUMNS: usize = 1_600;

/// Checks a model.
pub(crate) fn model(model: &Struct<'_>, errors: &mut Errors) {
    let columns = model.columns();
    table_is_named(model, errors);
    parameters(model, errors);
    borrowing(model, errors);
    new_form(model, errors);
    number_of_columns(model, &columns, errors);
    names::model(model, &columns, errors);
    fields::model(model, errors);
    habits::model(&columns, errors);
    keys::model(&columns, errors);
    relations::model(model, &columns, errors);
}

/// Checks a patch. What it has to have in common with its model is checked by the compiler.
pub(crate) fn patch(patch: &Struct<'_>, errors: &mut Errors) {
    model_is_named(patch, errors);
    parameters(patch, errors);
    if patch.has_named_fields() && patch.columns().is_empty() {
        errors.at(&patch.input.ident, "a patch has the fields of the model's key, and those to change");
    }
    names::patch(patch, errors);
    fields::patch(patch, errors);
}

/// Guessing a table's name from a struct's would make plurals.
fn table_is_named(model: &Struct<'_>, errors: &mut Errors) {
    if model.attrs.table.is_none() && model.attrs.legible {
        errors.at(&model.input.ident, "say which table this is: `#[batch(table = \"…\")]`");
    }
}

/// A patch without a model patches nothing.
fn model_is_named(patch: &Struct<'_>, errors: &mut Errors) {
    match &patch.attrs.model {
        None if patch.attrs.legible => {
            errors.at(&patch.input.ident, "say which model this patches: `#[batch(model = \"…\")]`");
        }
        // The patch's positions are constants, and these cannot name the lifetimes of an `impl`.
        Some(model) => {
            for lifetime in named_lifetimes(model) {
                errors.at(lifetime, "write `'_`: the columns are the same for every lifetime");
            }
        }
        None => {}
    }
}

/// A table's columns have one type each, so a struct of several types is no model of it.
fn parameters(of: &Struct<'_>, errors: &mut Errors) {
    for parameter in &of.input.generics.params {
        match parameter {
            GenericParam::Lifetime(_) => {}
            GenericParam::Type(parameter) => errors
                .at(&parameter.ident, "a type parameter cannot be a column's type: write one struct for each type"),
            GenericParam::Const(parameter) => {
                errors
                    .at(&parameter.ident, "a const parameter has no place in a table: write one struct for each value");
            }
        }
    }
}

/// What is read is made from an answer that does not outlive the call, so it has to own its values.
fn borrowing(model: &Struct<'_>, errors: &mut Errors) {
    const ADVICE: &str =
        "what borrows cannot be read back: add `#[batch(write_only)]` to the struct, or own the fields";
    if !model.is_read() {
        return;
    }
    if let Some(lifetime) = model.input.generics.lifetimes().next() {
        return errors.at(&lifetime.lifetime, ADVICE);
    }
    for column in model.columns() {
        if is_reference(&column.field.ty) {
            errors.at(&column.field.ty, ADVICE);
        }
    }
}

/// The `new` form is a struct beside the model: it needs a name of its own. (It may have no fields, where the
/// server fills in all columns.)
fn new_form(model: &Struct<'_>, errors: &mut Errors) {
    match (&model.attrs.new, &model.attrs.new_derive) {
        (Some(new), _) if *new == model.input.ident => {
            errors.at(new, "the struct has this name already: call its new form otherwise");
        }
        (None, Some((name, _))) if model.attrs.legible => {
            errors.at(name, "there is no new form: add `new = \"…\"`, or remove `new_derive`");
        }
        _ => {}
    }
}

/// A statement names columns, and a row gives values for some.
fn number_of_columns(model: &Struct<'_>, columns: &[Column<'_>], errors: &mut Errors) {
    if !model.has_named_fields() {
        return;
    }
    if columns.is_empty() {
        errors.at(&model.input.ident, "a table has columns: give the struct a field that is not skipped");
    } else if !columns.iter().any(|column| column.field.is_written()) {
        errors.at(&model.input.ident, "all columns are computed: a row would have nothing to write");
    } else if columns.len() > COLUMNS {
        errors.at(&model.input.ident, format!("a table has at most {COLUMNS} columns; this one has {}", columns.len()));
    }
}
