//! `batch_upsert`: new rows in, known rows to their new values, the two counted apart.

use super::call::{Call, CountVerb, Sealed};
use super::verb::{Unique, Verb, declared_key, default_set, given_version, positions, refuse_unwritable};
use crate::catalog::{Table, refuse_incomplete};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{FieldNames, Fields, Model};
use crate::plan::Size;
use crate::report::{Counts, Outcome};
use crate::session::Reading;
use crate::sql::{self, Form, Source, TableSql, Written};

/// The verb of [`BatchOperations::batch_upsert`](crate::BatchOperations::batch_upsert).
#[derive(Debug, PartialEq)]
pub struct Upsert {
    given: &'static [usize],
    on: Option<Vec<FieldNames>>,
    chosen: Option<Vec<FieldNames>>,
    if_changed: bool,
    target: Vec<usize>,
    set: Vec<usize>,
    version: Option<usize>,
}

impl Upsert {
    pub(super) fn new(given: &'static [usize]) -> Self {
        Upsert { given, on: None, chosen: None, if_changed: false, target: Vec::new(), set: Vec::new(), version: None }
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
    /// key and the `auto` fields, and a `soft_delete`: the rows tell whether they are deleted; where they do not, or
    /// that field is not chosen, one that is marked comes back. New rows are inserted with all fields in any case.
    ///
    /// A `version` need not be named: where the rows give it, a known row is updated only if it has that version.
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
            None => {
                let mut set = default_set(model, self.given, &self.target);
                // The caller's row tells whether it is deleted.
                set.extend(model.soft_delete().filter(|mark| self.given.contains(mark) && !set.contains(mark)));
                set
            }
            Some(names) => positions(model, names)?,
        };
        refuse_unwritable(model, self.given, &self.set)?;
        self.version = given_version(model, self.given, &mut self.set);
        Ok(self.given.to_vec())
    }

    fn form(&self, asked: Form, table: Option<&Table>) -> Form {
        // The numbers of rows written cannot tell stale rows, or those that are left alone, from those that a trigger
        // dropped.
        let leaves_alone = self.if_changed || self.set.is_empty();
        let is_mixed = self.version.is_some() || (leaves_alone && table.is_some_and(Table::triggers_before_insert));
        if is_mixed && asked == Form::Count { Form::Outcomes } else { asked }
    }

    fn unique(&self) -> Option<Unique> {
        Some(Unique { columns: self.target.clone(), policy: None, refuses_null: true })
    }

    fn inserts(&self) -> bool {
        true
    }

    fn written(&self, columns: &[usize], keys: Option<&[Vec<usize>]>) -> Option<Written> {
        let sets = |column: &usize| self.set.contains(column) || self.target.contains(column);
        if columns.iter().all(sets) {
            return Some(Written::Always);
        }
        // Known rows keep the reference that they have.
        let only_new = !columns.iter().any(|column| self.set.contains(column)) && keys.is_some();
        only_new.then(|| Written::New(vec![self.target.clone()]))
    }

    fn updates(&self) -> bool {
        true
    }

    fn counts_each(&self, table: &TableSql) -> bool {
        sql::upsert_counts_each(table)
    }

    fn refuse(&self, model: &Model, table: &Table) -> Result<()> {
        refuse_incomplete(model, table, self.given)
    }

    fn sql(&self, _model: &Model, table: &TableSql, source: Option<Source>, size: Size, form: Form) -> String {
        let Upsert { given, target, set, version, if_changed, .. } = self;
        let upsert = sql::Upsert { given, target, set, version: *version, if_changed: *if_changed };
        sql::upsert(table, source.unwrap_or(Source::Rows), &upsert, form, size != Size::Many)
    }

    fn reading(&self) -> Reading {
        let rest = if self.if_changed || self.set.is_empty() { Outcome::Unchanged } else { Outcome::Skipped };
        Reading::Cells(&[Outcome::Inserted, Outcome::Updated], rest)
    }
}

/// The columns that an upsert is sent, its target's, those that it sets, and the version's if it is
/// compared, for stores that are not PostgreSQL.
pub(crate) fn resolve(
    model: &'static Model,
    given: &'static [usize],
    on: Option<Vec<FieldNames>>,
    chosen: Option<Vec<FieldNames>>,
) -> Result<([Vec<usize>; 3], Option<usize>)> {
    let mut verb = Upsert { on, chosen, ..Upsert::new(given) };
    let columns = verb.resolve(model)?;
    Ok(([columns, verb.target, verb.set], verb.version))
}
