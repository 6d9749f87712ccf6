//! Where the columns of stored rows are in an answer, and of which types they are.
//!
//! What a statement answers is decoded by the types that the table's columns had when it was asked about. The server
//! tells the types anew when a statement is prepared: they are compared before it is run.

use std::sync::Arc;

use tokio_postgres::Statement;

use crate::error::{Error, Result};
use crate::wire::{ColumnType, base};

/// The columns of stored rows in an answer.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// How many columns are in front of them.
    pub(crate) first: usize,
    /// Their types.
    pub(crate) types: Arc<[ColumnType]>,
}

impl Shape {
    /// # Errors
    /// When the statement answers other types: the table has changed.
    pub(super) fn check(&self, statement: &Statement) -> Result<()> {
        let mut answered = statement.columns().iter().skip(self.first).map(|column| column.type_().oid());
        // The server tells the type below a domain.
        let is_known = self.types.iter().all(|ty| answered.next() == Some(base(ty.ty()).oid()));
        if is_known { Ok(()) } else { Err(Error::changed_table()) }
    }
}

/// A statement's text, and the stored rows that it answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'t> {
    pub(super) sql: &'t str,
    pub(super) shape: Option<&'t Shape>,
}

impl<'t> From<&'t str> for Text<'t> {
    fn from(sql: &'t str) -> Self {
        Text { sql, shape: None }
    }
}
