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
//! | source | [`Rows`], [`Keys`] | encodes rows once, with the types that the catalogue tells, into owned bytes that lie as the transport of most chunks sends them (rows of COPY, elements of an array of rows, or columns); another transport makes its own form of them, and behind this step nothing is generic. Input rows of one key are found here, before anything is sent, by their bytes where the server's equality is the bytes', else by asking the server |
//! | strategy | [`ExecutionStrategy`] | divides the rows into chunks, each a transaction (or a savepoint in the caller's), and says which run when; what is too much for the server is cut into smaller ones. How large chunks are ([`BatchSize`]) may follow the time that those before took. Of chunks that go one after the other, the next one is made ready while the server works on one, and its BEGIN and its rows leave with that one's COMMIT; it is committed when it is known that the one before is in |
//! | retry | [`ErrorAnswer`] | decides by SQLSTATE what is done about an error. What became of a COMMIT whose answer was lost is asked of the server, after its backend was ended, before anything is repeated. A table that changed is looked at anew |
//! | session | [`Within`], [`DatabaseSettings`] | a connection for one chunk: begin, settings, work, commit. A dropped call cuts no chunk short: it goes on in a task of its own; a connection that did not end its transaction is never given back, and a read that nobody waits for is ended on the server. Bad rows are found here |
//! | transport | [`Transport`] | sends a chunk as COPY, as one array of rows, as one array per column, through a temporary table, or row by row. Each verb has one statement; it reads its rows from whatever the transport makes. How each kind of call on a table is done is worked out once and kept. It may have other ways for chunks of few rows, and where the way of many turns out not to lead there: rows that come back go by COPY only as long as all that will be stored of them is known before they are sent |
//! | books | [`Report`], [`Outcome`], [`Tracker`] | one outcome per row. Each chunk books what became of it in its own task, so they are true also of a call that was dropped. Answered rows find their input by ordinal or by the bytes of their key, never by the order in which they come, and rows that are read are decoded as they come; what does not add up is an error, and the chunk is rolled back |
//!
//! The caller's own code has two places: [`BatchOperations::pre_process`] makes the rows at the source, and
//! [`Call::post_process`] works up what the books have of stored rows. Under
//! [`ExecutionStrategy::Pipelined`] both run beside the chunk that is being written.
//!
//! A verb adds its SQL and its answer, nothing else. [`Call`] is the builder that each of them returns.
//!
//! Plain reads take no rows, so they need no chunks: [`List`] (all rows of a [`Filter`] in an [`Order`], a [`Page`] of
//! them, or a [`RowStream`]), [`Count`] and [`Exists`]. Their text depends on the shape of the filter alone, and
//! what is encoded and decoded is the same as for the verbs.
//!
//! # What is checked before anything is written
//!
//! The first use of a table asks the server about it, once ([`BatchOperations::describe`]), and a model that
//! does not match is refused with everything that differs ([`BatchOperations::check_schema`]): columns,
//! types, nullability, and that each declared key has a real unique index. No table of yours is ever altered.
//!
//! # Relations and graphs
//!
//! What a row is related to is a field of the type [`Related`], which a read fills in when it is named:
//! `products.batch_get(ids).load_relations((r.category, r.reviews.then(Review::RELATIONS.author)))`. The rows of a
//! level ask all at once, each key once; what comes back is shared. A row with others below it (`new = "NewLine"` on a
//! `has_many`) is inserted with them: a chunk has whole graphs, and its tables are written one after the other, each
//! row with the key of the one above. Where keys come from a sequence and no rows have to come back, or only keys, they
//! are drawn first, and everything goes by COPY. The words for all this are in the derive's documentation.
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
//! | any SQLSTATE, at the opening, at the statement or at COMMIT | its row of the table in [`ErrorAnswer`] | `faults::every_sqlstate_gets_its_answer`, `limits::a_setting_that_the_server_refuses_blames_no_row` |
//! | a server or a pooler refuses a transaction | nothing is sent behind a connection's first one of its kind; later, rows that were on their way are [`ErrorKind::CommitUnknown`], and sent no second time | `faults::a_transaction_that_is_refused_writes_no_row_twice` |
//! | a connection forgets what it has prepared (`DISCARD ALL`), or the server gives no names to statements | noticed once, EXACT | `opening::connections_may_forget_their_statements`, `opening::a_server_may_refuse_names` |
//! | a deadlock with a rival; none among the workers of a call | repeated, EXACT | `rivals::a_deadlock_with_a_rival_is_repeated`, `rivals::the_workers_of_a_call_never_deadlock`, `rivals::calls_that_write_the_same_rows_get_through` |
//! | a serialization failure, at the statement or at COMMIT | repeated; after `retry_count` times an error | `rivals::a_serialization_failure_is_repeated_and_then_told` |
//! | a lock timeout | the same | `faults::a_lock_timeout_is_repeated_and_then_told`, `limits::the_lock_timeout_of_the_settings_holds` |
//! | the disk is full | the call stops and blames no row; the rest can be sent later | `limits::a_full_disk_stops_the_call_and_blames_no_row` |
//! | the server has fewer connections than there are workers | fewer workers | `limits::a_limit_of_one_connection_makes_fewer_workers` |
//! | a pool that is small, exhausted or closed, also under way | waited for; an error, and what is in is told | `faults::a_small_pool_is_waited_for_and_a_closed_one_is_told`, `limits::a_pool_that_is_exhausted_is_waited_for`, `limits::a_pool_that_is_closed_under_way_stops_the_call` |
//! | a connection goes silent; the backend is frozen | an error within the deadline; EXACT, or [`ErrorKind::CommitUnknown`] where it stays frozen in COMMIT | `faults::a_silent_connection_fails_within_the_deadline`, `limits::a_frozen_backend_fails_within_the_deadline` |
//! | a link of single bytes | slow, EXACT | `faults::a_trickling_connection_is_slow_and_exact` |
//! | the call is dropped at any poll, at any message of its chunks, waiting for a connection, and cut afterwards | whole chunks, a clean pool, and a [`Tracker`] that tells each row's outcome | `drops` |
//! | the call is dropped in the caller's transaction | it can be rolled back; its connection is as good as before | `drops::*_in_the_callers_transaction_can_be_dropped_at_every_poll` |
//! | the timeout passes while the server works, or a read is dropped | the work ends on the server too | `faults::a_timeout_ends_the_work_on_the_server`, `limits::a_read_that_nobody_waits_for_ends_on_the_server`, `limits::a_read_of_which_nothing_was_heard_ends_on_the_server` |
//! | many timeouts at once | no bystander is disturbed | `limits::a_storm_of_timeouts_disturbs_no_bystander` |
//! | a statement timeout, too little memory, a statement too complex | the chunk is halved until it fits | `limits::what_is_too_much_for_the_server_is_halved` |
//! | the table changes between calls, or between the chunks of a call | caches are cleared, once, or an error that tells what is in | `faults::a_table_that_changes_between_calls`, `rivals::a_table_that_changes_between_the_chunks_of_a_call`, `rivals::a_table_that_is_made_anew_between_the_chunks_of_a_call`, `rivals::an_enum_that_is_made_anew_is_noticed_once` |
//! | a trigger, a rule or row security drops a row, or a trigger changes its key | told as skipped, missing or turned away, never as written; an error where a row would be lost | `rivals::rows_that_the_server_leaves_out_are_told_so`, `tables::a_key_that_only_a_trigger_knows`, `tables::a_row_that_finds_no_input_is_an_error_and_not_written`, `generated::a_trigger_that_is_made_between_calls_loses_no_row` |
//! | a rival changes a row after it was read, or while the call waits for it | with a `version` it is not overwritten, and told: [`ErrorKind::Stale`] | `versions::a_rival_that_is_not_committed_yet_is_waited_for_and_then_seen`, `versions::of_rivals_with_one_version_exactly_one_wins_each_row` |
//! | the backend is killed, or the connection cut at any message, in the middle of a stream | an error behind rows that are right; never an early end | `streams::a_killed_backend_ends_the_stream_with_an_error`, `streams::a_cut_stream_is_never_silently_short` |
//! | a stream is dropped at any poll, or while the server works | the work ends on the server, a clean pool | `streams::a_stream_dropped_anywhere_leaves_nothing_behind`, `streams::a_stream_dropped_while_the_server_works_ends_the_work` |
//! | a slow reader of a stream | the server waits; two fetches are held | `streams::a_slow_reader_holds_the_server_back` |
//! | a deferred constraint | its rows are found before COMMIT | `rejects::every_way_turns_the_same_rows_away` |
//! | a COMMIT fails with which the next chunk has left | the next chunk is taken back, and has its turn when the first one is in: none, if that fails | `riding` |
//!
//! # Input
//!
//! | input | what happens | shown by |
//! |---|---|---|
//! | NUL in a text, `\u0000` in jsonb, a text that is too long for `varchar(n)` | that row is refused, by every verb and transport; nothing is cut | `input::a_value_that_is_refused_takes_no_other_row_with_it` |
//! | array, enum, composite, domain and jsonb columns | come back equal, by every transport | `types::every_type_comes_back_equal` |
//! | rows of one key | one is written, by the declared [`DuplicatePolicy`]; an error by default | `duplicates::the_policy_decides_by_the_servers_equality` |
//! | keys that are equal only to the server (citext, ICU collations, char(n), -0.0, NaN, jsonb) or that the column rounds into one | are one key | the same, and `input::equal_only_to_the_server::*` |
//! | NULL in a conflict key | that row is refused; one key where the index says `NULLS NOT DISTINCT` | `duplicates::a_null_in_the_conflict_key_is_refused`, `input::a_null_in_the_conflict_key_is_one_key_where_the_index_says_so` |
//! | a key whose index is partial, deferrable, of expressions or of other columns | an error before anything is written | `input::an_index_that_is_no_conflict_target_is_told_beforehand` |
//! | a second unique key that an upsert breaks | that row is turned away | `rejects::every_way_turns_the_same_rows_away` |
//! | numeric NaN and infinity, dates that are infinite or out of range, 24:00:00, read into a type without them | [`ErrorKind::Decode`]; what was written is in, and the error has the report. BC dates are read exactly | `input::exact_or_refused::*` |
//! | nanoseconds, digits that the column rounds | kept as the server keeps them: a second run changes nothing | `input::nanoseconds_are_no_change`, `unchanged::*` |
//! | a row too large for a message | refused before it is sent, with the limit | `errors::a_row_that_is_too_large_for_a_message_is_refused` |
//! | rows of 10 KB, rows of 10 MB | chunks are cut by bytes, too | `input::the_byte_budget_cuts_chunks`, `input::rows_of_ten_megabytes_are_rows` |
//! | no row, one row, a million rows | all fine | `contract::an_empty_batch_sends_nothing`, `contract::a_million_rows_go_in_and_come_back_exactly` |
//! | a stream of rows: without an end, with an error in it, one that falls silent | no more rows are taken than chunks need; [`ErrorKind::Input`], and what was written before; the deadline ends the waiting, and a dropped call keeps what is in | `stream_input::*` |
//! | keys that the server makes: identities, sequences of any step, cache and owner, defaults that the column rounds, triggers; in partitions too | come back on the right rows, and those that a trigger drops are told | `generated::*` |
//! | identities and generated columns | left to the server; a key of the caller's own is stored as it is | `input::generated_columns_and_identities_are_left_to_the_server`, `tables::an_identity_*` |
//! | row security, views, rules | INSERT where COPY would be refused or would pass them by | `tables::row_security_and_views_take_inserts_where_copy_cannot_go`, `input::rules_are_not_passed_by` |
//! | names with quotes, of 63 bytes; a temporary table of the same name | are names; not written to where the model names its schema | `tables::hostile_names_are_names`, `input::names_of_63_bytes_are_names`, `tables::a_temporary_table_of_the_same_name_is_not_written_to` |
//! | values in messages | no error, attribute or event holds one | `errors::*`, `spans::*` |
//!
//! # What can be seen
//!
//! A [`Report`] tells of one call, [`BatchOperations::metrics`] of all together, [`Call::track`] of one that runs,
//! [`Call::error_callback`] of each error. Through `tracing` a call is a span, `batchkit.call`, in it each chunk is
//! one, in it each try, with the attribute names of OpenTelemetry's stable conventions for databases;
//! [`Call::log_progress`] adds a line for each chunk.
//!
//! On the server, each transaction of batchkit's own holds one shared advisory lock with a random key of 64 bits: by
//! it the transaction is found and ended when nobody waits for its answer any longer.
//!
//! # Features
//!
//! `derive` (on by default), and `chrono`, `jiff`, `rust_decimal`, `time`, `uuid` for columns of these
//! libraries' types.

