//! `batch_update`: each row, or each patch, to its own values.

use super::call::{Call, CountVerb, Sealed};
use super::verb::{Unique, Verb, default_set, given_version, positions, primary_key, refuse_unwritable};
use crate::catalog::Table;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{FieldNames, Fields, Model};
use crate::plan::Size;
use crate::report::{Counts, Outcome};
use crate::session::Reading;
use crate::sql::{self, Form, Source, TableSql, Written};

/// The verb of [`BatchOperations::batch_update`](crate::BatchOperations::batch_update).
#[derive(Debug, PartialEq)]
pub struct Update {
    given: &'static [usize],
    chosen: Option<Vec<FieldNames>>,
    if_changed: bool,
    columns: Vec<usize>,
    key: Vec<usize>,
    set: Vec<usize>,
    version: Option<usize>,
}

impl Update {
    pub(super) fn new(given: &'static [usize]) -> Self {
        Update {
            given,
            chosen: None,
            if_changed: false,
            columns: Vec::new(),
            key: Vec::new(),
            set: Vec::new(),
            version: None,
        }
    }
}

impl<M, A> Call<'_, M, Update, A> {
    /// Sets these fields only. Without it, whole rows set all fields but the key and the `auto` ones, and
    /// patches all that they have.
    ///
    /// Fields with `on_update` are set by their expression, unless they are named here. A `version` need not be named:
    /// it is compared wherever the rows give it, and counted on. Rows that are marked by `soft_delete` are found only
    /// if that field is among those that are set.
    pub fn fields(mut self, fields: impl Fields<M>) -> Self {
        self.verb.chosen = Some(fields.names());
        self
    }

    /// Leaves rows alone that have the wanted values already (`IS DISTINCT FROM`): no dead tuples, no
    /// triggers; they are reported as unchanged. A field with `on_update` does not count as a change.
    pub fn if_changed(mut self) -> Self {
        self.verb.if_changed = true;
        self
    }
}

impl Sealed for Update {}

impl CountVerb for Update {
    type Count = u64;

    fn count(counts: &Counts) -> u64 {
        counts.of(Outcome::Updated)
    }
}

impl Verb for Update {
    fn name(&self) -> &'static str {
        "UPDATE"
    }

    fn resolve(&mut self, model: &'static Model) -> Result<Vec<usize>> {
        self.key = primary_key(model)?.columns.to_vec();
        self.set = match &self.chosen {
            None => default_set(model, self.given, &self.key),
            Some(names) => positions(model, names)?,
        };
        refuse_unwritable(model, self.given, &self.set)?;
        if let Some(&key) = self.set.iter().find(|column| self.key.contains(column)) {
            let what = "is in the key, which tells which row is meant and cannot be updated";
            return Err(Error::new(ErrorKind::UnknownField, what)
                .in_table(model.display_name())
                .in_column(model.columns[key].name));
        }
        self.version = given_version(model, self.given, &mut self.set);
        if self.set.is_empty()
            && self.version.is_none()
            && model.columns.iter().all(|column| column.on_update.is_none())
        {
            return Err(Error::new(ErrorKind::Config, "there is no field to update").in_table(model.display_name()));
        }
        let needed = |c: &usize| self.key.contains(c) || self.set.contains(c) || self.version == Some(*c);
        self.columns = self.given.iter().copied().filter(needed).collect();
        Ok(self.columns.clone())
    }

    fn form(&self, asked: Form, _table: Option<&Table>) -> Form {
        // The number of rows written cannot tell unchanged and stale rows from missing ones.
        let tells_apart = self.if_changed || self.version.is_some();
        if tells_apart && asked == Form::Count { Form::Outcomes } else { asked }
    }

    fn unique(&self) -> Option<Unique> {
        Some(Unique { columns: self.key.clone(), policy: None, refuses_null: false })
    }

    fn written(&self, columns: &[usize], _keys: Option<&[Vec<usize>]>) -> Option<Written> {
        columns.iter().any(|column| self.set.contains(column)).then(|| Written::Known(self.key.clone()))
    }

    fn updates(&self) -> bool {
        true
    }

    fn sql(&self, _model: &Model, table: &TableSql, source: Option<Source>, _size: Size, form: Form) -> String {
        let Update { columns: given, key, set, version, if_changed, .. } = self;
        let update = sql::Update { given, key, set, version: *version, if_changed: *if_changed };
        sql::update(table, source.unwrap_or(Source::Rows), &update, form)
    }

    fn reading(&self) -> Reading {
        Reading::Tag(Outcome::Updated, Outcome::Missing)
    }
}

/// The columns that an update is sent, the key's, those that it sets, and the version's if it is
/// compared, for stores that are not PostgreSQL.
pub(crate) fn resolve(
    model: &'static Model,
    given: &'static [usize],
    chosen: Option<Vec<FieldNames>>,
) -> Result<([Vec<usize>; 3], Option<usize>)> {
    let mut verb = Update { chosen, ..Update::new(given) };
    let columns = verb.resolve(model)?;
    Ok(([columns, verb.key, verb.set], verb.version))
}
