//! What the server says about a table: one query per table, asked once and kept.

mod check;
mod query;
mod table;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use check::{check, refuse_incomplete};
pub(crate) use table::equal_by_bytes;
pub use table::{CheckConstraint, ForeignKey, Identity, RelationKind, Rights, Table, TableColumn, TableKey, Trigger};

use crate::error::Result;
use crate::model::Model;
use crate::session::Session;

/// Tables by schema and name, as the models write them.
type Tables = HashMap<(Option<&'static str>, &'static str), Arc<Table>>;

/// The tables that were asked about.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    tables: Mutex<Tables>,
}

impl Catalog {
    /// The table of `model`, asked for over `session` if it is not known yet.
    pub(crate) async fn table(&self, model: &Model, session: &mut Session<'_>) -> Result<Arc<Table>> {
        if let Some(table) = self.known(model) {
            return Ok(table);
        }
        let table = Arc::new(query::load(model, session).await?);
        self.lock().insert((model.schema, model.table), Arc::clone(&table));
        Ok(table)
    }

    /// The table of `model`, if it was asked for before.
    pub(crate) fn known(&self, model: &Model) -> Option<Arc<Table>> {
        self.lock().get(&(model.schema, model.table)).cloned()
    }

    /// Forgets all tables: the next call asks again.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        // A map of finished entries is whole even if another thread panicked while it held the lock.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
