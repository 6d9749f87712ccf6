//! `Related<T>`: what a row is related to, if it was loaded.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::BatchModel;
use crate::error::{Error, ErrorKind, Result};

/// The rows that a row is related to: not loaded, or loaded and shared.
///
/// | field | of |
/// |---|---|
/// | `Related<Airline>` | `belongs_to`, `has_one`: there is always one. [`get`](Self::get) is an error where the reference points nowhere |
/// | `Related<Option<Plane>>` | `belongs_to`, `has_one`: there may be one. A reference that is NULL or points nowhere is loaded, and `None` |
/// | `Related<Vec<Flight>>` | `has_many`, `many_to_many` |
///
/// It is no column. Rows are read with relations that are not loaded, until `load_relations` names them; reading one
/// before is an error, never an empty list. Rows that are related to the same one share it: a clone is a count, not a
/// copy.
///
/// It is serialised as what it holds. One that is not loaded cannot be: skip it with
/// `#[serde(skip_serializing_if = "Related::is_not_loaded")]`, and read it back with `#[serde(default)]`.
///
/// ```
/// use batchkit::Related;
///
/// let lines = Related::new(vec![1, 2]);
/// assert_eq!(lines.get().unwrap().len(), 2);
/// assert!(Related::<Vec<i32>>::default().get().is_err());
/// ```
pub struct Related<T>(State<T>);

enum State<T> {
    /// With the relation's name, where it is known.
    NotLoaded(&'static str),
    /// Loaded, and there is none where one must be.
    Dangling(&'static str),
    Loaded(Arc<T>),
}

impl<T> Related<T> {
    /// What is related, as if it had been loaded: for rows that are made in memory.
    #[must_use]
    pub fn new(value: T) -> Self {
        Related(State::Loaded(Arc::new(value)))
    }

    /// The same, shared.
    #[must_use]
    pub fn shared(value: Arc<T>) -> Self {
        Related(State::Loaded(value))
    }

    /// One that is not loaded, of the relation with this name. Used by generated code.
    #[doc(hidden)]
    #[must_use]
    pub const fn not_loaded(name: &'static str) -> Self {
        Related(State::NotLoaded(name))
    }

    /// A reference that points nowhere.
    pub(crate) const fn dangling(name: &'static str) -> Self {
        Related(State::Dangling(name))
    }

    /// What is related.
    ///
    /// # Errors
    /// [`ErrorKind::NotLoaded`] when nobody asked for it; [`ErrorKind::DanglingReference`] when it was asked for, the
    /// reference points nowhere, and the field is no `Related<Option<…>>`.
    pub fn get(&self) -> Result<&T> {
        match &self.0 {
            State::Loaded(value) => Ok(value),
            State::NotLoaded("") => {
                Err(Error::new(ErrorKind::NotLoaded, "the relation is not loaded: name it in load_relations"))
            }
            State::NotLoaded(name) => {
                let what = format!("the relation `{name}` is not loaded: name it in load_relations");
                Err(Error::new(ErrorKind::NotLoaded, what))
            }
            State::Dangling(name) => {
                let what = format!("the relation `{name}` points to no row: make the field a `Related<Option<…>>`");
                Err(Error::new(ErrorKind::DanglingReference, what))
            }
        }
    }

    /// What is related, to be kept beyond the row.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    pub fn get_shared(&self) -> Result<Arc<T>> {
        match &self.0 {
            State::Loaded(value) => Ok(Arc::clone(value)),
            _ => Err(self.get().err().unwrap_or_else(|| Error::new(ErrorKind::NotLoaded, "not loaded"))),
        }
    }

    /// Whether it was loaded.
    #[must_use]
    pub const fn is_loaded(&self) -> bool {
        !self.is_not_loaded()
    }

    /// Whether it was not loaded.
    #[must_use]
    pub const fn is_not_loaded(&self) -> bool {
        matches!(self.0, State::NotLoaded(_))
    }
}

impl<T> Default for Related<T> {
    fn default() -> Self {
        Related::not_loaded("")
    }
}

impl<T> Clone for Related<T> {
    fn clone(&self) -> Self {
        Related(match &self.0 {
            State::NotLoaded(name) => State::NotLoaded(name),
            State::Dangling(name) => State::Dangling(name),
            State::Loaded(value) => State::Loaded(Arc::clone(value)),
        })
    }
}

/// Two that are not loaded are equal; so are two that hold equal rows.
impl<T: PartialEq> PartialEq for Related<T> {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (State::NotLoaded(_), State::NotLoaded(_)) | (State::Dangling(_), State::Dangling(_)) => true,
            (State::Loaded(one), State::Loaded(other)) => Arc::ptr_eq(one, other) || one == other,
            _ => false,
        }
    }
}

