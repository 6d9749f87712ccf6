//! How a model is read: `ReadRow`.

use proc_macro2::TokenStream;
use quote::quote;

use super::column::get;
use super::private::Private;
use super::relation;
use crate::ast::Struct;

/// The answer has all columns in order, and fields are evaluated in the order in which they are written.
pub(super) fn tokens(model: &Struct<'_>, private: &Private<'_>) -> TokenStream {
    let fields = model.fields.iter().map(|field| {
        let (ident, get) = (field.ident, get(model, field, private));
        quote!(#ident: #get)
    });
    let branches = (!model.relations().is_empty()).then(|| relation::branches(model, private));
    read_row(model, &quote!(::core::result::Result::Ok(Self { #(#fields,)* })), branches, private)
}

/// `impl ReadRow`, with this body of `read`, and of `branch` if there are relations.
pub(super) fn read_row(
    model: &Struct<'_>,
    body: &TokenStream,
    branches: Option<TokenStream>,
    private: &Private<'_>,
) -> TokenStream {
    let branch = branches.map(|body| {
        quote! {
            fn branch(__association: usize) -> #private::Branched<Self> {
                #body
            }
        }
    });
    let (generics, _, bounds) = model.input.generics.split_for_impl();
    let this = model.this();
    quote! {
        #[automatically_derived]
        impl #generics #private::ReadRow for #this #bounds {
            #[inline]
            fn read(__row: &mut #private::RowReader<'_>) -> ::core::result::Result<Self, #private::ReadFault> {
                #body
            }

            #branch
        }
    }
}
