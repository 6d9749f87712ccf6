//! The `new` form: the model without what the server sets.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Path, parse_quote};

use super::rows;
use crate::ast::{Field, Key, Struct};

/// The struct and its `WriteRow`; nothing, if the model asks for none.
pub(super) fn tokens(
    model: &Struct<'_>,
    columns: &[&Field<'_>],
    primary: Option<&Key<'_>>,
    private: &TokenStream,
) -> TokenStream {
    let Some(new) = &model.attrs.new else { return TokenStream::new() };
    let (ident, vis) = (&model.input.ident, &model.input.vis);
    let (generics, arguments, bounds) = model.input.generics.split_for_impl();
    let given: Vec<(usize, &Field<'_>)> = columns
        .iter()
        .enumerate()
        .filter(|(_, field)| field.attrs.auto.is_none() && field.attrs.computed.is_none())
        .map(|(at, field)| (at, *field))
        .collect();
    let derives: Vec<Path> =
        model.attrs.new_derive.clone().unwrap_or_else(|| vec![parse_quote!(Debug), parse_quote!(Clone)]);
    let serde = derives.iter().any(is_serde);
    let kept = |attributes: &[Attribute], docs: bool| {
        let keep = |attribute: &&Attribute| {
            (docs && attribute.path().is_ident("doc")) || (serde && attribute.path().is_ident("serde"))
        };
        attributes.iter().filter(keep).cloned().collect::<Vec<_>>()
    };
    let fields = given.iter().map(|(_, field)| {
        let (attributes, vis) = (kept(&field.original.attrs, true), &field.original.vis);
        let (name, ty) = (field.ident, &field.original.ty);
        quote!(#(#attributes)* #vis #name: #ty)
    });
    let attributes = kept(&model.input.attrs, false);
    let doc = format!("A new [`{ident}`], without what the server sets.");
    let this = quote!(#new #arguments);
    let model_type = quote!(#ident #arguments);
    let write = rows::write(&quote!(#generics), &model_type, &this, &quote!(#bounds), &given, private);
    let keyed = primary.is_some_and(|key| key.fields.iter().all(|(at, _)| given.iter().any(|(given, _)| given == at)));
    let patch = keyed
        .then(|| quote!(#[automatically_derived] impl #generics #private::PatchRow<#model_type> for #this #bounds {}));
    quote! {
        #[doc = #doc]
        #[derive(#(#derives),*)]
        #(#attributes)*
        #[allow(missing_docs, dead_code)]
        #vis struct #new #generics #bounds { #(#fields,)* }

        #write
        #[automatically_derived]
        impl #generics #private::InsertRow<#model_type> for #this #bounds {}
        #patch
    }
}

fn is_serde(derive: &Path) -> bool {
    derive.segments.last().is_some_and(|last| last.ident == "Serialize" || last.ident == "Deserialize")
}
