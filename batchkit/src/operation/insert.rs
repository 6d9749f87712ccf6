//! `batch_insert`: rows in; their number, or the stored rows with the server's values, in input order.

use super::call::{Call, CountVerb, Sealed};
use super::verb::Verb;
use crate::catalog::{Table, refuse_incomplete};
use crate::error::Result;
use crate::model::Model;
use crate::plan::Size;
use crate::report::{Counts, Outcome};
use crate::session::{Matching, Reading};
use crate::sql::{self, Form, Matched, OnConflict, Source, TableSql, Written};

/// The verb of [`BatchOperations::batch_insert`](crate::BatchOperations::batch_insert).
#[derive(Debug, PartialEq)]
pub struct Insert {
    given: Vec<usize>,
    ignore: bool,
}

impl Insert {
    pub(super) fn new(given: &'static [usize]) -> Self {
        Insert::of_columns(given.to_vec())
    }

    /// The insert of rows that give these columns.
    pub(super) fn of_columns(given: Vec<usize>) -> Self {
        Insert { given, ignore: false }
    }

    /// The column by whose bytes returned rows find their input: given, and a unique key by itself. Nothing has to be
    /// joined then.
    fn told_by(&self, table: &TableSql) -> Option<usize> {
        // Of rows that meet a conflict, others with the same key may be stored; a trigger may change any key.
        let is_plain = !self.ignore && !table.triggered;
        let tells = |&column: &usize| table.columns[column].alone && table.columns[column].equal_bytes;
        self.given.iter().copied().find(|column| is_plain && tells(column))
    }

    /// The key by which returned rows find their input: given, or drawn from its default beforehand.
    fn matched_by(&self, model: &Model, table: &TableSql) -> Option<&'static [usize]> {
        // A trigger may change any key on its way in.
        if table.triggered {
            return None;
        }
        let known = |&column: &usize| {
            self.given.contains(&column) || (!model.columns[column].is_new() && table.columns[column].draw().is_some())
        };
        let primary = model.key.filter(|key| key.columns.iter().all(known));
        primary.map(|key| key.columns)
    }
}

impl<M, A> Call<'_, M, Insert, A> {
    /// Rows whose unique key is taken leave the stored row as it is (`ON CONFLICT DO NOTHING`); they are
    /// reported as unchanged. Of input rows with one key, the first is stored.
    pub fn ignore_conflicts(mut self) -> Self {
        self.verb.ignore = true;
        self
    }
}

impl Sealed for Insert {}

impl CountVerb for Insert {
    type Count = u64;

    fn count(counts: &Counts) -> u64 {
        counts.of(Outcome::Inserted)
    }
}

impl Verb for Insert {
    fn name(&self) -> &'static str {
        "INSERT"
    }

    fn resolve(&mut self, _model: &'static Model) -> Result<Vec<usize>> {
        Ok(self.given.clone())
    }

    fn inserts(&self) -> bool {
        true
    }

    fn refuse(&self, model: &Model, table: &Table) -> Result<()> {
        refuse_incomplete(model, table, &self.given)
    }

    fn written(&self, _columns: &[usize], keys: Option<&[Vec<usize>]>) -> Option<Written> {
        if self.ignore { keys.map(|keys| Written::New(keys.to_vec())) } else { Some(Written::Always) }
    }

    fn ignores_conflicts(&self) -> bool {
        self.ignore
    }

    fn plain_insert(&self) -> bool {
        !self.ignore
    }

    fn matchable(&self, model: &Model, table: &TableSql) -> bool {
        self.told_by(table).is_some() || self.matched_by(model, table).is_some()
    }

    fn sql(&self, model: &Model, table: &TableSql, source: Option<Source>, size: Size, form: Form) -> String {
        let Some(source) = source else { return sql::copy_from(table, &self.given) };
        let insert = sql::Insert {
            given: &self.given,
            on_conflict: if self.ignore { OnConflict::Ignore } else { OnConflict::Fail },
            matched: match (self.told_by(table), self.matched_by(model, table)) {
                _ if size == Size::One => Matched::Single,
                (Some(column), _) => Matched::Bytes(column),
                (None, Some(key)) => Matched::Key(key),
                (None, None) => Matched::Single,
            },
        };
        sql::insert(table, source, &insert, form)
    }

    fn matching(&self, table: &TableSql, _source: Source, size: Size, form: Form) -> Option<Matching> {
        let column = self.told_by(table).filter(|_| size != Size::One && form != Form::Count)?;
        let sent = self.given.iter().position(|&given| given == column)?;
        let answered = table.answered_with(form, column).iter().position(|&answered| answered == column)?;
        Some(Matching::Key { sent, answered, outcome: Outcome::Inserted })
    }

    fn reading(&self) -> Reading {
        Reading::Tag(Outcome::Inserted, if self.ignore { Outcome::Unchanged } else { Outcome::Skipped })
    }

    fn unanswered(&self) -> Option<Outcome> {
        // One row per statement: a row that does not come back was not stored.
        Some(if self.ignore { Outcome::Unchanged } else { Outcome::Skipped })
    }
}
