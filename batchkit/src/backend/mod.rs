//! Raw access to what is written and read, for stores that are not PostgreSQL.
//!
//! A repository's backend is handed [`Rows`](crate::Rows) and [`Keys`](crate::Keys) whose own types are forgotten.
//! What it needs to do the same as PostgreSQL with them is here, and nothing else: the types that the fields have
//! without a server, the rows as raw fields in their binary form, the names of a call resolved, the books of a
//! call, and the way back from raw fields to the caller's structs. `batchkit-repo`'s in-memory twin is made of
//! these; so can a double of your own be.
//!
//! | function | does |
//! |---|---|
//! | [`declared_types`] | the types that a model's columns have when no server is asked |
//! | [`encode_rows`], [`encode_keys`], [`encode_value`] | the caller's values as raw fields |
//! | [`decode`] | a struct out of raw fields |
//! | [`resolve_update`], [`resolve_upsert`] | which columns tell a row, and which are set |
//! | [`Batch`] | the rows of a call in chunks as its settings say, and the books of what became of them |
//! | [`RawBelow`] | rows of a graph that are inserted below others |
//! | [`load_relations`], [`load_graph`] | the relations of rows, out of a store of [`RelatedRows`] |
//! | [`ErrorBuilder`] | errors that look like those of the server |
//!
//! ```
//! use batchkit::{BatchModel, Rows, backend};
//!
//! #[derive(Debug, PartialEq, BatchModel)]
//! #[batch(table = "products")]
//! struct Product {
//!     #[batch(key)]
//!     id: i64,
//!     sku: String,
//! }
//!
//! # fn main() -> batchkit::Result<()> {
//! let types = backend::declared_types(Product::MODEL)?;
//! let rows = Rows::insertable([Product { id: 1, sku: "a".to_owned() }]);
//! let raw = backend::encode_rows(rows, &types)?;
//! assert_eq!(raw[0][0].as_deref(), Some(1i64.to_be_bytes().as_slice()));
//! assert_eq!(backend::decode::<Product>(&raw[0], &types)?, Product { id: 1, sku: "a".to_owned() });
//! # Ok(()) }
//! ```

mod batch;
mod encode;
mod failure;
mod graph;
mod names;
mod related;
mod types;

pub use batch::{Batch, RawChunk};
pub use encode::{FieldValue, RawRow, decode, encode_keys, encode_rows, encode_value};
pub use failure::{ErrorBuilder, check_config};
pub use graph::{RawBelow, RawGraph};
pub use names::{Resolved, resolve_update, resolve_upsert};
pub use related::{RelatedKeys, RelatedRows, load_graph, load_relations};
pub use types::{array_of, declared_type, declared_types};
