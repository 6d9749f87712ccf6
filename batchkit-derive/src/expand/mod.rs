//! The tokens that the derives make. They name nothing but `::batchkit::__private` and `::core`, and what
//! the user wrote.

mod column;
mod description;
mod model;
mod names;
mod new;
mod patch;
mod private;
mod read;
mod relation;
mod stub;
mod write;

use proc_macro2::{Literal, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::DeriveInput;
use syn::spanned::Spanned;

use crate::ast::Struct;
use crate::errors::Errors;
use crate::valid;

/// `#[derive(BatchModel)]`.
pub(crate) fn model(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let parsed = Struct::model(input, &mut errors);
    valid::model(&parsed, &mut errors);
    match errors.into_tokens() {
        None => model::tokens(&parsed),
        Some(errors) => {
            let stub = stub::of_model(&parsed);
            quote!(#errors #stub)
        }
    }
}

/// `#[derive(BatchPatch)]`.
pub(crate) fn patch(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let parsed = Struct::patch(input, &mut errors);
    valid::patch(&parsed, &mut errors);
    match errors.into_tokens() {
        None => patch::tokens(&parsed),
        Some(errors) => {
            let stub = stub::of_patch(&parsed);
            quote!(#errors #stub)
        }
    }
}

/// Where messages about generated code point to: the user's tokens. As the code does not come from there,
/// the user's lints leave it alone.
fn site(tokens: &impl ToTokens) -> Span {
    Span::call_site().located_at(tokens.span())
}

/// Numbers without `usize` behind them.
fn literals(numbers: &[usize]) -> impl Iterator<Item = Literal> {
    numbers.iter().map(|number| Literal::usize_unsuffixed(*number))
}

fn option(value: Option<impl ToTokens>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}
