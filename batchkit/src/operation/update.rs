//! `batch_update`: each row, or each patch, to its own values.

use super::call::{Call, CountVerb, Sealed};
use super::verb::{Unique, Verb, default_set, positions, primary_key, refuse_unwritable};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{FieldNames, Fields, Model};
use crate::report::{Counts, Outcome};
use crate::session::Reading;
use crate::sql::{self, Form, Source, TableSql};

/// The verb of [`BatchOperations::batch_update`](crate::BatchOperations::batch_update).
#[derive(Debug)]
pub struct Update {
    given: &'static [usize],
    chosen: Option<Vec<FieldNames>>,
    if_changed: bool,
    columns: Vec<usize>,
    key: Vec<usize>,
    set: Vec<usize>,
}

impl Update {
    pub(super) fn new(given: &'static [usize]) -> Self {
        Update { given, chosen: None, if_changed: false, columns: Vec::new(), key: Vec::new(), set: Vec::new() }
    }
}

impl<M, A> Call<'_, M, Update, A> {
    /// Sets these fields only. Without it, whole rows set all fields but the key and the `auto` ones, and
    /// patches all that they have.
    ///
    /// Fields with `on_update` are set by their expression, unless they are named here.
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
        if self.set.is_empty() && model.columns.iter().all(|column| column.on_update.is_none()) {
            return Err(Error::new(ErrorKind::Config, "there is no field to update").in_table(model.display_name()));
        }
        self.columns = self.given.iter().copied().filter(|c| self.key.contains(c) || self.set.contains(c)).collect();
        Ok(self.columns.clone())
    }

    fn form(&self, asked: Form) -> Form {
        // The number of rows written cannot tell unchanged rows from missing ones.
        if self.if_changed && asked == Form::Count { Form::Outcomes } else { asked }
    }

    fn unique(&self) -> Option<Unique> {
        Some(Unique { columns: self.key.clone(), policy: None, refuses_null: false })
    }

    fn sql(&self, _model: &Model, table: &TableSql, source: Option<Source>, _single: bool, form: Form) -> String {
        let update = sql::Update { given: &self.columns, key: &self.key, set: &self.set, if_changed: self.if_changed };
        sql::update(table, source.unwrap_or(Source::Rows), &update, form)
    }

    fn reading(&self) -> Reading {
        Reading::Tag(Outcome::Updated, Outcome::Missing)
    }
}

/// The columns that an update is sent, the key's, and those that it sets, for stores that are not PostgreSQL.
pub(crate) fn resolve(
    model: &'static Model,
    given: &'static [usize],
    chosen: Option<Vec<FieldNames>>,
) -> Result<[Vec<usize>; 3]> {
    let mut verb = Update { chosen, ..Update::new(given) };
    let columns = verb.resolve(model)?;
    Ok([columns, verb.key, verb.set])
}
