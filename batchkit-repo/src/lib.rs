//! `Repository<E>`: the repository pattern over [`batchkit`]'s bulk operations.
//!
//! A [`Repository`] is a concrete type over an object-safe [`RepositoryBackend`]: code that takes a
//! `&Repository<Order>` does not know whether PostgreSQL is behind it, through bulk or single statements,
//! the in-memory twin of it, or a double of the caller's own. Requests are plain values; their rows and keys are
//! encoded only when a backend asks for them.
//!
//! | type | is |
//! |---|---|
//! | [`Repository`] | the stored entities of one type |
//! | [`Database`], [`Transaction`] | where repositories and transactions come from: PostgreSQL, or one in memory |
//! | [`Memory`] | the twin: a database in memory, for the unit tests of code that takes a `Database` or a `Repository` |
//! | [`RepositoryBackend`] | what a store of your own implements |

mod backend;
mod calls;
mod database;
mod memory;
mod one;
mod postgres;
mod reads;
mod repository;
mod transaction;
mod within;

pub use backend::{
    AddRequest, CountRequest, EntityStream, GetRequest, ListRequest, RemoveRequest, RepositoryBackend, UpdateRequest,
    UpsertRequest,
};
pub use calls::{Add, Count, Get, GetAligned, List, Remove, Update, Upsert};
pub use database::{Connection, Database};
pub use memory::{Memory, MemoryBackend, OnDelete, TableBuilder};
pub use one::{Exists, GetOne};
pub use postgres::PostgresBackend;
pub use reads::Entities;
pub use repository::{Repository, RepositoryBuilder};
pub use transaction::Transaction;
pub use within::{MemoryWithin, Within};
