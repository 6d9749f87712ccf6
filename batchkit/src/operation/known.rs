//! A table as the calls of one model know it, kept from call to call: what the server says about it, what statements
//! say of it, and how each kind of call is done.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use super::route::Route;
use super::target::Target;
use super::verb::Verb;
use crate::catalog::{Catalog, Table, check};
use crate::config::Transport;
use crate::error::Result;
use crate::model::{Association, Model};
use crate::session::{Session, Ways};
use crate::source::Layout;
use crate::sql::{Form, TableSql};
use crate::wire::ColumnType;

/// A table as the calls of one model know it. When the table has changed, it is asked for anew, and this forgotten.
#[derive(Debug)]
pub(crate) struct Known {
    pub(super) model: &'static Model,
    pub(super) table: Arc<Table>,
    pub(super) sql: TableSql,
    /// The types to decode all columns of the model with.
    pub(super) types: Arc<[ColumnType]>,
    /// The types to decode its primary key with.
    key_types: Arc<[ColumnType]>,
    plans: Mutex<Vec<Arc<Plan>>>,
    routes: Mutex<Vec<Arc<Route>>>,
}

impl Known {
    fn new(model: &'static Model, table: Arc<Table>) -> Self {
        let columns = model.columns.iter().filter_map(|column| {
            let found = table.column(column.name)?;
            Some(ColumnType::new(found.ty.clone(), found.not_null, |ty| column.accepts(ty)))
        });
        let (sql, types): (_, Arc<[ColumnType]>) = (TableSql::known(model, &table), columns.collect());
        let key_types = sql.key.iter().filter_map(|&column| types.get(column).cloned()).collect();
        Known { model, table, sql, types, key_types, plans: Mutex::default(), routes: Mutex::default() }
    }

    /// The types of some of them.
    pub(super) fn types_of(&self, columns: &[usize]) -> Vec<ColumnType> {
        columns.iter().filter_map(|&column| self.types.get(column).cloned()).collect()
    }

    /// The types of what is answered of stored rows.
    pub(super) fn answered_types(&self, form: Form) -> Arc<[ColumnType]> {
        Arc::clone(if form == Form::Keys { &self.key_types } else { &self.types })
    }

    /// How calls of this kind are done.
    pub(super) fn plan(&self, kind: Kind<'_>) -> Result<Arc<Plan>> {
        /// Programs have fewer kinds of calls, unless they choose the fields of each anew.
        const MOST: usize = 64;
        let mut plans = lock(&self.plans);
        if let Some(plan) = plans.iter().find(|plan| plan.is_of(&kind)) {
            return Ok(Arc::clone(plan));
        }
        let target = Target { known: self, columns: kind.columns, writes: kind.verb.writes() };
        let ways = target.ways(&**kind.verb, kind.asked, kind.form)?;
        let forms = ways.forms(kind.columns.len());
        let plan = Arc::new(Plan {
            layout: Arc::new(Layout { forms, ..target.layout(&**kind.verb, Vec::new()) }),
            ways: Arc::new(ways),
            verb: Arc::clone(kind.verb),
            columns: kind.columns.to_vec(),
            asked: kind.asked,
            form: kind.form,
        });
        if plans.len() == MOST {
            plans.remove(0);
        }
        plans.push(Arc::clone(&plan));
        Ok(plan)
    }

    /// How the rows of a relation of this table's are asked for; `table` knows the tables.
    pub(super) fn route<'k>(
        &self,
        association: &'static Association,
        only_live: bool,
        table: impl Fn(&'static Model) -> Result<&'k Known>,
    ) -> Result<Arc<Route>> {
        let mut routes = lock(&self.routes);
        if let Some(route) = routes.iter().find(|route| route.is_of(association, only_live)) {
            return Ok(Arc::clone(route));
        }
        let route = Arc::new(Route::new(self, association, only_live, table)?);
        routes.push(Arc::clone(&route));
        Ok(route)
    }
}

/// The tables that were asked about, as models know them.
#[derive(Debug, Default)]
pub(crate) struct KnownTables {
    catalog: Catalog,
    /// By the names of their models' structs: a constant has no address of its own.
    known: Mutex<HashMap<&'static str, Arc<Known>, RandomState>>,
}

impl KnownTables {
    /// The table of `model`, if it was asked for before, and the model found to match it.
    pub(super) fn get(&self, model: &'static Model) -> Option<Arc<Known>> {
        lock(&self.known).get((model.type_name)()).filter(|known| known.model.is(model)).cloned()
    }

    /// The same, asked for over `session` if it is not known yet.
    pub(super) async fn load(&self, model: &'static Model, session: &mut Session<'_>) -> Result<Arc<Known>> {
        let table = self.catalog.table(model, session).await?;
        check(model, &table).inspect_err(|_| self.clear())?;
        let known = Arc::new(Known::new(model, table));
        lock(&self.known).insert((model.type_name)(), Arc::clone(&known));
        Ok(known)
    }

    /// Forgets all tables: the next call asks again.
    pub(super) fn clear(&self) {
        self.catalog.clear();
        lock(&self.known).clear();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Entries are made before they are put in: all are whole, also if another thread panicked meanwhile.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What decides how a call is done.
#[derive(Clone, Copy)]
pub(super) struct Kind<'k> {
    pub(super) verb: &'k Arc<dyn Verb>,
    /// The columns that are sent, in their order.
    pub(super) columns: &'k [usize],
    /// The transport that was asked for.
    pub(super) asked: Transport,
    /// What the statement has to answer.
    pub(super) form: Form,
}

/// How calls of one kind are done.
#[derive(Debug)]
pub(super) struct Plan {
    verb: Arc<dyn Verb>,
    columns: Vec<usize>,
    asked: Transport,
    form: Form,
    pub(super) ways: Arc<Ways>,
    /// How rows without others below them are encoded.
    pub(super) layout: Arc<Layout>,
}

impl Plan {
    fn is_of(&self, kind: &Kind<'_>) -> bool {
        (self.asked, self.form) == (kind.asked, kind.form)
            && self.columns == kind.columns
            && self.verb.is_same(&**kind.verb)
    }
}
