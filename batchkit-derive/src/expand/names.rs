//! The typed names: the structs behind `Product::FIELDS`, `Product::KEYS` and `Product::RELATIONS`.

use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::Ident;
use syn::ext::IdentExt;

use super::column::name_type;
use super::literals;
use super::private::Private;
use super::relation;
use crate::ast::{Column, Key, Struct, identifier};

/// A struct of typed names, and what `impl BatchModel` says of it.
pub(super) struct Names {
    pub(super) definition: TokenStream,
    pub(super) ty: TokenStream,
    pub(super) value: TokenStream,
}

/// The names of the columns, of the unique keys and of the relations.
pub(super) fn all(model: &Struct<'_>, columns: &[Column<'_>], unique: &[Key<'_>], private: &Private<'_>) -> [Names; 3] {
    [fields(model, columns, private), keys(model, unique, private), relations(model, private)]
}

fn relations(model: &Struct<'_>, private: &Private<'_>) -> Names {
    let this = model.this();
    let names = model.relations().into_iter().map(|(field, _)| {
        let (name, target) = (&field.name, relation::target(field, private));
        Name {
            ident: field.ident.clone(),
            doc: format!("Relation `{name}`."),
            ty: quote!(#private::Relation<#this, #target>),
            value: quote!(#private::Relation::new(#name)),
        }
    });
    structure(model, "Relations", "relations", names.collect())
}

fn fields(model: &Struct<'_>, columns: &[Column<'_>], private: &Private<'_>) -> Names {
    let this = model.this();
    let names = columns.iter().map(|Column { position, field }| {
        let position = Literal::usize_unsuffixed(*position);
        Name {
            ident: field.ident.clone(),
            doc: format!("Column `{}`.", field.column),
            ty: {
                let ty = name_type(field, &field.ty, private);
                quote!(#private::Field<#this, #ty>)
            },
            value: quote!(#private::Field::new(#position)),
        }
    });
    structure(model, "Fields", "columns", names.collect())
}

fn keys(model: &Struct<'_>, unique: &[Key<'_>], private: &Private<'_>) -> Names {
    let this = model.this();
    let names = unique.iter().filter_map(|key| {
        // A name that is no identifier has been reported.
        let ident = identifier(&key.name, proc_macro2::Span::call_site())?;
        let (name, parts, positions) = (&key.name, key_type(key, private), key.positions());
        let positions = literals(&positions);
        Some(Name {
            ident,
            doc: format!("Unique key `{name}`."),
            ty: quote!(#private::Unique<#this, #parts>),
            value: quote!(#private::Unique::new(#name, &[#(#positions),*])),
        })
    });
    structure(model, "Keys", "unique keys", names.collect())
}

/// `(A, B,)`: the types of a key's parts.
pub(super) fn key_type(key: &Key<'_>, private: &Private<'_>) -> TokenStream {
    let parts = key.columns.iter().map(|column| name_type(column.field, &column.field.ty, private));
    quote!((#(#parts,)*))
}

struct Name {
    ident: Ident,
    doc: String,
    ty: TokenStream,
    value: TokenStream,
}

fn structure(model: &Struct<'_>, suffix: &str, of: &str, names: Vec<Name>) -> Names {
    let (vis, ident) = (&model.input.vis, free_ident(model, suffix));
    let doc = format!("The typed names of the {of} of `{}`.", model.input.ident.unraw());
    let fields = names.iter().map(|Name { ident, doc, ty, .. }| quote!(#[doc = #doc] #vis #ident: #ty));
    let values = names.iter().map(|Name { ident, value, .. }| quote!(#ident: #value));
    // Without names there is nothing that would use the lifetimes.
    let no_generics = syn::Generics::default();
    let generics = if names.is_empty() { &no_generics } else { &model.input.generics };
    let (generics, arguments, bounds) = generics.split_for_impl();
    Names {
        definition: quote! {
            #[doc = #doc]
            #[derive(::core::fmt::Debug, ::core::clone::Clone, ::core::marker::Copy)]
            #[allow(dead_code, non_camel_case_types, non_snake_case)]
            #vis struct #ident #generics #bounds { #(#fields,)* }
        },
        ty: quote!(#ident #arguments),
        value: quote!(#ident { #(#values,)* }),
    }
}

/// `ProductFields`, or with underscores, where a field's type has this name already.
fn free_ident(model: &Struct<'_>, suffix: &str) -> Ident {
    let types: String = model.fields.iter().map(|field| field.ty.to_token_stream().to_string() + " ").collect();
    let mut ident = format_ident!("{}{suffix}", model.input.ident.unraw());
    while types.contains(&ident.to_string()) {
        ident = format_ident!("{ident}_");
    }
    ident
}
