//! How a struct is written: `WriteRow`, and what it may be written for.

use proc_macro2::{Literal, TokenStream};
use quote::{quote, quote_spanned};
use syn::Type;

use super::column::put;
use super::private::Private;
use super::{literals, site};
use crate::ast::{Column, Struct};

/// The model itself: inserted, and if it has a key, updated.
pub(super) fn model(model: &Struct<'_>, columns: &[Column<'_>], keyed: bool, private: &Private<'_>) -> TokenStream {
    let written: Vec<_> = columns.iter().filter(|column| column.field.is_written()).collect();
    let this = model.this();
    let typed: Vec<_> = written.iter().map(|column| (*column, column.field.ty.clone())).collect();
    let row = row(model, &this, &typed, TokenStream::new(), private);
    let markers = markers(model, &this, keyed, private);
    quote!(#row #markers)
}

/// `impl WriteRow<Model> for Row`, where `Row` has these columns of the model, of these types.
pub(super) fn row(
    model: &Struct<'_>,
    row: &TokenStream,
    columns: &[(&Column<'_>, Type)],
    children: TokenStream,
    private: &Private<'_>,
) -> TokenStream {
    let positions: Vec<usize> = columns.iter().map(|(column, _)| column.position).collect();
    let positions = literals(&positions);
    let arms = columns.iter().map(|(column, ty)| {
        let position = Literal::usize_unsuffixed(column.position);
        let put = put(column.field, ty, model.is_read(), private);
        quote!(#position => #put)
    });
    let all = columns.iter().map(|(column, ty)| {
        let put = put(column.field, ty, model.is_read(), private);
        quote!({ let __out = &mut __row.field(); #put }?;)
    });
    let all = quote!(#(#all)* ::core::result::Result::Ok(()));
    let body = quote! {
        match __column {
            #(#arms,)*
            _ => ::core::result::Result::Ok(()),
        }
    };
    let (generics, _, bounds) = model.input.generics.split_for_impl();
    let (generics, bounds) = (quote!(#generics), quote!(#bounds));
    let body = Body { positions: quote!([#(#positions),*]), write: body, write_all: Some(all), children };
    write_row(&model.this(), row, [&generics, &bounds], &body, private)
}

/// What `impl WriteRow` holds.
pub(super) struct Body {
    /// The positions of the columns.
    pub(super) positions: TokenStream,
    /// The body of `write`.
    pub(super) write: TokenStream,
    /// The body of `write_all`, where it is more than `write` of each column.
    pub(super) write_all: Option<TokenStream>,
    /// What it says of the rows below, if there may be any.
    pub(super) children: TokenStream,
}

/// `impl WriteRow<Model> for Row`.
pub(super) fn write_row(
    model: &TokenStream,
    row: &TokenStream,
    [generics, bounds]: [&TokenStream; 2],
    body: &Body,
    private: &Private<'_>,
) -> TokenStream {
    let Body { positions, write, write_all, children } = body;
    let write_all = write_all.as_ref().map(|body| {
        quote! {
            #[inline]
            fn write_all(
                &self,
                __row: &mut #private::RowWriter<'_>,
            ) -> ::core::result::Result<(), #private::Fault> {
                #body
            }
        }
    });
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
                #write
            }

            #write_all

            #children
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
