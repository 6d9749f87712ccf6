//! The `Model` constant: the table as the struct describes it.

use proc_macro2::TokenStream;
use quote::quote;

use super::column::{Functions, functions};
use super::private::Private;
use super::{literals, option};
use crate::ast::{Column, Key, Storage, Struct};
use crate::types;

pub(super) fn tokens(
    model: &Struct<'_>,
    columns: &[Column<'_>],
    primary: Option<&Key<'_>>,
    unique: &[Key<'_>],
    associations: &[TokenStream],
    private: &Private<'_>,
) -> TokenStream {
    let name = model.input.ident.to_string();
    let (schema, table) = (option(model.attrs.schema.as_ref()), &model.attrs.table);
    let columns = columns.iter().map(|column| self::column(column, model.is_read(), private));
    let key = |key: &Key<'_>| {
        let (name, positions) = (&key.name, key.positions());
        let positions = literals(&positions);
        quote!(#private::UniqueKey { name: #name, columns: &[#(#positions),*] })
    };
    let (primary, unique) = (option(primary.map(key)), unique.iter().map(key));
    quote! {
        #private::Model {
            name: #name,
            type_name: ::core::any::type_name::<Self>,
            schema: #schema,
            table: #table,
            columns: &[#(#columns),*],
            key: #primary,
            unique: &[#(#unique),*],
            associations: &[#(#associations),*],
        }
    }
}

fn column(column: &Column<'_>, is_read: bool, private: &Private<'_>) -> TokenStream {
    let field = column.field;
    let (name, column, rust_type) = (&field.name, &field.column, types::text(&field.original.ty));
    let attrs = &field.attrs;
    let kind = match (&attrs.auto, &attrs.computed) {
        _ if attrs.version.is_some() || attrs.soft_delete.is_some() => quote!(Auto),
        (Some(_), _) => quote!(Auto),
        (None, Some(_)) => quote!(Computed),
        (None, None) => quote!(Plain),
    };
    let role = match (&attrs.version, &attrs.soft_delete) {
        (Some(_), _) => quote!(Version),
        (None, Some(_)) => quote!(SoftDelete),
        (None, None) => quote!(Data),
    };
    let encoding = match field.storage() {
        Storage::Plain => quote!(Plain),
        Storage::Json => quote!(Json),
        Storage::As(_) => quote!(Converted),
    };
    let on_insert = option(field.attrs.on_insert.as_ref());
    let (on_update, pg_type) = (option(field.attrs.on_update.as_ref()), option(field.attrs.pg_type.as_ref()));
    let Functions { writes, reads, nullable } = functions(field, is_read, private);
    let writes = option(field.is_written().then_some(writes));
    let (reads, nullable) = (option(is_read.then_some(reads)), option(is_read.then_some(nullable)));
    quote! {
        #private::Column {
            field: #name,
            name: #column,
            kind: #private::ColumnKind::#kind,
            role: #private::ColumnRole::#role,
            on_insert: #on_insert,
            on_update: #on_update,
            pg_type: #pg_type,
            rust_type: #rust_type,
            encoding: #private::Encoding::#encoding,
            writes: #writes,
            reads: #reads,
            nullable: #nullable,
        }
    }
}
