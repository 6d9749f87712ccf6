//! The tokens that the derives make. They name nothing but `::batchkit::__private` and `::core`.

mod model;
mod new;
mod patch;
mod rows;

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Ident};

use crate::ast::{Field, Struct};
use crate::attr::{ContainerAttrs, Derive};
use crate::errors::Errors;
use crate::valid;

/// `#[derive(BatchModel)]`.
pub(crate) fn model(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let parsed = Struct::read(input, Derive::Model, &mut errors);
    valid::model(&parsed, &mut errors);
    match errors.into_tokens() {
        None => model::tokens(&parsed),
        Some(errors) => {
            // A model without columns, so that one mistake does not make a dozen of errors.
            let generic =
                input.generics.type_params().next().is_some() || input.generics.const_params().next().is_some();
            let stub = (!generic).then(|| model::stub(&parsed));
            quote!(#errors #stub)
        }
    }
}

/// `#[derive(BatchPatch)]`.
pub(crate) fn patch(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let parsed = Struct::read(input, Derive::Patch, &mut errors);
    valid::patch(&parsed, &mut errors);
    match errors.into_tokens() {
        None => patch::tokens(&parsed),
        Some(errors) => errors,
    }
}

/// `::batchkit::__private`, or where the user says batchkit is.
fn private(attrs: &ContainerAttrs) -> TokenStream {
    match &attrs.krate {
        Some(path) => quote!(#path::__private),
        None => quote!(::batchkit::__private),
    }
}

/// The expression that writes a field, spanned at its type so that messages point there.
fn put(field: &Field<'_>) -> TokenStream {
    let (ident, ty) = (field.ident, &field.original.ty);
    match (&field.attrs.json, &field.attrs.stored_as) {
        (Some(_), _) => quote_spanned!(ty.span()=> __out.put_json(&self.#ident)),
        (_, Some(stored)) => quote_spanned!(ty.span()=> __out.put_as::<#stored, #ty, _>(&self.#ident)),
        _ => quote_spanned!(ty.span()=> __out.put::<#ty>(&self.#ident)),
    }
}

/// How a field is encoded, for comparing a patch with its model.
fn encoding(field: &Field<'_>, private: &TokenStream) -> TokenStream {
    match (&field.attrs.json, &field.attrs.stored_as) {
        (Some(_), _) => quote!(#private::Encoding::Json),
        (_, Some(_)) => quote!(#private::Encoding::Converted),
        _ => quote!(#private::Encoding::Plain),
    }
}

/// The type of a key's part.
fn key_part(field: &Field<'_>, private: &TokenStream) -> TokenStream {
    let ty = &field.original.ty;
    match &field.attrs.stored_as {
        Some(stored) => quote!(#private::As<#ty, #stored>),
        None => quote!(#ty),
    }
}

fn companion(ident: &Ident, suffix: &str) -> Ident {
    format_ident!("{}{}", ident, suffix)
}
