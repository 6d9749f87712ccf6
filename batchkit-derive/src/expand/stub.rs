//! What a struct with mistakes derives: the names and implementations that the code around it uses, so that
//! one mistake is one error. None of it ever runs.

use proc_macro2::TokenStream;
use quote::quote;

use super::private::Private;
use super::{model, names, new, patch, read, write};
use crate::ast::{Struct, primary_key, unique_keys};

/// The model's names are as they would be; its description is empty, and nothing asks anything of its types.
pub(super) fn of_model(model: &Struct<'_>) -> TokenStream {
    if model.is_generic() {
        return TokenStream::new();
    }
    let private = Private::of(&model.attrs);
    let columns = model.columns();
    let (primary, unique) = (primary_key(&columns), unique_keys(&columns));
    let names = names::all(model, &columns, &unique, &private);
    let name = model.input.ident.to_string();
    let description = quote! {
        #private::Model {
            name: #name,
            type_name: ::core::any::type_name::<Self>,
            schema: ::core::option::Option::None,
            table: "",
            columns: &[],
            key: ::core::option::Option::None,
            unique: &[],
            associations: &[],
        }
    };
    let batch_model = model::batch_model(model, &description, primary.as_ref(), &names, &private);
    let (generics, _, bounds) = model.input.generics.split_for_impl();
    let (generics, bounds, this) = (quote!(#generics), quote!(#bounds), model.this());
    let body =
        write::Body { positions: quote!([]), write: quote!(loop {}), write_all: None, children: TokenStream::new() };
    let write_row = |row: &TokenStream| write::write_row(&this, row, [&generics, &bounds], &body, &private);
    let write = write_row(&this);
    let markers = write::markers(model, &this, primary.is_some(), &private);
    // What borrows cannot be read back, which was said already.
    let is_read = model.is_read() && model.input.generics.lifetimes().next().is_none();
    let read = is_read.then(|| read::read_row(model, &quote!(loop {}), None, &private));
    // A name that is taken would be one more error.
    let new = new::Form::of(model, &columns, primary.as_ref())
        .filter(|_| model.attrs.new.as_ref() != Some(&model.input.ident));
    let new_definition = new.as_ref().map(new::Form::definition);
    let new_write = new.as_ref().map(|new| new.stub(write_row, &private));
    let names = names.iter().map(|names| &names.definition);
    quote! {
        #new_definition

        #[allow(warnings)]
        const _: () = {
            #(#names)*
            #batch_model
            #write
            #markers
            #read
            #new_write
        };
    }
}

/// A patch of nothing, if it is known of which model.
pub(super) fn of_patch(patch: &Struct<'_>) -> TokenStream {
    if patch.is_generic() || patch.attrs.model.is_none() {
        return TokenStream::new();
    }
    let private = Private::of(&patch.attrs);
    let implementations = patch::implementations(patch, &quote!([]), &quote!(loop {}), None, &private);
    quote! {
        #[allow(warnings)]
        const _: () = { #implementations };
    }
}
