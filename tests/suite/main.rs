//! The contract of batchkit, on a real PostgreSQL: one server for the whole binary, a database per test.

mod common;

mod contract;
mod duplicates;
mod errors;
mod keys;
mod repository;
mod schema;
mod statements;
mod tables;
mod transaction;
mod types;
