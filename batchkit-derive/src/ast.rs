//! The struct as the derives understand it. It borrows the user's tokens, so every message can point there.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Fields, GenericParam, Ident, Type};

use crate::attr::{ContainerAttrs, FieldAttrs, Place, RelationAttr};
use crate::errors::Errors;
use crate::types::{is_option, without_self};

/// A struct with named fields.
pub(crate) struct Struct<'a> {
    pub(crate) input: &'a DeriveInput,
    pub(crate) attrs: ContainerAttrs,
    pub(crate) fields: Vec<Field<'a>>,
}

/// A field of it.
pub(crate) struct Field<'a> {
    pub(crate) original: &'a syn::Field,
    pub(crate) ident: &'a Ident,
    /// Its type, without `Self`.
    pub(crate) ty: Type,
    pub(crate) attrs: FieldAttrs,
    /// The field's name without `r#`.
    pub(crate) name: String,
    /// The column's name; in a patch, the name of the model's field.
    pub(crate) column: String,
}

/// How a field's value becomes a column's.
pub(crate) enum Storage<'a> {
    Plain,
    Json,
    As(&'a Type),
}

/// A field that is a column, and the column's position in the model.
pub(crate) struct Column<'a> {
    pub(crate) position: usize,
    pub(crate) field: &'a Field<'a>,
}

/// A unique key: the primary one, a unique column, or a group.
pub(crate) struct Key<'a> {
    pub(crate) name: String,
    pub(crate) columns: Vec<&'a Column<'a>>,
}

impl<'a> Struct<'a> {
    /// Reads a struct; what cannot be understood goes to `errors`.
    pub(crate) fn model(input: &'a DeriveInput, errors: &mut Errors) -> Self {
        Struct::read(input, Place::Model, Place::ModelField, errors)
    }

    /// Reads a patch; what cannot be understood goes to `errors`.
    pub(crate) fn patch(input: &'a DeriveInput, errors: &mut Errors) -> Self {
        Struct::read(input, Place::Patch, Place::PatchField, errors)
    }

    fn read(input: &'a DeriveInput, on_struct: Place, on_field: Place, errors: &mut Errors) -> Self {
        let attrs = ContainerAttrs::read(&input.attrs, on_struct, errors);
        let (ident, this) = (&input.ident, this(input));
        let mut fields = Vec::new();
        match &input.data {
            _ if on_struct == Place::Patch && !has_named_fields(input) => {
                errors.at(ident, "a patch is a struct whose named fields are those of its model that it changes");
            }
            Data::Struct(data) => match &data.fields {
                Fields::Named(named) => {
                    let read = |field| Field::read(field, &this, &attrs, on_field, errors);
                    fields.extend(named.named.iter().filter_map(read));
                }
                Fields::Unnamed(unnamed) => {
                    errors.at(unnamed, "name the fields: a column is found by its name");
                }
                Fields::Unit => errors.at(ident, "a table has columns: give the struct named fields"),
            },
            Data::Enum(_) => errors.at(
                ident,
                "an enum is no table: derive `postgres_types::ToSql` and `FromSql` for it, and use it as the type of a field",
            ),
            Data::Union(_) => errors.at(ident, "a union is no table: use a struct with named fields"),
        }
        Struct { input, attrs, fields }
    }

    /// Whether the fields could be read at all.
    pub(crate) fn has_named_fields(&self) -> bool {
        has_named_fields(self.input)
    }

    /// The fields that are columns.
    pub(crate) fn columns(&self) -> Vec<Column<'_>> {
        let fields = self.fields.iter().filter(|field| field.is_column());
        fields.enumerate().map(|(position, field)| Column { position, field }).collect()
    }

    /// The fields that are relations, in order.
    pub(crate) fn relations(&self) -> Vec<(&Field<'a>, &RelationAttr)> {
        self.fields.iter().filter_map(|field| Some((field, field.attrs.relation.as_ref()?))).collect()
    }

    /// Whether rows can be read into the struct.
    pub(crate) fn is_read(&self) -> bool {
        self.attrs.write_only.is_none()
    }

    /// Whether the struct has a type or const parameter, so that not even a stub can be made for it.
    pub(crate) fn is_generic(&self) -> bool {
        self.input.generics.params.iter().any(|parameter| !matches!(parameter, GenericParam::Lifetime(_)))
    }

    /// The struct's type, with its lifetimes.
    pub(crate) fn this(&self) -> TokenStream {
        this(self.input)
    }
}

