//! What a verb is to the engine: names resolved, SQL, and how its answer is read.

use std::any::Any;
use std::fmt::Debug;

use crate::catalog::Table;
use crate::config::DuplicatePolicy;
use crate::error::{Error, ErrorKind, Result};
pub(super) use crate::model::positions;
use crate::model::{Column, ColumnKind, Model, UniqueKey};
use crate::plan::Size;
use crate::report::Outcome;
use crate::session::{Matching, Reading};
use crate::sql::{Form, Source, TableSql, Written};

/// A verb of one call. What a verb adds is its SQL and its answer; the way of the data is the engine's.
pub(crate) trait Verb: SameVerb + Any + Debug + Send + Sync {
    /// What it is called, in SQL's words.
    fn name(&self) -> &'static str;

    /// Resolves the names that the caller gave; the columns to encode, in order.
    fn resolve(&mut self, model: &'static Model) -> Result<Vec<usize>>;

    /// The form to ask for when the caller wants `asked`; the table, if it is known.
    fn form(&self, asked: Form, _table: Option<&Table>) -> Form {
        asked
    }

    /// The key of which the input may have each value only once.
    fn unique(&self) -> Option<Unique> {
        None
    }

    /// Refuses tables that cannot take these rows.
    fn refuse(&self, _model: &Model, _table: &Table) -> Result<()> {
        Ok(())
    }

    /// Whether it writes.
    fn writes(&self) -> bool {
        true
    }

    /// Whether it inserts.
    fn inserts(&self) -> bool {
        false
    }

    /// Whether a statement that only counts may answer of each row that was written what became of it.
    fn counts_each(&self, _table: &TableSql) -> bool {
        false
    }

    /// Whether it sets columns of stored rows.
    fn updates(&self) -> bool {
        false
    }

    /// Which rows write these columns, which they give: the server checks only those. `None` if that cannot be told
    /// beforehand, or none does. `keys` are the table's unique keys, if all of them can be compared.
    fn written(&self, _columns: &[usize], _keys: Option<&[Vec<usize>]>) -> Option<Written> {
        None
    }

    /// Whether a row whose key is taken is left out without an error.
    fn ignores_conflicts(&self) -> bool {
        false
    }

    /// Whether COPY into the target does what the verb means.
    fn plain_insert(&self) -> bool {
        false
    }

    /// Whether answered rows find their input.
    fn matchable(&self, _model: &Model, _table: &TableSql) -> bool {
        true
    }

    /// The statement; `None` as the source is COPY into the target.
    fn sql(&self, model: &Model, table: &TableSql, source: Option<Source>, size: Size, form: Form) -> String;

    /// How answered rows find those that were sent, if not by an ordinal in front.
    fn matching(&self, _table: &TableSql, _source: Source, _size: Size, _form: Form) -> Option<Matching> {
        None
    }

    /// The column of the key whose values the statement looks up in one array, if that is all that it knows of them.
    fn looks_up(&self, _table: &TableSql, _source: Source, _form: Form) -> Option<usize> {
        None
    }

    /// How the counting form's answer is read.
    fn reading(&self) -> Reading;

    /// What became of a row that the accounting form does not answer, if that may be.
    fn unanswered(&self) -> Option<Outcome> {
        None
    }
}

/// Whether two verbs are the same, with the same names resolved: then all that they answer is.
pub(crate) trait SameVerb {
    fn is_same(&self, other: &dyn Verb) -> bool;
}

impl<V: Verb + PartialEq> SameVerb for V {
    fn is_same(&self, other: &dyn Verb) -> bool {
        (other as &dyn Any).downcast_ref::<V>() == Some(self)
    }
}

/// The key of which the input may have each value only once.
#[derive(Debug, Clone)]
pub(crate) struct Unique {
    /// Its columns.
    pub(crate) columns: Vec<usize>,
    /// What decides between rows of one key; `None` is what the caller configured.
    pub(crate) policy: Option<DuplicatePolicy>,
    /// Whether a NULL in the key is refused.
    pub(crate) refuses_null: bool,
}

/// The version's column, if the rows give it; it is taken out of those to `set`, as it is compared and counted.
pub(crate) fn given_version(model: &Model, given: &[usize], set: &mut Vec<usize>) -> Option<usize> {
    let version = model.version()?;
    set.retain(|&column| column != version);
    given.contains(&version).then_some(version)
}

/// The model's primary key.
pub(crate) fn primary_key(model: &Model) -> Result<&UniqueKey> {
    model.key.as_ref().ok_or_else(|| {
        let what = format!("`{}` declares no key: mark its field or fields with #[batch(key)]", model.name);
        Error::new(ErrorKind::UnknownKey, what).in_table(model.display_name())
    })
}

/// The declared unique key that has exactly these columns, in whatever order.
pub(crate) fn declared_key<'m>(model: &'m Model, columns: &[usize]) -> Result<&'m UniqueKey> {
    let same = |key: &&UniqueKey| {
        key.columns.len() == columns.len() && columns.iter().all(|column| key.columns.contains(column))
    };
    model.keys().find(same).ok_or_else(|| {
        let name = |columns: &[usize]| {
            columns.iter().map(|&column| model.columns[column].field).collect::<Vec<_>>().join(", ")
        };
        let known: Vec<String> = model.keys().map(|key| format!("({})", name(key.columns))).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let what = format!("`{}` declares no unique key ({}); it declares {known}", model.name, name(columns));
        Error::new(ErrorKind::UnknownKey, what).in_table(model.display_name())
    })
}

/// Refuses columns that the rows do not give or that nobody may write.
pub(crate) fn refuse_unwritable(model: &Model, given: &[usize], set: &[usize]) -> Result<()> {
    let refuse = |column: usize, why: &str| {
        let what = format!("field `{}` of `{}` {why}", model.columns[column].field, model.name);
        Err(Error::new(ErrorKind::UnknownField, what)
            .in_table(model.display_name())
            .in_column(model.columns[column].name))
    };
    for &column in set {
        if model.columns[column].writes.is_none() {
            return refuse(column, "is computed by the server and cannot be written");
        }
        if !given.contains(&column) {
            return refuse(column, "is not given by these rows");
        }
    }
    Ok(())
}

/// The columns that a write of all fields sets: what the rows give, without the key, and without what the
/// server sets by itself unless the rows are patches, which say what they mean.
pub(crate) fn default_set(model: &Model, given: &[usize], key: &[usize]) -> Vec<usize> {
    let all = |has: fn(&Column) -> bool| {
        let columns = model.columns.iter().enumerate().filter(|(_, column)| has(column));
        columns.map(|(position, _)| position).eq(given.iter().copied())
    };
    let whole = all(|column| column.kind != ColumnKind::Computed) || all(Column::is_new);
    let primary = model.key.map_or(&[][..], |key| key.columns);
    given
        .iter()
        .copied()
        .filter(|column| !key.contains(column) && !primary.contains(column))
        .filter(|&column| {
            let column = &model.columns[column];
            !whole || (column.kind == ColumnKind::Plain && column.on_update.is_none())
        })
        .collect()
}
