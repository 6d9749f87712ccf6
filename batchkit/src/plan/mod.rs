//! What to do, decided before it is done: how rows travel, and which of equal rows is used. No I/O.

mod by_rows;
mod duplicates;
mod transport;

pub(crate) use by_rows::ByRows;
pub(crate) use duplicates::{Pairs, are_ascending, resolve, same_bytes};
pub(crate) use transport::{Choice, Facts, Size, by_rows, choose};
