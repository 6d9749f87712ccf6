//! The struct as the derives understand it. It borrows the user's tokens, so every message can point there.

use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Fields, Ident};

use crate::attr::{ContainerAttrs, Derive, FieldAttrs};
use crate::errors::Errors;

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
    pub(crate) attrs: FieldAttrs,
    /// The field's name without `r#`.
    pub(crate) name: String,
    /// The column's name.
    pub(crate) column: String,
}

impl<'a> Struct<'a> {
    /// Reads a struct; what cannot be understood goes to `errors`.
    pub(crate) fn read(input: &'a DeriveInput, derive: Derive, errors: &mut Errors) -> Self {
        let attrs = ContainerAttrs::read(&input.attrs, derive, errors);
        let mut fields = Vec::new();
        match &input.data {
            Data::Struct(data) => match &data.fields {
                Fields::Named(named) => {
                    for original in &named.named {
                        fields.extend(Field::read(original, &attrs, derive, errors));
                    }
                }
                Fields::Unnamed(_) => errors.at(&data.fields, "name the fields: a column is found by its name"),
                Fields::Unit => errors.at(&input.ident, "a table has columns: give the struct named fields"),
            },
            Data::Enum(_) => errors.at(
                &input.ident,
                "an enum is no table: derive `postgres_types::ToSql` and `FromSql` for it and use it as a field",
            ),
            Data::Union(_) => errors.at(&input.ident, "a union is no table: use a struct with named fields"),
        }
        Struct { input, attrs, fields }
    }

    /// The fields that are columns.
    pub(crate) fn columns(&self) -> Vec<&Field<'a>> {
        self.fields.iter().filter(|field| field.attrs.skip.is_none()).collect()
    }
}

impl<'a> Field<'a> {
    fn read(original: &'a syn::Field, container: &ContainerAttrs, derive: Derive, errors: &mut Errors) -> Option<Self> {
        let ident = original.ident.as_ref()?;
        let attrs = FieldAttrs::read(&original.attrs, derive, errors);
        let name = ident.unraw().to_string();
        let column = match (&attrs.rename, container.rename_all) {
            (Some(rename), _) => rename.value(),
            (None, Some(case)) => case.apply(&name),
            (None, None) => name.clone(),
        };
        Some(Field { original, ident, attrs, name, column })
    }
}

/// A unique key: the primary one, a unique column, or a group.
pub(crate) struct Key<'a> {
    pub(crate) name: String,
    pub(crate) fields: Vec<(usize, &'a Field<'a>)>,
}

/// The primary key, if any field is marked with `key`. Positions count columns.
pub(crate) fn primary_key<'a>(columns: &[&'a Field<'a>]) -> Option<Key<'a>> {
    let fields: Vec<_> =
        columns.iter().enumerate().filter(|(_, field)| field.attrs.key.is_some()).map(|(at, f)| (at, *f)).collect();
    (!fields.is_empty()).then(|| Key { name: "key".to_owned(), fields })
}

/// The other unique keys, in the order of their first fields.
pub(crate) fn unique_keys<'a>(columns: &[&'a Field<'a>]) -> Vec<Key<'a>> {
    let mut keys: Vec<Key<'a>> = Vec::new();
    for (at, field) in columns.iter().enumerate() {
        for unique in &field.attrs.unique {
            let name = unique.group.as_ref().map_or_else(|| field.name.clone(), syn::LitStr::value);
            match keys.iter_mut().find(|key| key.name == name) {
                Some(key) => key.fields.push((at, field)),
                None => keys.push(Key { name, fields: vec![(at, field)] }),
            }
        }
    }
    keys
}
