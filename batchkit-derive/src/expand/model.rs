//! `impl BatchModel`: the description of the table, and the typed names.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::{companion, encoding, key_part, new, private, rows};
use crate::ast::{Field, Key, Struct, primary_key, unique_keys};

/// All that a valid model derives.
pub(super) fn tokens(model: &Struct<'_>) -> TokenStream {
    let private = private(&model.attrs);
    let columns = model.columns();
    let primary = primary_key(&columns);
    let unique = unique_keys(&columns);
    let description = description(model, &columns, primary.as_ref(), &unique, &private);
    let key = primary.as_ref().map_or_else(|| quote!(#private::NoKey), |key| key_type(key, &private));
    let names = names(model, &columns, &unique, &private);
    let rows = rows::tokens(model, &columns, primary.is_some(), &private);
    let new = new::tokens(model, &columns, primary.as_ref(), &private);
    let (ident, (generics, arguments, bounds)) = (&model.input.ident, model.input.generics.split_for_impl());
    let (fields_ident, keys_ident) = (companion(ident, "Fields"), companion(ident, "Keys"));
    let field_values = columns.iter().enumerate().map(|(at, field)| {
        let name = field.ident;
        quote!(#name: #private::Field::new(#at))
    });
    let key_values = unique.iter().map(|key| {
        let (name, text, positions) = (key_ident(key), &key.name, positions(key));
        quote!(#name: #private::Unique::new(#text, &[#(#positions),*]))
    });
    quote! {
        #names

        #[automatically_derived]
        impl #generics #private::BatchModel for #ident #arguments #bounds {
            const MODEL: &'static #private::Model = &#description;
            type Key = #key;
            type Fields = #fields_ident #arguments;
            const FIELDS: Self::Fields = #fields_ident { #(#field_values,)* __of: ::core::marker::PhantomData };
            type Keys = #keys_ident #arguments;
            const KEYS: Self::Keys = #keys_ident { #(#key_values,)* __of: ::core::marker::PhantomData };
        }

        #rows
        #new
    }
}

/// What a model with mistakes derives: enough for the code around it to compile.
pub(super) fn stub(model: &Struct<'_>) -> TokenStream {
    let private = private(&model.attrs);
    let (ident, (generics, arguments, bounds)) = (&model.input.ident, model.input.generics.split_for_impl());
    let name = ident.to_string();
    quote! {
        #[automatically_derived]
        impl #generics #private::BatchModel for #ident #arguments #bounds {
            const MODEL: &'static #private::Model = &#private::Model {
                name: #name, schema: ::core::option::Option::None, table: "", columns: &[],
                key: ::core::option::Option::None, unique: &[],
            };
            type Key = #private::NoKey;
            type Fields = ();
            const FIELDS: () = ();
            type Keys = ();
            const KEYS: () = ();
        }
    }
}

/// The `Model` constant.
fn description(
    model: &Struct<'_>,
    columns: &[&Field<'_>],
    primary: Option<&Key<'_>>,
    unique: &[Key<'_>],
    private: &TokenStream,
) -> TokenStream {
    let name = model.input.ident.to_string();
    let table = &model.attrs.table;
    let schema = option(model.attrs.schema.as_ref());
    let read = model.attrs.write_only.is_none();
    let columns = columns.iter().map(|field| column(field, read, private));
    let key = |key: &Key<'_>| {
        let (name, positions) = (&key.name, positions(key));
        quote!(#private::UniqueKey { name: #name, columns: &[#(#positions),*] })
    };
    let primary = option(primary.map(key));
    let unique = unique.iter().map(key);
    quote! {
        #private::Model {
            name: #name, schema: #schema, table: #table, columns: &[#(#columns),*],
            key: #primary, unique: &[#(#unique),*],
        }
    }
}

fn column(field: &Field<'_>, read: bool, private: &TokenStream) -> TokenStream {
    let (attrs, ty) = (&field.attrs, &field.original.ty);
    let (name, column) = (&field.name, &field.column);
    let rust_type = quote!(#ty).to_string();
    let kind = match (&attrs.auto, &attrs.computed) {
        (Some(_), _) => quote!(Auto),
        (_, Some(_)) => quote!(Computed),
        _ => quote!(Plain),
    };
    let (on_update, pg_type) = (option(attrs.on_update.as_ref()), option(attrs.pg_type.as_ref()));
    let (writes, reads, nullable) = match (&attrs.json, &attrs.stored_as) {
        (Some(_), _) => (quote!(#private::is_json), quote!(#private::is_json), quote!(#private::always)),
        (_, Some(stored)) => (
            quote_spanned!(ty.span()=> #private::writes_as::<#stored, #ty, _>),
            quote_spanned!(ty.span()=> #private::reads_as::<#stored, #ty, _>),
            quote_spanned!(ty.span()=> #private::nullable_as::<#stored, #ty, _>),
        ),
        _ => (
            quote_spanned!(ty.span()=> <#ty as #private::ToColumn>::writes),
            quote_spanned!(ty.span()=> <#ty as #private::FromColumn>::reads),
            quote_spanned!(ty.span()=> <#ty as #private::FromColumn>::nullable),
        ),
    };
    let writes = option(attrs.computed.is_none().then_some(writes));
    let (reads, nullable) = (option(read.then_some(reads)), option(read.then_some(nullable)));
    let encoding = encoding(field, private);
    quote! {
        #private::Column {
            field: #name, name: #column, kind: #private::ColumnKind::#kind, on_update: #on_update,
            pg_type: #pg_type, rust_type: #rust_type, encoding: #encoding,
            writes: #writes, reads: #reads, nullable: #nullable,
        }
    }
}

/// The structs of typed names.
fn names(model: &Struct<'_>, columns: &[&Field<'_>], unique: &[Key<'_>], private: &TokenStream) -> TokenStream {
    let (ident, vis) = (&model.input.ident, &model.input.vis);
    let (generics, arguments, bounds) = model.input.generics.split_for_impl();
    let (fields_ident, keys_ident) = (companion(ident, "Fields"), companion(ident, "Keys"));
    let fields_doc = format!("The typed names of the columns of [`{ident}`].");
    let keys_doc = format!("The typed names of the unique keys of [`{ident}`].");
    let fields = columns.iter().map(|field| {
        let (name, ty, doc) = (field.ident, &field.original.ty, format!("Column `{}`.", field.column));
        quote!(#[doc = #doc] #vis #name: #private::Field<#ident #arguments, #ty>)
    });
    let keys = unique.iter().map(|key| {
        let (name, parts) = (key_ident(key), key_type(key, private));
        let doc = format!("Unique key `{}`.", key.name);
        quote!(#[doc = #doc] #vis #name: #private::Unique<#ident #arguments, #parts>)
    });
    quote! {
        #[doc = #fields_doc]
        #[derive(Debug, Clone, Copy)]
        #[allow(dead_code, non_snake_case)]
        #vis struct #fields_ident #generics #bounds {
            #(#fields,)*
            #[doc(hidden)]
            __of: ::core::marker::PhantomData<fn() -> #ident #arguments>,
        }

        #[doc = #keys_doc]
        #[derive(Debug, Clone, Copy)]
        #[allow(dead_code, non_snake_case)]
        #vis struct #keys_ident #generics #bounds {
            #(#keys,)*
            #[doc(hidden)]
            __of: ::core::marker::PhantomData<fn() -> #ident #arguments>,
        }
    }
}

/// `(A, B,)`: the types of a key's parts.
fn key_type(key: &Key<'_>, private: &TokenStream) -> TokenStream {
    let parts = key.fields.iter().map(|(_, field)| key_part(field, private));
    quote!((#(#parts,)*))
}

fn key_ident(key: &Key<'_>) -> syn::Ident {
    match key.fields.first() {
        // The column's own field may be raw.
        Some((_, field)) if key.name == field.name => field.ident.clone(),
        _ => syn::Ident::new(&key.name, proc_macro2::Span::call_site()),
    }
}

fn positions(key: &Key<'_>) -> Vec<usize> {
    key.fields.iter().map(|(at, _)| *at).collect()
}

fn option(value: Option<impl quote::ToTokens>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}
