//! The expressions for one column: how it is described, written, read, and what its name's type is.
//!
//! Whether a type fits is found by the compiler, in each of these expressions. They all name the type by
//! the same trait, spanned in the same way, so that its messages are equal and it shows only one.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::Lifetime;
use syn::Type;
use syn::spanned::Spanned;

use super::private::Private;
use super::site;
use crate::ast::{Field, Storage, Struct};
use crate::types::erased;

/// The three functions of a `Column`.
pub(super) struct Functions {
    pub(super) writes: TokenStream,
    pub(super) reads: TokenStream,
    pub(super) nullable: TokenStream,
}

pub(super) fn functions(field: &Field<'_>, is_read: bool, private: &Private<'_>) -> Functions {
    let site = site(&field.ty);
    let private_here = private.at(site);
    match field.storage() {
        Storage::Json => Functions {
            writes: quote_spanned!(site=> #private_here::is_json),
            reads: quote_spanned!(site=> #private_here::is_json),
            nullable: quote_spanned!(site=> #private_here::always),
        },
        Storage::Plain | Storage::As(_) => {
            let value = value(field, &field.ty, is_read, private);
            Functions {
                writes: quote_spanned!(site=> #value::writes),
                reads: quote_spanned!(site=> #value::reads),
                nullable: quote_spanned!(site=> #value::nullable),
            }
        }
    }
}

/// Appends the field of `self`, which has this type there, to `__out`.
pub(super) fn put(field: &Field<'_>, ty: &Type, is_read: bool, private: &Private<'_>) -> TokenStream {
    let (ident, site) = (field.ident, site(&field.ty));
    match field.storage() {
        Storage::Json => quote_spanned!(site=> __out.put_json(&self.#ident)),
        Storage::Plain | Storage::As(_) => {
            let value = value(field, ty, is_read, private);
            quote_spanned!(site=> #value::put(&self.#ident, __out))
        }
    }
}

/// Takes the field's value from `__row`.
pub(super) fn get(model: &Struct<'_>, field: &Field<'_>, private: &Private<'_>) -> TokenStream {
    let (ty, site) = (&field.ty, site(&field.ty));
    if field.attrs.skip.is_some() {
        return quote_spanned!(site=> <#ty as ::core::default::Default>::default());
    }
    if field.attrs.relation.is_some() {
        let (private, label) = (private.at(site), format!("{}.{}", model.input.ident, field.name));
        return quote_spanned!(site=> #private::Related::not_loaded(#label));
    }
    match field.storage() {
        Storage::Json => quote_spanned!(site=> __row.read_json::<#ty>()?),
        Storage::Plain | Storage::As(_) => {
            let value = value(field, ty, true, private);
            quote_spanned!(site=> #value::get(__row)?)
        }
    }
}

/// The check that the field's type can be a version, or a mark of deletion, where it is one.
pub(super) fn habit(field: &Field<'_>, lifetimes: &[&Lifetime], private: &Private<'_>) -> Option<TokenStream> {
    let (ty, site) = (erased(&field.ty, lifetimes), site(&field.ty));
    let private = private.at(site);
    match (&field.attrs.version, &field.attrs.soft_delete) {
        (Some(_), _) => Some(quote_spanned!(site=> const _: () = #private::check_version::<#ty>();)),
        (None, Some(_)) => Some(quote_spanned!(site=> const _: () = #private::check_soft_delete::<#ty>();)),
        (None, None) => None,
    }
}

/// The type of the column's name: the field's (as given), with what is said of its storage.
pub(super) fn name_type(field: &Field<'_>, ty: &impl ToTokens, private: &Private<'_>) -> TokenStream {
    // Not `site`: the type is the user's, and the whole is shown as one place only if all of it is.
    let span = field.ty.span();
    let private = private.at(span);
    match field.storage() {
        Storage::Plain => quote!(#ty),
        Storage::Json => quote_spanned!(span=> #private::Json<#ty>),
        Storage::As(stored) => quote_spanned!(span=> #private::As<#ty, #stored>),
    }
}

/// `<T as Trait>`, for the trait that has all that is done with this column.
fn value(field: &Field<'_>, ty: &Type, is_read: bool, private: &Private<'_>) -> TokenStream {
    let site = site(&field.ty);
    match field.storage() {
        Storage::As(stored) => quote_spanned!(site=> <#ty as #private::Convert<#stored, _>>),
        _ if !field.is_written() => quote_spanned!(site=> <#ty as #private::FromColumn>),
        _ if is_read => quote_spanned!(site=> <#ty as #private::ColumnValue>),
        _ => quote_spanned!(site=> <#ty as #private::ToColumn>),
    }
}
