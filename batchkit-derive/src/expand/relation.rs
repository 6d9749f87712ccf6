//! Relations: how they are described, and how what was loaded gets into its field.
//!
//! What the other model has to have is written as expressions over its typed names, at the user's own tokens: there
//! the compiler tells what is missing, and what has another type.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Ident, LitStr, Type, parse_quote};

use super::column::name_type;
use super::private::Private;
use super::{literals, site};
use crate::ast::{Column, Field, Struct, identifier, primary_key};
use crate::attr::{RelationAttr, Relationship};
use crate::valid::own_columns;

/// The relations of a model.
pub(super) struct Relations {
    /// What the compiler checks, and the positions of the other models' columns.
    pub(super) constants: TokenStream,
    /// The elements of `Model::associations`.
    pub(super) descriptions: Vec<TokenStream>,
}

pub(super) fn tokens(model: &Struct<'_>, columns: &[Column<'_>], private: &Private<'_>) -> Relations {
    let relations = model.relations();
    let one = |(number, (field, relation)): (usize, &(&Field<'_>, &RelationAttr))| {
        One { model, columns, number, field, relation, private }.tokens()
    };
    let (constants, descriptions): (Vec<_>, Vec<_>) = relations.iter().enumerate().map(one).unzip();
    Relations { constants: quote!(#(#constants)*), descriptions }
}

/// `<Related<…> as RelationField>::Target`
pub(super) fn target(field: &Field<'_>, private: &Private<'_>) -> TokenStream {
    let (ty, site) = (&field.ty, site(&field.ty));
    let private = private.at(site);
    quote_spanned!(site=> <#ty as #private::RelationField>::Target)
}

/// The arms of `ReadRow::branch`.
pub(super) fn branches(model: &Struct<'_>, private: &Private<'_>) -> TokenStream {
    let arms = model.relations().into_iter().enumerate().map(|(number, (field, relation))| {
        let (ident, number, site) = (field.ident, proc_macro2::Literal::usize_unsuffixed(number), site(&field.ty));
        let here = private.at(site);
        let to = match relation.relationship {
            Relationship::BelongsTo | Relationship::HasOne => quote_spanned!(site=> #here::to_one),
            Relationship::HasMany | Relationship::ManyToMany => quote_spanned!(site=> #here::to_many),
        };
        quote_spanned!(site=> #number => #to(|__row: &mut Self| &mut __row.#ident))
    });
    quote! {
        match __association {
            #(#arms,)*
            _ => ::core::option::Option::None,
        }
    }
}

/// A field of the `new` form that holds the rows below.
pub(super) struct Children<'m> {
    /// The relation's number.
    number: usize,
    pub(super) field: &'m Field<'m>,
    /// The field's type there.
    pub(super) ty: Type,
    /// The model of the rows.
    through: Option<&'m syn::Path>,
    /// The type of one.
    row: &'m Type,
}

/// The kinds of rows below that the `new` form holds.
pub(super) fn children<'m>(model: &'m Struct<'_>) -> Vec<Children<'m>> {
    let relations = model.fields.iter().filter_map(|field| Some((field, field.attrs.relation.as_ref()?)));
    let children = relations.enumerate().filter_map(|(number, (field, relation))| {
        let row = relation.new.as_ref()?;
        let ty = match relation.relationship {
            Relationship::HasOne => parse_quote!(::core::option::Option<#row>),
            _ => parse_quote!(::std::vec::Vec<#row>),
        };
        Some(Children { number, field, ty, through: relation.through.as_ref(), row })
    });
    children.collect()
}

/// `CHILDREN` and `children` of the `new` form's `WriteRow`.
pub(super) fn hand_over(model: &Struct<'_>, private: &Private<'_>) -> TokenStream {
    let children = children(model);
    if children.is_empty() {
        return TokenStream::new();
    }
    let of = |child: &Children<'_>| match child.through {
        Some(through) => quote!(#through),
        None => target(child.field, private),
    };
    let kinds = children.iter().map(|child| {
        let (number, row, of) = (proc_macro2::Literal::usize_unsuffixed(child.number), child.row, of(child));
        let at = site(row);
        let here = private.at(at);
        quote_spanned!(at=> #here::Child { association: #number, rows: #here::graph_rows::<#of, #row> })
    });
    let arms = children.iter().enumerate().map(|(kind, child)| {
        let (kind, ident, row) = (proc_macro2::Literal::usize_unsuffixed(kind), child.field.ident, child.row);
        let of = of(child);
        let at = site(row);
        quote_spanned!(at=> #kind => __out.rows::<#of, #row>(&self.#ident))
    });
    quote! {
        const CHILDREN: &'static [#private::Child] = &[#(#kinds),*];

        fn children(&self, __kind: usize, __out: &mut #private::ChildWriter<'_>) {
            match __kind {
                #(#arms,)*
                _ => {}
            }
        }
    }
}

/// One relation.
struct One<'a> {
    model: &'a Struct<'a>,
    columns: &'a [Column<'a>],
    number: usize,
    field: &'a Field<'a>,
    relation: &'a RelationAttr,
    private: &'a Private<'a>,
}

impl One<'_> {
    /// Its constants and its description.
    fn tokens(&self) -> (TokenStream, TokenStream) {
        let (private, relation) = (self.private, self.relation);
        let target = target(self.field, private);
        let own = self.own_columns();
        let own_positions: Vec<usize> = own.iter().map(|column| column.position).collect();
        let own_positions = literals(&own_positions);
        let (mut constants, mut through) = (TokenStream::new(), quote!(::core::option::Option::None));
        let key_of_target = quote!(#private::key_columns::<#target>);
        let target_columns = match relation.relationship {
            Relationship::BelongsTo if relation.references.is_empty() => {
                let types = own.iter().map(|column| name_type(column.field, &column.field.ty, private));
                let at = spans(&relation.key);
                let here = private.at(at);
                constants = quote_spanned! {at=>
                    const _: () = #here::check_names::<(#(#types,)*), <#target as #here::BatchModel>::Key>();
                };
                key_of_target
            }
            Relationship::BelongsTo => {
                self.positions("REFERENCE", &relation.references, &target, "named_position", &own, &mut constants)
            }
            Relationship::HasOne | Relationship::HasMany => {
                self.positions("KEY", &relation.key, &target, "naming_position", &own, &mut constants)
            }
            Relationship::ManyToMany => {
                if let Some(link) = &relation.through {
                    let link = quote!(#link);
                    let columns = self.positions("LINK", &relation.key, &link, "naming_position", &own, &mut constants);
                    let target_columns = self.link_columns(&link, &target, &mut constants);
                    through = quote! {
                        ::core::option::Option::Some(#private::Through {
                            model: #private::model_of::<#link>,
                            columns: #columns,
                            target_columns: #target_columns,
                        })
                    };
                }
                key_of_target
            }
        };
        let order = relation.order.iter().enumerate().map(|(part, text)| {
            let (descending, name) = direction(text);
            let constant = format_ident!("__RELATION_{}_ORDER_{}", self.number, part);
            let at = text.span();
            let here = private.at(at);
            let field = name_of(&name, at);
            constants.extend(quote_spanned! {at=>
                const #constant: usize = <#target as #here::BatchModel>::FIELDS.#field.position();
            });
            quote!(#private::RelationOrder { column: #constant, descending: #descending })
        });
        let order: Vec<_> = order.collect();
        let relationship = match relation.relationship {
            Relationship::BelongsTo => quote!(BelongsTo),
            Relationship::HasOne => quote!(HasOne),
            Relationship::HasMany => quote!(HasMany),
            Relationship::ManyToMany => quote!(ManyToMany),
        };
        let name = &self.field.name;
        let label = format!("{}.{name}", self.model.input.ident);
        let description = quote! {
            #private::Association {
                name: #name,
                label: #label,
                relationship: #private::Relationship::#relationship,
                columns: &[#(#own_positions),*],
                target: #private::model_of::<#target>,
                target_columns: #target_columns,
                through: #through,
                order: &[#(#order),*],
            }
        };
        (constants, description)
    }

    /// This model's columns that are compared.
    fn own_columns(&self) -> Vec<&Column<'_>> {
        let named = own_columns(self.relation);
        if named.is_empty() {
            return primary_key(self.columns).map(|key| key.columns).unwrap_or_default();
        }
        let found = named.iter().filter_map(|name| self.columns.iter().find(|c| c.field.name == name.value()));
        found.collect()
    }

    /// A function that answers the positions of the columns of `of` with these names, each of which is checked
    /// against one of `own`.
    fn positions(
        &self,
        kind: &str,
        names: &[LitStr],
        of: &TokenStream,
        check: &str,
        own: &[&Column<'_>],
        constants: &mut TokenStream,
    ) -> TokenStream {
        let private = self.private;
        let positions = names.iter().zip(own).enumerate().map(|(part, (name, own))| {
            let constant = format_ident!("__RELATION_{}_{kind}_{}", self.number, part);
            let at = name.span();
            let (here, field) = (private.at(at), name_of(&name.value(), at));
            let ty = name_type(own.field, &own.field.ty, private);
            let check = Ident::new(check, at);
            constants.extend(quote_spanned! {at=>
                const #constant: usize = #here::#check::<#ty, _, _>(<#of as #here::BatchModel>::FIELDS.#field);
            });
            constant
        });
        let positions: Vec<_> = positions.collect();
        quote!(|| &[#(#positions),*])
    }

    /// The positions of the link's columns that name the related row.
    fn link_columns(&self, link: &TokenStream, target: &TokenStream, constants: &mut TokenStream) -> TokenStream {
        let private = self.private;
        let names = &self.relation.target_key;
        let at = spans(names);
        let here = private.at(at);
        let fields: Vec<_> = names
            .iter()
            .map(|name| {
                let (at, field) = (name.span(), name_of(&name.value(), name.span()));
                let here = private.at(at);
                quote_spanned!(at=> <#link as #here::BatchModel>::FIELDS.#field)
            })
            .collect();
        let constant = format_ident!("__RELATION_{}_TARGET", self.number);
        constants.extend(quote_spanned! {at=>
            const #constant: &[usize] = {
                #here::check_fields::<<#target as #here::BatchModel>::Key, _, _>((#(#fields,)*));
                &[#(#fields.position()),*]
            };
        });
        quote!(#constant)
    }
}

/// `-created_at`: larger values first.
fn direction(text: &LitStr) -> (bool, String) {
    let value = text.value();
    match value.strip_prefix('-') {
        Some(name) => (true, name.to_owned()),
        None => (false, value),
    }
}

/// The name as a field's; one that is none is told by the compiler, as a field that is missing.
fn name_of(name: &str, at: Span) -> Ident {
    identifier(name, at).unwrap_or_else(|| Ident::new("__no_field_can_have_this_name", at))
}

/// Where messages about all of these point to.
fn spans(names: &[LitStr]) -> Span {
    names.first().map_or_else(Span::call_site, LitStr::span)
}
