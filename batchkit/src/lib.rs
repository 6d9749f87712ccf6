//! Bulk insert, update, upsert, delete and get for PostgreSQL, derived from your structs.

mod catalog;
mod config;
mod error;
mod filter;
mod ledger;
pub mod model;
mod operation;
mod plan;
mod report;
mod session;
mod source;
mod sql;
mod strategy;
pub mod wire;

pub use catalog::{CheckConstraint, ForeignKey, Identity, RelationKind, Rights, Table, TableColumn, TableKey, Trigger};
pub use config::{BatchConfig, BatchSize, DuplicatePolicy, ExecutionStrategy, Transport};
pub use error::{Error, ErrorKind, Result};
pub use filter::Filter;
pub use model::{BatchModel, InsertRow, KeyFor, PatchRow, ReadRow, WriteRow};
pub use operation::{
    Aligned, Answer, BatchOperations, BatchOperationsBuilder, Call, CountVerb, Delete, Explanation, Get, Insert, Plain,
    Reported, Returning, Update, Upsert, Upserted,
};
pub use report::{Counts, Outcome, Report};
pub use session::Within;
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

    /// Whether the stored form of a `#[batch(as = "…")]` field can be sent as `ty`.
    pub fn writes_as<U, T: Convert<U, Via>, Via>(ty: &Type) -> bool {
        <T::Stored as ToColumn>::writes(ty)
    }

    /// Whether the stored form of a `#[batch(as = "…")]` field can be read from `ty`.
    pub fn reads_as<U, T: Convert<U, Via>, Via>(ty: &Type) -> bool {
        <T::Stored as FromColumn>::reads(ty)
    }

    /// Whether the stored form of a `#[batch(as = "…")]` field can hold NULL.
    pub fn nullable_as<U, T: Convert<U, Via>, Via>(ty: &Type) -> bool {
        <T::Stored as FromColumn>::nullable(ty)
    }
}
