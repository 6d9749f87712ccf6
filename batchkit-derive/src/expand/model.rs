//! All that `#[derive(BatchModel)]` makes for a struct without mistakes.

use proc_macro2::TokenStream;
use quote::quote;

use super::names::{self, key_type};
use super::private::Private;
use super::{column, description, new, read, relation, write};
use crate::ast::{Struct, primary_key, unique_keys};

pub(super) fn tokens(model: &Struct<'_>) -> TokenStream {
    let private = Private::of(&model.attrs);
    let columns = model.columns();
    let (primary, unique) = (primary_key(&columns), unique_keys(&columns));
    let relations = relation::tokens(model, &columns, &private);
    let description =
        description::tokens(model, &columns, primary.as_ref(), &unique, &relations.descriptions, &private);
    let names = names::all(model, &columns, &unique, &private);
    let batch_model = batch_model(model, &description, primary.as_ref(), &names, &private);
    let write = write::model(model, &columns, primary.is_some(), &private);
    let read = model.is_read().then(|| read::tokens(model, &private));
    let lifetimes: Vec<_> = model.input.generics.lifetimes().map(|lifetime| &lifetime.lifetime).collect();
    let habits = columns.iter().filter_map(|column| column::habit(column.field, &lifetimes, &private));
    let new = new::Form::of(model, &columns, primary.as_ref());
    let new_definition = new.as_ref().map(new::Form::definition);
    let new_write = new.as_ref().map(|new| new.implementations(&private));
    let names = names.iter().map(|names| &names.definition);
    let constants = relations.constants;
    quote! {
        #new_definition

        // The names inside are nobody's business; the user may have types of the same names.
        #[allow(deprecated)]
        const _: () = {
            #(#names)*
            #constants
            #batch_model
            #write
            #read
            #new_write
            #(#habits)*
        };
    }
}

pub(super) fn batch_model(
    model: &Struct<'_>,
    description: &TokenStream,
    primary: Option<&crate::ast::Key<'_>>,
    [fields, keys, relations]: &[names::Names; 3],
    private: &Private<'_>,
) -> TokenStream {
    let (generics, _, bounds) = model.input.generics.split_for_impl();
    let this = model.this();
    let key = primary.map_or_else(|| quote!(#private::NoKey), |key| key_type(key, private));
    let (fields_type, fields_value, keys_type, keys_value) = (&fields.ty, &fields.value, &keys.ty, &keys.value);
    let (relations_type, relations_value) = (&relations.ty, &relations.value);
    quote! {
        #[automatically_derived]
        impl #generics #private::BatchModel for #this #bounds {
            const MODEL: &'static #private::Model = &#description;
            type Key = #key;
            type Fields = #fields_type;
            const FIELDS: Self::Fields = #fields_value;
            type Keys = #keys_type;
            const KEYS: Self::Keys = #keys_value;
            type Relations = #relations_type;
            const RELATIONS: Self::Relations = #relations_value;
        }
    }
}