fn this(input: &DeriveInput) -> TokenStream {
    let (ident, (_, arguments, _)) = (&input.ident, input.generics.split_for_impl());
    quote!(#ident #arguments)
}

impl<'a> Field<'a> {
    fn read(
        original: &'a syn::Field,
        this: &TokenStream,
        container: &ContainerAttrs,
        place: Place,
        errors: &mut Errors,
    ) -> Option<Self> {
        let ident = original.ident.as_ref()?;
        let ty = without_self(&original.ty, this);
        let attrs = FieldAttrs::read(&original.attrs, place, errors);
        let name = ident.unraw().to_string();
        let column = match (attrs.rename.as_ref().or(attrs.field.as_ref()), container.rename_all) {
            (Some(given), _) => given.value(),
            (None, Some(case)) => case.apply(&name),
            (None, None) => name.clone(),
        };
        Some(Field { original, ident, ty, attrs, name, column })
    }

    pub(crate) fn storage(&self) -> Storage<'_> {
        match (&self.attrs.json, &self.attrs.stored_as) {
            (Some(_), _) => Storage::Json,
            (None, Some((_, stored))) => Storage::As(stored),
            (None, None) => Storage::Plain,
        }
    }

    /// Whether the field is a column.
    pub(crate) fn is_column(&self) -> bool {
        self.attrs.skip.is_none() && self.attrs.relation.is_none()
    }

    /// Whether a caller's row may give the column a value.
    pub(crate) fn is_written(&self) -> bool {
        self.attrs.computed.is_none()
    }

    /// The type of the field in the `new` form: what a graph hands down can be left out there.
    pub(crate) fn new_ty(&self) -> Type {
        match &self.attrs.parent {
            Some(_) if !is_option(&self.ty) => {
                let ty = &self.ty;
                syn::parse_quote!(::core::option::Option<#ty>)
            }
            _ => self.ty.clone(),
        }
    }

    /// Whether the `new` form has the field: the server fills in the others.
    pub(crate) fn is_new(&self) -> bool {
        let FieldAttrs { auto, computed, version, soft_delete, on_insert, .. } = &self.attrs;
        on_insert.is_none() && [auto, computed, version, soft_delete].iter().all(|attr| attr.is_none())
    }
}

fn has_named_fields(input: &DeriveInput) -> bool {
    matches!(&input.data, Data::Struct(data) if matches!(data.fields, Fields::Named(_)))
}

/// The primary key, if any field is marked with `key`.
pub(crate) fn primary_key<'a>(columns: &'a [Column<'a>]) -> Option<Key<'a>> {
    let columns: Vec<_> = columns.iter().filter(|column| column.field.attrs.key.is_some()).collect();
    (!columns.is_empty()).then(|| Key { name: "key".to_owned(), columns })
}

/// The other unique keys, in the order of their first fields.
pub(crate) fn unique_keys<'a>(columns: &'a [Column<'a>]) -> Vec<Key<'a>> {
    let mut keys: Vec<Key<'a>> = Vec::new();
    for column in columns {
        for unique in &column.field.attrs.unique {
            let name = unique.group.as_ref().map_or_else(|| column.field.name.clone(), syn::LitStr::value);
            match keys.iter_mut().find(|key| key.name == name) {
                Some(key) => key.columns.push(column),
                None => keys.push(Key { name, columns: vec![column] }),
            }
        }
    }
    keys
}

impl Key<'_> {
    pub(crate) fn positions(&self) -> Vec<usize> {
        self.columns.iter().map(|column| column.position).collect()
    }
}

/// The identifier for a name that came without `r#`; `None` when no identifier has this name.
pub(crate) fn identifier(name: &str, span: proc_macro2::Span) -> Option<Ident> {
    let parsed = syn::parse_str::<Ident>(name).or_else(|_| syn::parse_str::<Ident>(&format!("r#{name}")));
    parsed.ok().map(|mut ident| {
        ident.set_span(span);
        ident
    })
}
