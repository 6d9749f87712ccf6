//! The tests and examples of batchkit, and the throw-away PostgreSQL that they run on. Not published.

pub mod nycflights13;
pub mod server;
