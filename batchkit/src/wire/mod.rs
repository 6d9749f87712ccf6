//! Rows as bytes: the one encoding that every transport sends and every answer comes back in.
//!
//! A chunk is encoded once, in the form that the transport of most chunks sends as it is; what another one needs is
//! made from these bytes. Nothing above this floor knows the caller's types again until an answer is
//! decoded.

mod arrays;
mod below;
mod buffer;
mod builder;
mod check;
mod column_type;
mod columns;
mod decoded;
mod fault;
mod fields;
mod form;
mod read;
mod rows;
mod write;

pub(crate) use arrays::{Array, RowType, column_arrays, row_array, staged_rows};
pub(crate) use below::Below;
pub(crate) use builder::{RowsBuilder, put_field};
pub use column_type::ColumnType;
pub(crate) use column_type::base;
pub(crate) use decoded::{Decoder, Start, decoding};
pub use fault::{Fault, ReadFault, ReadReason};
pub(crate) use fields::RawFields;
pub(crate) use form::RowForm;
pub use read::RowReader;
pub(crate) use read::{Raw, Seen};
pub(crate) use rows::EncodedRows;
pub use write::{ColumnWriter, RowWriter};

#[cfg(test)]
mod properties;
