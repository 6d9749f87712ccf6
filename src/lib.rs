//! The tests and examples of batchkit, and the throw-away PostgreSQL that they run on.
