//! The derive macros of batchkit.

#[doc(hidden)]
#[proc_macro_derive(BatchModel, attributes(batch))]
pub fn a(_: proc_macro::TokenStream) -> proc_macro::TokenStream { proc_macro::TokenStream::new() }
#[doc(hidden)]
#[proc_macro_derive(BatchPatch, attributes(batch))]
pub fn b(_: proc_macro::TokenStream) -> proc_macro::TokenStream { proc_macro::TokenStream::new() }
