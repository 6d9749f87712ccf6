//! The derive macros of batchkit: use them through `batchkit` itself.
//!
//! A derive reads in three steps: the attributes and the struct as understood (`ast`), the rules that
//! span several of them (`valid`), and the tokens (`expand`). All mistakes of a struct are told at once,
//! each at the user's own tokens.

mod ast;
mod attr;
mod case;
mod errors;
mod expand;
mod valid;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct the model of a table: what it is called, what its columns are, how rows are written and
/// read.
///
/// On the struct, `#[batch(…)]` takes:
///
/// | attribute | says |
/// |---|---|
/// | `table = "products"` | the table's name (required) |
/// | `schema = "shop"` | its schema; without it, the server's `search_path` decides |
/// | `rename_all = "camelCase"` | how column names are made from field names: the cases of serde |
/// | `new = "NewProduct"` | makes that struct, with all fields but the `auto` and `computed` ones, for inserting |
/// | `new_derive(Debug, Clone)` | what that struct derives (by default these two); its fields keep their `#[serde]` attributes if it derives serde's traits |
/// | `write_only` | the model is never read back, so it may borrow: `struct Row<'a> { name: &'a str }` |
/// | `crate = "path"` | where batchkit is, if it is not `::batchkit` |
///
/// On a field:
///
/// | attribute | says |
/// |---|---|
/// | `key` | the field is (part of) the primary key, in the order of the fields |
/// | `unique` | the column is unique by itself |
/// | `unique = "group"` | the fields of one group are unique together; may be repeated |
/// | `auto` | the server sets the column when a row does not give it; read back |
/// | `computed` | the server alone sets the column (a generated column); never written |
/// | `on_update = "now()"` | the SQL expression that sets the column on every update |
/// | `rename = "name"` | the column's name |
/// | `skip` | no column; `Default` when read |
/// | `pg_type = "citext"` | the column's type, where statements are to be read without a server |
/// | `json` | any serde type, as `json` or `jsonb` |
/// | `as = "i64"` | the field is stored as another type, by `TryFrom` both ways |
///
/// Type parameters are refused; lifetimes need `write_only`.
#[proc_macro_derive(BatchModel, attributes(batch, serde))]
pub fn batch_model(input: TokenStream) -> TokenStream {
    expand::model(&parse_macro_input!(input as DeriveInput)).into()
}

/// Makes a struct a patch of a model: the fields of its key, and the ones to change, nothing else.
///
/// On the struct, `#[batch(model = "Product")]` is required, and `crate` as for `BatchModel`. The fields are
/// named and typed like the model's (`&str` for a `String` will do); `#[batch(json)]` and `#[batch(as = "…")]`
/// are repeated where the model has them, and `#[batch(skip)]` leaves a field out.
#[proc_macro_derive(BatchPatch, attributes(batch))]
pub fn batch_patch(input: TokenStream) -> TokenStream {
    expand::patch(&parse_macro_input!(input as DeriveInput)).into()
}