impl<T: Eq> Eq for Related<T> {}

impl<T: fmt::Debug> fmt::Debug for Related<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::NotLoaded(_) => f.write_str("(not loaded)"),
            State::Dangling(_) => f.write_str("(points nowhere)"),
            State::Loaded(value) => value.fmt(f),
        }
    }
}

impl<T> From<T> for Related<T> {
    fn from(value: T) -> Self {
        Related::new(value)
    }
}

impl<T: Serialize> Serialize for Related<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.get().map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Related<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Related::new)
    }
}

/// What a [`Related`] may hold: a model, an `Option` of one, or a `Vec` of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing that a row can be related to",
    label = "neither a model, nor an `Option` or a `Vec` of one",
    note = "write `Related<Model>`, `Related<Option<Model>>` or `Related<Vec<Model>>`, where `Model` derives `BatchModel`"
)]
pub trait RelatedValue: Sized + Send + Sync + 'static {
    /// The related model.
    type Target: BatchModel;

    /// What the rows found make; `None` where there is none and one must be.
    #[doc(hidden)]
    fn gather(rows: Vec<Self::Target>) -> Option<Self>;
}

impl<M: BatchModel + 'static> RelatedValue for M {
    type Target = M;

    fn gather(rows: Vec<M>) -> Option<M> {
        rows.into_iter().next()
    }
}

impl<M: BatchModel + 'static> RelatedValue for Option<M> {
    type Target = M;

    fn gather(rows: Vec<M>) -> Option<Self> {
        Some(rows.into_iter().next())
    }
}

impl<M: BatchModel + 'static> RelatedValue for Vec<M> {
    type Target = M;

    fn gather(rows: Vec<M>) -> Option<Self> {
        Some(rows)
    }
}

/// What `belongs_to` and `has_one` may hold.
#[diagnostic::on_unimplemented(
    message = "`belongs_to` and `has_one` relate a row to one other at the most, not to `{Self}`",
    note = "write `Related<Model>` or `Related<Option<Model>>`, or make it a `has_many`"
)]
pub trait ToOne: RelatedValue {}
impl<M: BatchModel + 'static> ToOne for M {}
impl<M: BatchModel + 'static> ToOne for Option<M> {}

/// What `has_many` and `many_to_many` may hold.
#[diagnostic::on_unimplemented(
    message = "`has_many` and `many_to_many` relate a row to several others, not to `{Self}`",
    note = "write `Related<Vec<Model>>`, or make it a `has_one` or `belongs_to`"
)]
pub trait ToMany: RelatedValue {}
impl<M: BatchModel + 'static> ToMany for Vec<M> {}

/// The type of a relation's field: a [`Related`].
#[diagnostic::on_unimplemented(
    message = "a relation's field is a `Related<…>`, not a `{Self}`",
    label = "not a `Related<…>`",
    note = "write `Related<Model>`, `Related<Option<Model>>` or `Related<Vec<Model>>`"
)]
pub trait RelationField {
    /// What it holds.
    type Value: RelatedValue<Target = Self::Target>;
    /// The related model.
    type Target: BatchModel;
}

impl<V: RelatedValue> RelationField for Related<V> {
    type Value = V;
    type Target = V::Target;
}
