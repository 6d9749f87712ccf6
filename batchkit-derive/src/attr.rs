//! The attributes: their names in one place, and how each is read.

use syn::meta::ParseNestedMeta;
use syn::{Attribute, Expr, Ident, LitStr, Path, Token, Type, parenthesized, token};

use crate::case::Case;
use crate::errors::Errors;

/// What `#[batch(…)]` says on a struct.
#[derive(Default)]
pub(crate) struct ContainerAttrs {
    pub(crate) table: Option<LitStr>,
    pub(crate) schema: Option<LitStr>,
    pub(crate) rename_all: Option<Case>,
    pub(crate) new: Option<Ident>,
    pub(crate) new_derive: Option<Vec<Path>>,
    pub(crate) write_only: Option<Path>,
    pub(crate) model: Option<Path>,
    pub(crate) krate: Option<Path>,
}

/// What `#[batch(…)]` says on a field.
#[derive(Default)]
pub(crate) struct FieldAttrs {
    pub(crate) key: Option<Path>,
    pub(crate) unique: Vec<UniqueAttr>,
    pub(crate) auto: Option<Path>,
    pub(crate) computed: Option<Path>,
    pub(crate) on_update: Option<LitStr>,
    pub(crate) rename: Option<LitStr>,
    pub(crate) skip: Option<Path>,
    pub(crate) pg_type: Option<LitStr>,
    pub(crate) json: Option<Path>,
    pub(crate) stored_as: Option<Type>,
}

/// `unique`, or `unique = "group"`.
pub(crate) struct UniqueAttr {
    pub(crate) path: Path,
    pub(crate) group: Option<LitStr>,
}

/// Which derive is running: they know different attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Derive {
    Model,
    Patch,
}

const MODEL_CONTAINER: &[&str] = &["table", "schema", "rename_all", "new", "new_derive", "write_only", "crate"];
const MODEL_FIELD: &[&str] =
    &["key", "unique", "auto", "computed", "on_update", "rename", "skip", "pg_type", "json", "as"];
const PATCH_CONTAINER: &[&str] = &["model", "crate"];
const PATCH_FIELD: &[&str] = &["skip", "json", "as"];

/// Where an attribute stands.
#[derive(Clone, Copy)]
enum Place {
    Container,
    Field,
}

fn known(derive: Derive, place: Place) -> &'static [&'static str] {
    match (derive, place) {
        (Derive::Model, Place::Container) => MODEL_CONTAINER,
        (Derive::Model, Place::Field) => MODEL_FIELD,
        (Derive::Patch, Place::Container) => PATCH_CONTAINER,
        (Derive::Patch, Place::Field) => PATCH_FIELD,
    }
}

/// What to say of an attribute that does not belong here.
fn misplaced(name: &str, derive: Derive, place: Place) -> String {
    let here = known(derive, place);
    let (other_place, belongs) = match place {
        Place::Container => (Place::Field, "on a field"),
        Place::Field => (Place::Container, "on the struct"),
    };
    let other_derive = match derive {
        Derive::Model => (Derive::Patch, "BatchPatch"),
        Derive::Patch => (Derive::Model, "BatchModel"),
    };
    let list = here.join("`, `");
    if known(derive, other_place).contains(&name) {
        format!("`{name}` belongs {belongs}; here stand `{list}`")
    } else if known(other_derive.0, place).contains(&name) {
        format!("`{name}` belongs to #[derive({})]; here stand `{list}`", other_derive.1)
    } else {
        format!("unknown attribute `{name}`; there are `{list}`")
    }
}

