//! The contract of batchkit, on a real PostgreSQL: one server for the whole binary, a database per test.

#![allow(clippy::unwrap_used, reason = "a test that fails here has failed")]
#![allow(clippy::single_range_in_vec_init, reason = "rows are told as ranges, also one")]
#![allow(clippy::needless_borrows_for_generic_args, reason = "references are a form that is tested")]

mod by_key;
mod common;

mod contract;
mod crashes;
mod cuts;
mod deeds;
mod drops;
mod duplicates;
mod elsewhere;
mod errors;
mod faults;
mod foretold;
mod generated;
mod graph;
mod habits;
mod input;
mod keys;
mod kinds;
mod late;
mod limits;
mod metrics;
mod model;
mod names;
mod opening;
mod parallel;
mod proxy;
mod reads;
mod rejects;
mod relations;
mod repository;
mod riding;
mod rivals;
mod round_trip;
mod round_trips;
mod schema;
mod spans;
mod stages;
mod statements;
mod stock;
mod stream_input;
mod streams;
mod tables;
mod transaction;
mod twin;
mod types;
mod unchanged;
mod versions;
mod visible;
