//! The derive macros of batchkit: use them through `batchkit` itself.
//!
//! A derive reads in three steps: the attributes and the struct as understood (`attr`, `ast`), the rules that
//! span several of them (`valid`), and the tokens (`expand`). All mistakes of a struct are told at once, each
//! at the user's own tokens; whether a type fits a column is left to the compiler.

mod ast;
mod attr;
mod case;
mod errors;
mod expand;
mod types;
mod valid;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct the model of a table: what the table and its columns are called, and how rows are written
/// and read.
///
/// ```
/// use batchkit::BatchModel;
///
/// #[derive(Debug, Clone, PartialEq, BatchModel)]
/// #[batch(table = "products", new = "NewProduct")]
/// struct Product {
///     #[batch(key, auto)]
///     id: i64,
///     #[batch(unique)]
///     sku: String,
///     name: String,
///     #[batch(as = "i64")]
///     stock: u32,
///     tags: Vec<String>,
///     #[batch(auto, on_update = "now()")]
///     updated_at: std::time::SystemTime,
/// }
///
/// assert_eq!(Product::MODEL.table, "products");
/// assert_eq!(Product::FIELDS.name.position(), 2);
/// let new = NewProduct { sku: "a-1".to_owned(), name: "Chair".to_owned(), stock: 3, tags: Vec::new() };
/// # assert_eq!(new.stock, 3);
/// ```
///
/// # On the struct
///
/// | `#[batch(…)]` | says |
/// |---|---|
/// | `table = "products"` | The table's name, as it is in the catalogue. Required. |
/// | `schema = "shop"` | Its schema; without it, the server's `search_path` decides. |
/// | `rename_all = "camelCase"` | How column names are made of the fields' names: `lowercase`, `UPPERCASE`, `PascalCase`, `camelCase`, `snake_case`, `SCREAMING_SNAKE_CASE`, `kebab-case` or `SCREAMING-KEBAB-CASE`, as serde makes them. |
/// | `new = "NewProduct"` | Makes this struct beside the model, for inserting: with all its fields but those that are `auto`, `computed`, `version`, `soft_delete`, `on_insert` or `skip`, and with the same visibilities, types, lifetimes and documentation. If it still has the whole key, it can update rows as well; not where there is a `version`, which it does not have. |
/// | `new_derive(Debug, Clone)` | What that struct derives; these two, if nothing is said. |
/// | `write_only` | Rows are never read back, so the struct may borrow: `struct Row<'a> { name: &'a str }`. |
/// | `crate = "my::batchkit"` | Where batchkit is, if not at `::batchkit`. |
///
/// If `new_derive` names a `Serialize` or `Deserialize`, the new struct's fields keep their `#[serde(…)]`, and
/// the struct itself `rename_all`, `deny_unknown_fields` and `crate` of its `#[serde(…)]`. Other attributes are
/// not handed on. The model itself need not derive serde's traits for that.
///
/// # On a field
///
/// | `#[batch(…)]` | says |
/// |---|---|
/// | `key` | The column is the primary key, or a part of it: several fields make a key in their order, of at most eight columns. Without a key, rows can be inserted, but neither looked up nor updated. |
/// | `unique` | The column is unique by itself: `Product::KEYS.sku`. |
/// | `unique = "by_place"` | The columns of all fields with this name are unique together: `Product::KEYS.by_place`. |
/// | `unique("by_place", "by_name")` | The same, for a field in several groups. |
/// | `auto` | The server gives the column a value when a row does not (an identity, a default). It is read back; an update of all fields leaves it alone. |
/// | `computed` | The server alone gives the column its value (a generated column). It is read, never written. |
/// | `version` | The column counts the changes of its row, in an `i16`, `i32` or `i64`: a new row has 1, each write adds one, and an update or upsert that gives another version than the stored one does not overwrite what someone else has written (`ErrorKind::Stale`). |
/// | `soft_delete` | The column marks rows as deleted: an `Option` of a time, or a `bool`. Deletes set it, reads and updates leave out the rows that have it, upserts bring them back. |
/// | `on_insert = "gen_random_uuid()"` | The SQL expression that sets the column of an inserted row that does not give it. It is put into statements as it is, and can name no columns. |
/// | `on_update = "now()"` | The SQL expression that sets the column on every update, also that of an upsert. It is put into statements as it is; `t` is the stored row. |
/// | `rename = "weight in kg"` | The column's name. |
/// | `skip` | The field is no column; it is `Default::default()` in rows that are read. |
/// | `pg_type = "citext"` | The column's type, where a statement is to be shown without a server. |
/// | `json` | Any type of serde, stored as `json` or `jsonb`. Not for keys, as it has no equality. |
/// | `as = "i64"` | The field is stored as this type: by `TryFrom` in both directions, also inside of an `Option` or a `Vec`. A value that does not fit is that row's rejection. |
///
/// | `parent` | The key of the row above in a graph: in the `new` form it is an `Option`, and `None` is filled in with the key of the row that this one is inserted below. |
///
/// # On a field that is a relation
///
/// Such a field is a `Related<Model>`, a `Related<Option<Model>>` or a `Related<Vec<Model>>`. It is no column: it is not
/// loaded until a read names it in `load_relations`.
///
/// | `#[batch(…)]` | says |
/// |---|---|
/// | `belongs_to(key = "category_id")` | This row's columns name a row of the other model, by its primary key, or by the columns in `references = "code"`. |
/// | `has_one(key = "product_id")` | The other model's columns name this row, by its primary key, or by the columns in `references = "sku"`. There is one at the most; of several, the first of the `order`. |
/// | `has_many(key = "product_id")` | The same, any number of them. |
/// | `many_to_many(through = "ProductTag", key = "product_id", target_key = "tag_id")` | The rows of a third model name one of each: this row by `key`, the other by `target_key`. |
/// | `order = "-stars"`, `order("-stars", "id")` | Inside of the last three: the order of the related rows, `-` for larger values first. Without it, that of their key. |
/// | `new = "NewReview"` | Inside of the last three: the `new` form of this struct has a field of this name, with rows to be inserted below it: a `Vec` of them (an `Option` for `has_one`; for `many_to_many` rows of the model in `through`). `batch_insert` stores them with their row, with its key. |
///
/// A key of several columns is named as `key("maker", "place")`, in the key's order. Names are those of fields. What
/// the other model lacks, or has of another type, is told at these names.
///
/// ```
/// use batchkit::{BatchModel, Related};
///
/// #[derive(Debug, Clone, BatchModel)]
/// #[batch(table = "orders", new = "NewOrder")]
/// struct Order {
///     #[batch(key, auto)]
///     id: i64,
///     customer: String,
///     #[batch(has_many(key = "order_id", order = "number", new = "NewLine"))]
///     lines: Related<Vec<Line>>,
/// }
///
/// #[derive(Debug, Clone, BatchModel)]
/// #[batch(table = "lines", new = "NewLine")]
/// struct Line {
///     #[batch(key, auto)]
///     id: i64,
///     #[batch(parent)]
///     order_id: i64,
///     number: i32,
///     #[batch(belongs_to(key = "order_id"))]
///     order: Related<Order>,
/// }
///
/// let line = NewLine { order_id: None, number: 1 };
/// let order = NewOrder { customer: "Ann".to_owned(), lines: vec![line] };
/// assert_eq!(Order::RELATIONS.lines.name(), "lines");
/// # assert_eq!(order.lines.len(), 1);
/// ```
///
/// A field's name is the column's, without `r#`. A field's type may be whatever `postgres-types` can send and
/// read; enums, domains and composites come in by its derives.
///
/// # Versions, marks of deletion, expressions
///
/// ```
/// use batchkit::BatchModel;
///
/// #[derive(Debug, Clone, BatchModel)]
/// #[batch(table = "orders", new = "NewOrder")]
/// struct Order {
///     #[batch(key, on_insert = "nextval('order_numbers')")]
///     id: i64,
///     total: i64,
///     #[batch(version)]
///     version: i32,
///     #[batch(soft_delete)]
///     deleted_at: Option<std::time::SystemTime>,
///     #[batch(auto, on_insert = "current_user")]
///     created_by: String,
/// }
///
/// let new = NewOrder { total: 100 };
/// # let _ = new.total;
/// ```
///
/// An `auto` field that has an `on_insert` is left alone by an update of all fields; without `auto`, such an update
/// sets it to what the row has. If the table's own default of such a column is the very same expression, COPY can
/// write new rows; otherwise they are inserted by UNNEST, or through a staging table.
///
/// # What it makes
///
/// Implementations of `BatchModel`, `WriteRow`, `InsertRow`, `PatchRow` (with a key) and `ReadRow` (not for
/// `write_only`), and the `new` struct. Only named fields are columns, so that enums, unions, tuple structs and
/// unit structs are refused; so are type and const parameters, as a table has columns of one type each.
// `serde` too: the model's fields may carry what only their copies in the `new` form need.
#[proc_macro_derive(BatchModel, attributes(batch, serde))]
pub fn batch_model(input: TokenStream) -> TokenStream {
    expand::model(&parse_macro_input!(input as DeriveInput)).into()
}

