//! How a struct is written: `WriteRow`, and what it may be written for.

use proc_macro2::{Literal, TokenStream};
use quote::{quote, quote_spanned};

use super::column::put;
use super::private::Private;
use super::{literals, site};
use crate::ast::{Column, Struct};

/// The model itself: inserted, and if it has a key, updated.
pub(super) fn model(model: &Struct<'_>, columns: &[Column<'_>], keyed: bool, private: &Private<'_>) -> TokenStream {
    let written: Vec<_> = columns.iter().filter(|column| column.field.is_written()).collect();
    let this = model.this();
    let row = row(model, &this, &written, private);
    let markers = markers(model, &this, keyed, private);
    quote!(#row #markers)
}

/// `impl WriteRow<Model> for Row`, where `Row` has these columns of the model.
pub(super) fn row(
    model: &Struct<'_>,
    row: &TokenStream,
    columns: &[&Column<'_>],
    private: &Private<'_>,
) -> TokenStream {
    let positions: Vec<usize> = columns.iter().map(|column| column.position).collect();
    let positions = literals(&positions);
    let arms = columns.iter().map(|column| {
        let (position, put) = (Literal::usize_unsuffixed(column.position), put(column.field, model.is_read(), private));
        quote!(#position => #put)
    });
    let body = quote! {
        match __column {
            #(#arms,)*
            _ => ::core::result::Result::Ok(()),
        }
    };
    let (generics, _, bounds) = model.input.generics.split_for_impl();
    write_row(&model.this(), row, [&quote!(#generics), &quote!(#bounds)], &quote!([#(#positions),*]), &body, private)
}

/// `impl WriteRow<Model> for Row`, with this body of `write`.
pub(super) fn write_row(
    model: &TokenStream,
    row: &TokenStream,
    [generics, bounds]: [&TokenStream; 2],
    positions: &TokenStream,
    body: &TokenStream,
    private: &Private<'_>,
) -> TokenStream {
    let site = site(model);
    let here = private.at(site);
    let write_row = quote_spanned!(site=> #here::WriteRow<#model>);
    quote! {
        #[automatically_derived]
        impl #generics #write_row for #row #bounds {
            const COLUMNS: &'static [usize] = &#positions;

            #[inline]
            fn write(
                &self,
                __column: usize,
                __out: &mut #private::ColumnWriter<'_>,
            ) -> ::core::result::Result<(), #private::Fault> {
                #body
            }
        }
    }
}

/// `impl InsertRow<Model> for Row`, and `PatchRow` if the row has the model's key.
pub(super) fn markers(model: &Struct<'_>, row: &TokenStream, keyed: bool, private: &Private<'_>) -> TokenStream {
    let (generics, _, bounds) = model.input.generics.split_for_impl();
    let this = model.this();
    let patch = keyed.then(|| {
        quote! {
            #[automatically_derived]
            impl #generics #private::PatchRow<#this> for #row #bounds {}
        }
    });
    quote! {
        #[automatically_derived]
        impl #generics #private::InsertRow<#this> for #row #bounds {}
        #patch
    }
}
