//! `Repository<E>`: the repository pattern over [`batchkit`]'s bulk operations.
//!
//! A [`Repository`] is a concrete type over an object-safe [`RepositoryBackend`]: code that takes a
//! `&Repository<Order>` does not know whether PostgreSQL is behind it, through bulk or single statements,
//! or a double of the caller's own. Requests are plain values; their rows and keys are encoded only when a
//! backend asks for them.

mod backend;
mod calls;
mod one;
mod postgres;
mod reads;
mod repository;

pub use backend::{
    AddRequest, CountRequest, EntityStream, GetRequest, ListRequest, RemoveRequest, RepositoryBackend, UpdateRequest,
    UpsertRequest,
};
pub use calls::{Add, Count, Get, GetAligned, List, Remove, Update, Upsert};
pub use one::{Exists, GetOne};
pub use postgres::PostgresBackend;
pub use reads::Entities;
pub use repository::{Repository, RepositoryBuilder};
