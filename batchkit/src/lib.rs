//! Bulk insert, update, upsert, delete and get for PostgreSQL, derived from your structs.
//!
//! ```no_run
//! use batchkit::{BatchModel, BatchOperations};
//!
//! #[derive(Debug, Clone, BatchModel)]
//! #[batch(table = "products", new = "NewProduct")]
//! struct Product {
//!     #[batch(key, auto)]
//!     id: i64,
//!     #[batch(unique)]
//!     sku: String,
//!     price: i64,
//! }
//!
//! # async fn run(pool: deadpool_postgres::Pool) -> batchkit::Result<()> {
//! let products = BatchOperations::<Product>::new(pool);
//! let new = ["a", "b"].map(|sku| NewProduct { sku: sku.to_owned(), price: 100 });
//!
//! let inserted: u64 = products.batch_insert(&new).await?;
//! let mut stored: Vec<Product> = products.batch_get_by(Product::KEYS.sku, ["b", "a"]).await?;
//! stored.iter_mut().for_each(|product| product.price += 10);
//! let updated: u64 = products.batch_update(&stored).fields(Product::FIELDS.price).await?;
//! let upserted = products.batch_upsert(&new).on(Product::FIELDS.sku).if_changed().await?;
//! println!("{} new, {} changed, {} as they were", upserted.inserted, upserted.updated, upserted.unchanged);
//! let deleted: u64 = products.batch_delete(stored.iter().map(|product| product.id)).await?;
//! # Ok(()) }
//! ```
//!
//! # The shape of it
//!
//! A caller hands over typed rows and is told, for each of them, what became of it. Between the two there
//! is one straight way, which every verb takes:
//!
//! ```text
//! rows ─► source ─► strategy ─► session ─► transport ─► bytes on the socket
//!                                                            │
//! report ◄────────────── ledger, in input order ◄────────────┘
//! ```
//!
//! | step | type | does |
//! |---|---|---|
//! | rows | [`InsertRow`], [`PatchRow`], [`KeyFor`] | what is written is not what is read: a row type says which columns it gives |
//! | source | [`Rows`], [`Keys`] | encodes rows once, with the types that the catalogue tells, into owned bytes in the form of binary COPY; behind this step nothing is generic. Input rows of one key are found here, before anything is sent, by their bytes where the server's equality is the bytes', else by asking the server |
//! | strategy | [`ExecutionStrategy`] | divides the rows into chunks, each a transaction (or a savepoint in the caller's) |
//! | session | [`Within`] | a connection for one chunk: begin, work, commit. A chunk runs in a task of its own, which a dropped call does not cut short; a connection that did not end its transaction is never given back |
//! | transport | [`Transport`] | sends a chunk as COPY, as one array of rows, as one array per column, through a temporary table, or row by row. Each verb has one statement; it reads its rows from whatever the transport makes |
//! | ledger | [`Report`], [`Outcome`] | one outcome per row. Answered rows find their input by ordinal or key, never by the order in which they come; what does not add up is an error, and the chunk is rolled back |
//!
//! A verb adds its SQL and its answer, nothing else. [`Call`] is the builder that each of them returns.
//!
//! # What is checked before anything is written
//!
//! The first use of a table asks the server about it, once ([`BatchOperations::describe`]), and a model that
//! does not match is refused with everything that differs ([`BatchOperations::check_schema`]): columns,
//! types, nullability, and that each declared key has a real unique index. No table of yours is ever altered.
//!
//! # Features
//!
//! `derive` (on by default), and `chrono`, `jiff`, `rust_decimal`, `time`, `uuid` for columns of these
//! libraries' types.

mod catalog;
mod config;
mod error;
mod filter;
mod ledger;
mod metrics;
pub mod model;
mod observe;
mod operation;
mod plan;
mod report;
mod retry;
mod session;
mod source;
mod sql;
mod strategy;
pub mod wire;

pub use catalog::{CheckConstraint, ForeignKey, Identity, RelationKind, Rights, Table, TableColumn, TableKey, Trigger};
pub use config::{BatchConfig, BatchSize, DuplicatePolicy, ExecutionStrategy, Transport};
pub use error::{Error, ErrorKind, Result};
pub use filter::Filter;
pub use metrics::{BatchMetrics, Metrics};
pub use model::{BatchModel, InsertRow, KeyFor, PatchRow, ReadRow, WriteRow};
pub use observe::ErrorContext;
pub use operation::{
    Aligned, Answer, BatchOperations, BatchOperationsBuilder, Call, CountVerb, Delete, Explanation, Get, Insert, Plain,
    Reported, Returning, Update, Upsert, Upserted,
};
pub use report::{Counts, Outcome, Report};
pub use retry::Answer as ErrorAnswer;
pub use session::Within;
pub use source::{Keys, Rows};

#[cfg(feature = "derive")]
pub use batchkit_derive::{BatchModel, BatchPatch};

/// What generated code names. Not part of the public API.
#[doc(hidden)]
pub mod __private {
    pub use serde;

    pub use crate::model::*;
    pub use crate::wire::{ColumnWriter, Fault, ReadFault, RowReader};
    use postgres_types::Type;

    /// Whether a JSON document can be sent as `ty`.
    pub fn is_json(ty: &Type) -> bool {
        matches!(*ty, Type::JSON | Type::JSONB)
    }

    /// SQL NULL is read as JSON's `null`; whether the field takes that, its value tells.
    pub fn always(_: &Type) -> bool {
        true
    }
}