/// Makes a struct a patch of a model: the fields of its key, which say which row, and the fields to change.
///
/// ```
/// use batchkit::{BatchModel, BatchPatch};
///
/// #[derive(BatchModel)]
/// #[batch(table = "products")]
/// struct Product {
///     #[batch(key)]
///     id: i64,
///     name: String,
///     price: i64,
///     note: Option<String>,
/// }
///
/// #[derive(BatchPatch)]
/// #[batch(model = "Product")]
/// struct NewPrice<'a> {
///     id: i64,
///     price: i64,
///     #[batch(field = "note")]
///     reason: &'a str,
/// }
/// # let _ = NewPrice { id: 1, price: 2, reason: "sale" };
/// ```
///
/// # On the struct
///
/// | `#[batch(…)]` | says |
/// |---|---|
/// | `model = "Product"` | The model, as a path. Required. The lifetimes of one that borrows are `'_`: `"Row<'_>"`. |
/// | `ignore_version` | The patch is written whatever version the stored row has. Without it, a patch of a model with a `version` needs that field. |
/// | `crate = "my::batchkit"` | Where batchkit is, if not at `::batchkit`. |
///
/// # On a field
///
/// | `#[batch(…)]` | says |
/// |---|---|
/// | `field = "price"` | The model's field, if this one is called otherwise. |
/// | `json`, `as = "i64"` | How the value is stored: as the model's field says it. |
/// | `skip` | The field is none of the model's. |
///
/// # What the compiler checks
///
/// That the model has these fields, all of its key and its `version` among them and none that is `computed`; and that their
/// types fit: the type of the model's field, a reference to it, `&str` for `String`, `&[T]` for `Vec<T>`, and
/// for an `Option` also the bare value.
#[proc_macro_derive(BatchPatch, attributes(batch))]
pub fn batch_patch(input: TokenStream) -> TokenStream {
    expand::patch(&parse_macro_input!(input as DeriveInput)).into()
}
