//! How a model itself is written and read.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::put;
use crate::ast::{Field, Struct};

/// `WriteRow`, `InsertRow`, `PatchRow` and `ReadRow` for the model.
pub(super) fn tokens(model: &Struct<'_>, columns: &[&Field<'_>], keyed: bool, private: &TokenStream) -> TokenStream {
    let (ident, (generics, arguments, bounds)) = (&model.input.ident, model.input.generics.split_for_impl());
    let this = quote!(#ident #arguments);
    let given: Vec<(usize, &Field<'_>)> = columns
        .iter()
        .enumerate()
        .filter(|(_, field)| field.attrs.computed.is_none())
        .map(|(at, f)| (at, *f))
        .collect();
    let write = write(&quote!(#generics), &this, &this, &quote!(#bounds), &given, private);
    let patch =
        keyed.then(|| quote!(#[automatically_derived] impl #generics #private::PatchRow<#this> for #this #bounds {}));
    let read = model.attrs.write_only.is_none().then(|| {
        let fields = model.fields.iter().map(read);
        quote! {
            #[automatically_derived]
            impl #generics #private::ReadRow for #this #bounds {
                #[inline]
                fn read(__row: &mut #private::RowReader<'_>) -> ::core::result::Result<Self, #private::ReadFault> {
                    ::core::result::Result::Ok(Self { #(#fields,)* })
                }
            }
        }
    });
    quote! {
        #write
        #[automatically_derived]
        impl #generics #private::InsertRow<#this> for #this #bounds {}
        #patch
        #read
    }
}

/// `impl WriteRow<model> for row`, which gives the columns at these positions.
pub(super) fn write(
    generics: &TokenStream,
    model: &TokenStream,
    row: &TokenStream,
    bounds: &TokenStream,
    given: &[(usize, &Field<'_>)],
    private: &TokenStream,
) -> TokenStream {
    let positions: Vec<usize> = given.iter().map(|(at, _)| *at).collect();
    let arms = given.iter().map(|(at, field)| {
        let put = put(field);
        quote!(#at => #put)
    });
    quote! {
        #[automatically_derived]
        impl #generics #private::WriteRow<#model> for #row #bounds {
            const COLUMNS: &'static [usize] = &[#(#positions),*];

            #[inline]
            fn write(
                &self,
                __column: usize,
                __out: &mut #private::ColumnWriter<'_>,
            ) -> ::core::result::Result<(), #private::Fault> {
                match __column {
                    #(#arms,)*
                    _ => ::core::result::Result::Ok(()),
                }
            }
        }
    }
}

fn read(field: &Field<'_>) -> TokenStream {
    let (ident, ty) = (field.ident, &field.original.ty);
    let value = match (&field.attrs.skip, &field.attrs.json, &field.attrs.stored_as) {
        (Some(_), ..) => quote_spanned!(ty.span()=> ::core::default::Default::default()),
        (_, Some(_), _) => quote_spanned!(ty.span()=> __row.read_json::<#ty>()?),
        (_, _, Some(stored)) => quote_spanned!(ty.span()=> __row.read_as::<#stored, #ty, _>()?),
        _ => quote_spanned!(ty.span()=> __row.read::<#ty>()?),
    };
    quote!(#ident: #value)
}