impl ContainerAttrs {
    pub(crate) fn read(attributes: &[Attribute], derive: Derive, errors: &mut Errors) -> Self {
        let mut attrs = ContainerAttrs::default();
        each(attributes, derive, Place::Container, errors, |name, meta, errors| {
            match name {
                "table" => once(&mut attrs.table, text(meta)?, meta, errors),
                "schema" => once(&mut attrs.schema, text(meta)?, meta, errors),
                "rename_all" => match case(&text(meta)?) {
                    Ok(case) => once(&mut attrs.rename_all, case, meta, errors),
                    Err(error) => errors.push(error),
                },
                "new" => once(&mut attrs.new, text(meta)?.parse()?, meta, errors),
                "new_derive" => {
                    let content;
                    parenthesized!(content in meta.input);
                    let paths = content.parse_terminated(Path::parse_mod_style, Token![,])?;
                    once(&mut attrs.new_derive, paths.into_iter().collect(), meta, errors);
                }
                "write_only" => flag(&mut attrs.write_only, meta, errors),
                "model" => once(&mut attrs.model, text(meta)?.parse()?, meta, errors),
                _ => once(&mut attrs.krate, text(meta)?.parse_with(Path::parse_mod_style)?, meta, errors),
            }
            Ok(())
        });
        attrs
    }
}

impl FieldAttrs {
    pub(crate) fn read(attributes: &[Attribute], derive: Derive, errors: &mut Errors) -> Self {
        let mut attrs = FieldAttrs::default();
        each(attributes, derive, Place::Field, errors, |name, meta, errors| {
            match name {
                "key" => flag(&mut attrs.key, meta, errors),
                "unique" => {
                    let group = if meta.input.peek(Token![=]) { Some(text(meta)?) } else { None };
                    attrs.unique.push(UniqueAttr { path: meta.path.clone(), group });
                }
                "auto" => flag(&mut attrs.auto, meta, errors),
                "computed" => flag(&mut attrs.computed, meta, errors),
                "on_update" => once(&mut attrs.on_update, text(meta)?, meta, errors),
                "rename" => once(&mut attrs.rename, text(meta)?, meta, errors),
                "skip" => flag(&mut attrs.skip, meta, errors),
                "pg_type" => once(&mut attrs.pg_type, text(meta)?, meta, errors),
                "json" => flag(&mut attrs.json, meta, errors),
                _ => once(&mut attrs.stored_as, text(meta)?.parse()?, meta, errors),
            }
            Ok(())
        });
        attrs
    }
}

/// Calls `one` for each known attribute; the others are mistakes, and reading goes on behind them.
fn each(
    attributes: &[Attribute],
    derive: Derive,
    place: Place,
    errors: &mut Errors,
    mut one: impl FnMut(&str, &ParseNestedMeta<'_>, &mut Errors) -> syn::Result<()>,
) {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("batch")) {
        let parsed = attribute.parse_nested_meta(|meta| {
            let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            if known(derive, place).contains(&name.as_str()) {
                return one(&name, &meta, errors);
            }
            errors.at(&meta.path, misplaced(&name, derive, place));
            skip_value(&meta)
        });
        if let Err(error) = parsed {
            errors.push(error);
        }
    }
}

/// Passes over the value of an unknown attribute.
fn skip_value(meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
    if meta.input.peek(Token![=]) {
        meta.value()?.parse::<Expr>()?;
    } else if meta.input.peek(token::Paren) {
        let content;
        parenthesized!(content in meta.input);
        content.parse::<proc_macro2::TokenStream>()?;
    }
    Ok(())
}

fn text(meta: &ParseNestedMeta<'_>) -> syn::Result<LitStr> {
    meta.value()?.parse()
}

fn flag(slot: &mut Option<Path>, meta: &ParseNestedMeta<'_>, errors: &mut Errors) {
    once(slot, meta.path.clone(), meta, errors);
}

fn once<T>(slot: &mut Option<T>, value: T, meta: &ParseNestedMeta<'_>, errors: &mut Errors) {
    if slot.replace(value).is_some() {
        errors.at(&meta.path, "this attribute is given twice: leave one");
    }
}

fn case(name: &LitStr) -> syn::Result<Case> {
    let wanted = name.value();
    let found = Case::NAMES.iter().find(|(known, _)| *known == wanted);
    found.map(|(_, case)| *case).ok_or_else(|| {
        let known: Vec<&str> = Case::NAMES.iter().map(|(known, _)| *known).collect();
        syn::Error::new_spanned(name, format!("unknown case; there are `{}`", known.join("`, `")))
    })
}
