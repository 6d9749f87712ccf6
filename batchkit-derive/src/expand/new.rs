//! The `new` form: the model without what the server fills in.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Ident, Meta, Path, Token, Type, parse_quote};

use super::private::Private;
use super::{relation, write};
use crate::ast::{Column, Field, Key, Struct};

/// What `#[serde(…)]` may say on the model's struct that holds for its new form as well. Others name types
/// and functions of the model's own (`from`, `remote`).
const SERDE_OF_BOTH: [&str; 3] = ["rename_all", "deny_unknown_fields", "crate"];

/// The new form of a model.
pub(super) struct Form<'a> {
    model: &'a Struct<'a>,
    ident: &'a Ident,
    columns: Vec<&'a Column<'a>>,
    keyed: bool,
}

impl<'a> Form<'a> {
    /// The form that the model asks for.
    pub(super) fn of(model: &'a Struct<'a>, columns: &'a [Column<'a>], primary: Option<&Key<'_>>) -> Option<Self> {
        let ident = model.attrs.new.as_ref()?;
        // Without the version it would overwrite what others have written.
        let versioned = columns.iter().any(|column| column.field.attrs.version.is_some());
        let keyed = !versioned && primary.is_some_and(|key| key.columns.iter().all(|column| column.field.is_new()));
        let columns = columns.iter().filter(|column| column.field.is_new()).collect();
        Some(Form { model, ident, columns, keyed })
    }

    pub(super) fn definition(&self) -> TokenStream {
        let (input, ident) = (self.model.input, self.ident);
        let (vis, generics, bounds) = (&input.vis, &input.generics, &input.generics.where_clause);
        let derives = match &self.model.attrs.new_derive {
            Some((_, derives)) => derives.clone(),
            None => vec![parse_quote!(::core::fmt::Debug), parse_quote!(::core::clone::Clone)],
        };
        let serde = derives.iter().any(is_serde);
        let attributes = serde.then(|| input.attrs.iter().filter_map(serde_of_both)).into_iter().flatten();
        let doc = format!("A new [`{}`], without what the server fills in.", input.ident);
        let columns = self.columns.iter().map(|column| field(column.field, &column.field.new_ty(), serde));
        let children = relation::children(self.model).into_iter().map(|child| field(child.field, &child.ty, serde));
        let fields = columns.chain(children);
        quote! {
            #[doc = #doc]
            #[derive(#(#derives),*)]
            #(#attributes)*
            #vis struct #ident #generics #bounds { #(#fields,)* }
        }
    }

    pub(super) fn implementations(&self, private: &Private<'_>) -> TokenStream {
        let (ident, (_, arguments, _)) = (self.ident, self.model.input.generics.split_for_impl());
        let this = quote!(#ident #arguments);
        let columns: Vec<_> = self.columns.iter().map(|column| (*column, column.field.new_ty())).collect();
        let children = relation::hand_over(self.model, private);
        let row = write::row(self.model, &this, &columns, children, private);
        let markers = write::markers(self.model, &this, self.keyed, private);
        quote!(#row #markers)
    }

    /// What the form may be used for, without what it does: for the stub of a model with mistakes.
    pub(super) fn stub(&self, stub: impl Fn(&TokenStream) -> TokenStream, private: &Private<'_>) -> TokenStream {
        let (ident, (_, arguments, _)) = (self.ident, self.model.input.generics.split_for_impl());
        let this = quote!(#ident #arguments);
        let (row, markers) = (stub(&this), write::markers(self.model, &this, self.keyed, private));
        quote!(#row #markers)
    }
}

/// The model's field, with its documentation, of this type.
fn field(field: &Field<'_>, ty: &Type, serde: bool) -> TokenStream {
    let (vis, ident) = (&field.original.vis, field.ident);
    let kept =
        |attribute: &&Attribute| attribute.path().is_ident("doc") || (serde && attribute.path().is_ident("serde"));
    let attributes = field.original.attrs.iter().filter(kept);
    quote!(#(#attributes)* #vis #ident: #ty)
}

fn is_serde(derive: &Path) -> bool {
    derive.segments.last().is_some_and(|last| last.ident == "Serialize" || last.ident == "Deserialize")
}

/// What of a container's `#[serde(…)]` holds for the new form; what cannot be read, serde itself reports.
fn serde_of_both(attribute: &Attribute) -> Option<TokenStream> {
    if !attribute.path().is_ident("serde") {
        return None;
    }
    let metas = attribute.parse_args_with(syn::punctuated::Punctuated::<Meta, Token![,]>::parse_terminated).ok()?;
    let kept: Vec<_> =
        metas.iter().filter(|meta| SERDE_OF_BOTH.iter().any(|name| meta.path().is_ident(name))).collect();
    (!kept.is_empty()).then(|| quote!(#[serde(#(#kept),*)]))
}
