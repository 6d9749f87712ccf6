//! The path to what generated code may name.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::Path;

use crate::attr::ContainerAttrs;

/// `::batchkit::__private`, or where the user says that batchkit is.
pub(super) struct Private<'a>(Option<&'a Path>);

impl<'a> Private<'a> {
    pub(super) fn of(attrs: &'a ContainerAttrs) -> Self {
        Private(attrs.krate.as_ref())
    }

    /// The path as if it stood there: a message about an expression points to where its tokens begin and
    /// end, so none of them may be from elsewhere.
    pub(super) fn at(&self, span: Span) -> TokenStream {
        let moved = |mut token: TokenTree| {
            token.set_span(span);
            token
        };
        self.to_token_stream().into_iter().map(moved).collect()
    }
}

impl ToTokens for Private<'_> {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.extend(match self.0 {
            Some(path) => quote!(#path::__private),
            None => quote!(::batchkit::__private),
        });
    }
}