pub mod backend;
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
mod order;
mod plan;
mod reject;
mod relation;
mod report;
mod retry;
mod session;
mod settings;
mod source;
mod sql;
mod stored;
mod strategy;
pub mod wire;

pub use books::Tracker;
pub use catalog::{CheckConstraint, ForeignKey, Identity, RelationKind, Rights, Table, TableColumn, TableKey, Trigger};
pub use config::{BatchConfig, BatchSize, DuplicatePolicy, ExecutionStrategy, OnRowError, Transport};
pub use error::{Error, ErrorKind, Result};
pub use filter::{
    Comparison, Expression, Filter, FilterValue, FilterValues, NamedField, Operand, OrderedColumn, RawSql, TextColumn,
};
pub use metrics::{BatchMetrics, Metrics};
pub use model::{
    BatchModel, InsertRow, KeyFor, PatchRow, ReadKey, ReadRow, Related, RelationPaths, Relations, WriteRow,
};
pub use observe::ErrorContext;
pub use operation::{
    Aligned, Answer, BatchOperations, BatchOperationsBuilder, Call, Count, CountVerb, Delete, Exists, Explanation, Get,
    Insert, KeyOnly, List, Page, Plain, PostProcess, PreProcess, Reported, Returned, Returning, RowChunks, RowStream,
    Update, Upsert, Upserted, WholeRow, WithRelations, WithReport,
};
pub use order::{Cursor, Order, OrderBy, OrderColumn, Position};
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
    pub use crate::relation::{Branched, to_many, to_one};
    pub use crate::source::ChildWriter;
    pub use crate::wire::{ColumnWriter, Fault, ReadFault, RowReader, RowWriter};
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
