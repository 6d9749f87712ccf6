//! All that `#[derive(BatchPatch)]` makes. The derive does not see the model: the compiler compares the two.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::Lifetime;

use super::column::{name_type, put};
use super::private::Private;
use super::{site, write};
use crate::ast::{Struct, identifier};
use crate::types::erased;

pub(super) fn tokens(patch: &Struct<'_>) -> TokenStream {
    let private = Private::of(&patch.attrs);
    let model = &patch.attrs.model;
    let columns = patch.columns();
    let lifetimes: Vec<&Lifetime> = patch.input.generics.lifetimes().map(|lifetime| &lifetime.lifetime).collect();
    // One constant a field, so that a field that the model lacks, or one of another type, is one error.
    let positions: Vec<_> = columns.iter().map(|column| format_ident!("__POSITION_{}", column.position)).collect();
    let constants = columns.iter().zip(&positions).map(|(column, position)| {
        let field = column.field;
        let span = field.attrs.field.as_ref().map_or_else(|| field.ident.span(), syn::LitStr::span);
        let name = identifier(&field.column, span).unwrap_or_else(|| field.ident.clone());
        let (site, ty) = (site(&name), name_type(field, &erased(&field.ty, &lifetimes), &private));
        let private = private.at(site);
        quote_spanned! {site=>
            const #position: usize = #private::position::<#ty, _, _>(<#model as #private::BatchModel>::FIELDS.#name);
        }
    });
    let arms = columns.iter().zip(&positions).map(|(column, position)| {
        let put = put(column.field, &column.field.ty, false, &private);
        quote!(if __column == #position { return #put; })
    });
    let body = quote!(#(#arms)* ::core::result::Result::Ok(()));
    let puts: Vec<_> = columns.iter().map(|column| put(column.field, &column.field.ty, false, &private)).collect();
    let ascending = quote!(#private::ascending([#(#positions),*]));
    let pairs = positions.iter().zip(positions.iter().skip(1)).map(|(one, next)| quote!(&& #one < #next));
    // Where the patch has its fields in the model's order, none has to be looked for.
    let all = quote! {
        if true #(#pairs)* {
            #({ let __out = &mut __row.field(); #puts }?;)*
        } else {
            for __column in #ascending {
                let __out = &mut __row.field();
                #(if __column == #positions { #puts?; })*
            }
        }
        ::core::result::Result::Ok(())
    };
    let write = implementations(patch, &ascending, &body, Some(all), &private);
    let site = model.as_ref().map_or_else(Span::call_site, site);
    let here = private.at(site);
    let ignores_version = patch.attrs.ignore_version.is_some();
    let check = quote_spanned! {site=>
        const _: () = #here::check_patch(<#model as #here::BatchModel>::MODEL, &[#(#positions),*], #ignores_version);
    };
    quote! {
        #[allow(deprecated)]
        const _: () = {
            #(#constants)*
            #check
            #write
        };
    }
}

/// `WriteRow` and `PatchRow` of the patch's model.
pub(super) fn implementations(
    patch: &Struct<'_>,
    positions: &TokenStream,
    body: &TokenStream,
    write_all: Option<TokenStream>,
    private: &Private<'_>,
) -> TokenStream {
    let (generics, _, bounds) = patch.input.generics.split_for_impl();
    let (this, model) = (patch.this(), &patch.attrs.model);
    // A model that is none is an error at its name.
    let site = model.as_ref().map_or_else(Span::call_site, site);
    let here = private.at(site);
    let patch_row = quote_spanned!(site=> #here::PatchRow<#model>);
    let row = {
        let body =
            write::Body { positions: positions.clone(), write: body.clone(), write_all, children: TokenStream::new() };
        write::write_row(&quote!(#model), &this, [&quote!(#generics), &quote!(#bounds)], &body, private)
    };
    quote! {
        #row

        #[automatically_derived]
        impl #generics #patch_row for #this #bounds {}
    }
}
