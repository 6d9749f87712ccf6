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
//! rows ─► source ─► strategy ─► retry ─► session ─► transport ─► bytes on the socket
//!                                                                     │
//! report ◄──────────────────── books, in input order ◄────────────────┘
//! ```
//!
//! | step | type | does |
//! |---|---|---|
//! | rows | [`InsertRow`], [`PatchRow`], [`KeyFor`] | what is written is not what is read: a row type says which columns it gives |
//! | source | [`Rows`], [`Keys`] | encodes rows once, with the types that the catalogue tells, into owned bytes in the form of binary COPY; behind this step nothing is generic. Input rows of one key are found here, before anything is sent, by their bytes where the server's equality is the bytes', else by asking the server |
//! | strategy | [`ExecutionStrategy`] | divides the rows into chunks, each a transaction (or a savepoint in the caller's), and says which run when; what is too much for the server is cut into smaller ones |
//! | retry | [`ErrorAnswer`] | decides by SQLSTATE what is done about an error. What became of a COMMIT whose answer was lost is asked of the server, after its backend was ended, before anything is repeated. A table that changed is looked at anew |
//! | session | [`Within`], [`DatabaseSettings`] | a connection for one chunk: begin, settings, work, commit. A chunk runs in a task of its own, which a dropped call does not cut short; a connection that did not end its transaction is never given back. Bad rows are found here |
//! | transport | [`Transport`] | sends a chunk as COPY, as one array of rows, as one array per column, through a temporary table, or row by row. Each verb has one statement; it reads its rows from whatever the transport makes |
//! | books | [`Report`], [`Outcome`], [`Tracker`] | one outcome per row. Each chunk books what became of it in its own task, so they are true also of a call that was dropped. Answered rows find their input by ordinal or key, never by the order in which they come; what does not add up is an error, and the chunk is rolled back |
//!
//! The caller's own code has two places: [`BatchOperations::pre_process`] makes the rows at the source, and
//! [`Call::post_process`] works up what the books have of stored rows. Under
//! [`ExecutionStrategy::Pipelined`] both run beside the chunk that is being written.
//!
//! A verb adds its SQL and its answer, nothing else. [`Call`] is the builder that each of them returns.
//!
//! # What is checked before anything is written
//!
//! The first use of a table asks the server about it, once ([`BatchOperations::describe`]), and a model that
//! does not match is refused with everything that differs ([`BatchOperations::check_schema`]): columns,
//! types, nullability, and that each declared key has a real unique index. No table of yours is ever altered.
//!
//! # Faults
//!
//! EXACT: every row is applied once or named in the report, the counts add up, and no connection goes back
//! to the pool with a transaction open. The tests are in `tests/suite`.
//!
//! | fault | promised | shown by |
//! |---|---|---|
//! | the backend is killed in the middle of a chunk | repeated, EXACT | `faults::a_killed_backend_is_survived` |
//! | the connection is cut at any message, either way: COMMIT lost, its answer lost; again while that is looked up | EXACT; each bad row is turned away once | `cuts::*_at_every_cut`, `cuts::an_insert_is_exact_at_every_two_cuts` |
//! | a frozen connection comes back later | its transaction was ended before the repeat, EXACT | `late::*_is_fenced` |
//! | the server crashes | acknowledged chunks are there; one that cannot be told is [`ErrorKind::CommitUnknown`] | `crashes::acknowledged_chunks_are_there_after_every_crash` |
//! | deadlock, serialization failure, lock timeout, any other SQLSTATE, at the statement or at COMMIT | its row of the table in [`ErrorAnswer`] | `faults::every_sqlstate_gets_its_answer`, `faults::a_lock_timeout_is_repeated_and_then_told` |
//! | fewer connections than workers; a pool that is closed | waited for; an error | `faults::a_small_pool_is_waited_for_and_a_closed_one_is_told` |
//! | a connection goes silent | an error within the deadline, and EXACT | `faults::a_silent_connection_fails_within_the_deadline` |
//! | a link of single bytes | slow, EXACT | `faults::a_trickling_connection_is_slow_and_exact` |
//! | the call is dropped at any poll, at any message of its chunks, waiting for a connection, and cut afterwards | whole chunks, a clean pool, and a [`Tracker`] that tells each row's outcome | `drops` |
//! | the call is dropped in the caller's transaction | it can be rolled back; its connection is as good as before | `drops::*_in_the_callers_transaction_can_be_dropped_at_every_poll` |
//! | the timeout passes while the server works | the work ends on the server too | `faults::a_timeout_ends_the_work_on_the_server` |
//! | the table changes between calls | caches are cleared, or an error that writes nothing | `faults::a_table_that_changes_between_calls` |
//! | a trigger drops a row, or changes its key | told as skipped; an error where a row would be lost | `tables::a_key_that_only_a_trigger_knows`, `tables::a_row_that_finds_no_input_is_an_error_and_not_written` |
//! | a deferred constraint | its rows are found before COMMIT | `rejects::every_way_turns_the_same_rows_away` |
//!
//! # Features
//!
//! `derive` (on by default), and `chrono`, `jiff`, `rust_decimal`, `time`, `uuid` for columns of these
//! libraries' types.

mod books;
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
mod reject;
mod report;
mod retry;
mod session;
mod settings;
mod source;
mod sql;
mod strategy;
pub mod wire;

pub use books::Tracker;
pub use catalog::{CheckConstraint, ForeignKey, Identity, RelationKind, Rights, Table, TableColumn, TableKey, Trigger};
pub use config::{BatchConfig, BatchSize, DuplicatePolicy, ExecutionStrategy, OnRowError, Transport};
pub use error::{Error, ErrorKind, Result};
pub use filter::Filter;
pub use metrics::{BatchMetrics, Metrics};
pub use model::{BatchModel, InsertRow, KeyFor, PatchRow, ReadRow, WriteRow};
pub use observe::ErrorContext;
pub use operation::{
    Aligned, Answer, BatchOperations, BatchOperationsBuilder, Call, CountVerb, Delete, Explanation, Get, Insert, Plain,
    PostProcess, PreProcess, Reported, Returning, Update, Upsert, Upserted, WithReport,
};
pub use reject::{Reject, RejectKey};
pub use report::{Counts, Outcome, PostFailure, Report};
pub use retry::Answer as ErrorAnswer;
pub use session::Within;
pub use settings::{DatabaseSettings, IsolationLevel, SynchronousCommit};
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
