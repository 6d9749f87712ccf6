//! `batch_upsert`: new rows in, known rows to their new values, the two counted apart.

use super::call::{Call, CountVerb, Sealed};
use super::verb::{Unique, Verb, declared_key, default_set, positions, refuse_unwritable};
use crate::catalog::{Table, refuse_incomplete};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{FieldNames, Fields, Model};
use crate::report::{Counts, Outcome};
use crate::session::Reading;
use crate::sql::{self, Form, Source, TableSql};

/// The verb of [`BatchOperations::batch_upsert`](crate::BatchOperations::batch_upsert).
#[derive(Debug)]
pub struct Upsert {
    given: &'static [usize],
    on: Option<Vec<FieldNames>>,
    chosen: Option<Vec<FieldNames>>,
    if_changed: bool,
    target: Vec<usize>,
    set: Vec<usize>,
}

impl Upsert {
    pub(super) fn new(given: &'static [usize]) -> Self {
        Upsert { given, on: None, chosen: None, if_changed: false, target: Vec::new(), set: Vec::new() }
    }
}

impl<M, A> Call<'_, M, Upsert, A> {
    /// The conflict target: the fields of a declared unique key. Without it, the primary key if the rows
    /// give it, else the only other declared key that they give.
    pub fn on(mut self, fields: impl Fields<M>) -> Self {
        self.verb.on = Some(fields.names());
        self
    }

    /// Sets these fields only when the row is known. Without it, all that the rows give but the target, the
    /// key and the `auto` fields. New rows are inserted with all fields in any case.
    pub fn fields(mut self, fields: impl Fields<M>) -> Self {
        self.verb.chosen = Some(fields.names());
        self
    }

    /// Leaves known rows alone that have the wanted values already (`IS DISTINCT FROM`); they are counted
    /// as unchanged. A field with `on_update` does not count as a change.
    pub fn if_changed(mut self) -> Self {
        self.verb.if_changed = true;
        self
    }
}

/// How many rows an upsert inserted, updated and left alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upserted {
    /// Rows that were new.
    pub inserted: u64,
    /// Rows that were known and took new values.
    pub updated: u64,
    /// Rows that were known and had the wanted values already.
    pub unchanged: u64,
}

impl Sealed for Upsert {}

impl CountVerb for Upsert {
    type Count = Upserted;

    fn count(counts: &Counts) -> Upserted {
        Upserted {
            inserted: counts.of(Outcome::Inserted),
            updated: counts.of(Outcome::Updated),
            unchanged: counts.of(Outcome::Unchanged),
        }
    }
}

impl Upsert {
    fn find_target(&self, model: &Model) -> Result<Vec<usize>> {
        let given = |columns: &[usize]| columns.iter().all(|column| self.given.contains(column));
        if let Some(names) = &self.on {
            let key = declared_key(model, &positions(model, names)?)?;
            refuse_unwritable(model, self.given, key.columns)?;
            return Ok(key.columns.to_vec());
        }
        if let Some(key) = model.key.filter(|key| given(key.columns)) {
            return Ok(key.columns.to_vec());
        }
        let candidates: Vec<_> = model.unique.iter().filter(|key| given(key.columns)).collect();
        match candidates[..] {
            [only] => Ok(only.columns.to_vec()),
            _ => {
                let what = format!("the rows give {} declared unique keys: say which with .on(…)", candidates.len());
                Err(Error::new(ErrorKind::UnknownKey, what).in_table(model.display_name()))
            }
        }
    }
}

impl Verb for Upsert {
    fn name(&self) -> &'static str {
        "UPSERT"
    }

    fn resolve(&mut self, model: &'static Model) -> Result<Vec<usize>> {
        self.target = self.find_target(model)?;
        self.set = match &self.chosen {
            None => default_set(model, self.given, &self.target),
            Some(names) => positions(model, names)?,
        };
        refuse_unwritable(model, self.given, &self.set)?;
        Ok(self.given.to_vec())
    }

    fn unique(&self) -> Option<Unique> {
        Some(Unique { columns: self.target.clone(), policy: None, refuses_null: true })
    }

    fn inserts(&self) -> bool {
        true
    }

    fn refuse(&self, model: &Model, table: &Table) -> Result<()> {
        refuse_incomplete(model, table, self.given)
    }

    fn sql(&self, _model: &Model, table: &TableSql, source: Option<Source>, _single: bool, form: Form) -> String {
        let upsert =
            sql::Upsert { given: self.given, target: &self.target, set: &self.set, if_changed: self.if_changed };
        sql::upsert(table, source.unwrap_or(Source::Rows), &upsert, form)
    }

    fn reading(&self) -> Reading {
        let rest = if self.if_changed || self.set.is_empty() { Outcome::Unchanged } else { Outcome::Skipped };
        Reading::Cells(&[Outcome::Inserted, Outcome::Updated], rest)
    }
}

/// The columns that an upsert is sent, its target's, and those that it sets, for stores that are not PostgreSQL.
pub(crate) fn resolve(
    model: &'static Model,
    given: &'static [usize],
    on: Option<Vec<FieldNames>>,
    chosen: Option<Vec<FieldNames>>,
) -> Result<[Vec<usize>; 3]> {
    let mut verb = Upsert { on, chosen, ..Upsert::new(given) };
    let columns = verb.resolve(model)?;
    Ok([columns, verb.target, verb.set])
}
