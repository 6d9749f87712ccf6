//! `WriteRow` and `PatchRow` of a patch. The derive does not see the model: the compiler compares the two.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::{encoding, private, put};
use crate::ast::Struct;

/// All that a valid patch derives.
pub(super) fn tokens(patch: &Struct<'_>) -> TokenStream {
    let private = private(&patch.attrs);
    let (ident, (generics, arguments, bounds)) = (&patch.input.ident, patch.input.generics.split_for_impl());
    let model = &patch.attrs.model;
    let columns = patch.columns();
    let count = columns.len();
    // A field that the model does not have is an error at the patch's own field.
    let positions = columns.iter().map(|field| {
        let name = field.ident;
        quote_spanned!(name.span()=> <#model as #private::BatchModel>::FIELDS.#name.position())
    });
    let encodings = columns.iter().map(|field| encoding(field, &private));
    let arms = columns.iter().enumerate().map(|(at, field)| {
        let (name, ty, put) = (field.ident, &field.original.ty, put(field));
        let check = match (&field.attrs.json, &field.attrs.stored_as) {
            (None, None) => quote_spanned!(ty.span()=>
                #private::patches::<#model, _, #ty>(<#model as #private::BatchModel>::FIELDS.#name);
            ),
            _ => TokenStream::new(),
        };
        quote!(if __column == __POSITIONS[#at] { #check return #put; })
    });
    let check = quote_spanned! {ident.span()=>
        const _: () = #private::check_patch(
            <#model as #private::BatchModel>::MODEL, &__POSITIONS, &[#(#encodings),*],
        );
    };
    quote! {
        const _: () = {
            const __POSITIONS: [usize; #count] = [#(#positions),*];
            #check

            #[automatically_derived]
            impl #generics #private::WriteRow<#model> for #ident #arguments #bounds {
                const COLUMNS: &'static [usize] = &#private::ascending(__POSITIONS);

                #[inline]
                fn write(
                    &self,
                    __column: usize,
                    __out: &mut #private::ColumnWriter<'_>,
                ) -> ::core::result::Result<(), #private::Fault> {
                    #(#arms)*
                    ::core::result::Result::Ok(())
                }
            }

            #[automatically_derived]
            impl #generics #private::PatchRow<#model> for #ident #arguments #bounds {}
        };
    }
}
