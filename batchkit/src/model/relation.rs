//! Relations of a model to others, as the derive describes them, and the ways to name them.

use std::fmt;
use std::marker::PhantomData;

use super::convert::As;
use super::field::Field;
use super::{BatchModel, Model};

/// How many rows of the other model belong to one of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relationship {
    /// `#[batch(belongs_to(…))]`: this model's columns name a row of the other.
    BelongsTo,
    /// `#[batch(has_one(…))]`: the other's columns name this row; one does at the most.
    HasOne,
    /// `#[batch(has_many(…))]`: the other's columns name this row.
    HasMany,
    /// `#[batch(many_to_many(…))]`: a third table's rows name one of each.
    ManyToMany,
}

/// A relation of one model to another, as the derive describes it.
///
/// What belongs to the other model is behind functions: two models may be related to each other both ways.
#[derive(Debug, Clone, Copy)]
pub struct Association {
    /// The name of the struct's field.
    pub name: &'static str,
    /// The name with the model's in front, for messages: `Flight.plane`.
    pub label: &'static str,
    /// How many rows belong to one.
    pub relationship: Relationship,
    /// The positions of this model's columns that are equal to the other's (or to the link's).
    pub columns: &'static [usize],
    /// The related model.
    pub target: fn() -> &'static Model,
    /// The positions of its columns that are equal to this model's (or to the link's).
    pub target_columns: fn() -> &'static [usize],
    /// The table between the two.
    pub through: Option<Through>,
    /// The order of the related rows.
    pub order: &'static [RelationOrder],
}

/// The table between two models that are related many to many.
#[derive(Debug, Clone, Copy)]
pub struct Through {
    /// Its model.
    pub model: fn() -> &'static Model,
    /// The positions of its columns that name this model's row.
    pub columns: fn() -> &'static [usize],
    /// The positions of its columns that name the other's.
    pub target_columns: &'static [usize],
}

/// A column to order related rows by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelationOrder {
    /// The column's position in the related model.
    pub column: usize,
    /// Whether larger values come first.
    pub descending: bool,
}

/// The typed name of a relation of `M` to `T`: `Product::RELATIONS.reviews`.
pub struct Relation<M, T> {
    name: &'static str,
    of: PhantomData<fn() -> (M, T)>,
}

impl<M, T> Relation<M, T> {
    /// Used by generated code.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Relation { name, of: PhantomData }
    }

    /// The name of the relation's field.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The relations of the related rows too: `r.reviews.then(Review::RELATIONS.author)`.
    #[must_use]
    pub fn then(self, next: impl Relations<T>) -> RelationPaths<M> {
        let next = next.paths().paths;
        let deeper = next.into_iter().map(|path| format!("{}.{path}", self.name));
        RelationPaths {
            paths: std::iter::once(self.name.to_owned()).chain(deeper).collect(),
            snapshot: false,
            of: PhantomData,
        }
    }
}

impl<M, T> Clone for Relation<M, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M, T> Copy for Relation<M, T> {}

impl<M, T> fmt::Debug for Relation<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Relation({})", self.name)
    }
}

/// Paths along relations of `M`, with dots between their names: `reviews.author`. Looked up when a call runs.
pub struct RelationPaths<M> {
    pub(crate) paths: Vec<String>,
    snapshot: bool,
    of: PhantomData<fn() -> M>,
}

impl<M> RelationPaths<M> {
    /// No path.
    #[must_use]
    pub const fn none() -> Self {
        RelationPaths { paths: Vec::new(), snapshot: false, of: PhantomData }
    }

    /// The paths as text.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.paths
    }

    /// Whether there is no path.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// These paths and others.
    #[must_use]
    pub fn and(mut self, others: impl Relations<M>) -> Self {
        let others = others.paths();
        self.paths.extend(others.paths);
        self.snapshot |= others.snapshot;
        self
    }

    /// The same, the rows and all levels to be read in one transaction that sees one state of the data.
    #[must_use]
    pub fn snapshot(mut self) -> Self {
        self.snapshot = true;
        self
    }

    /// Whether they are to be read so.
    #[must_use]
    pub fn is_snapshot(&self) -> bool {
        self.snapshot
    }
}

impl<M> Default for RelationPaths<M> {
    fn default() -> Self {
        RelationPaths::none()
    }
}

impl<M> Clone for RelationPaths<M> {
    fn clone(&self) -> Self {
        RelationPaths { paths: self.paths.clone(), snapshot: self.snapshot, of: PhantomData }
    }
}

impl<M> fmt::Debug for RelationPaths<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.paths.fmt(f)
    }
}

/// Names of relations of `M`: a [`Relation`], [`then`](Relation::then) for deeper ones, a tuple of them, or strings
/// with dots.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name relations of `{M}`",
    note = "write `r.category`, `(r.category, r.reviews.then(Review::RELATIONS.author))` with `let r = {M}::RELATIONS;`, or `[\"category\", \"reviews.author\"]`"
)]
pub trait Relations<M> {
    /// The paths, in the order given.
    fn paths(self) -> RelationPaths<M>;
}

impl<M, T> Relations<M> for Relation<M, T> {
    fn paths(self) -> RelationPaths<M> {
        texts([self.name])
    }
}

impl<M> Relations<M> for RelationPaths<M> {
    fn paths(self) -> RelationPaths<M> {
        self
    }
}

impl<M> Relations<M> for &str {
    fn paths(self) -> RelationPaths<M> {
        texts([self])
    }
}

impl<M, S: AsRef<str>, const N: usize> Relations<M> for [S; N] {
    fn paths(self) -> RelationPaths<M> {
        texts(self)
    }
}

impl<M, S: AsRef<str>> Relations<M> for &[S] {
    fn paths(self) -> RelationPaths<M> {
        texts(self)
    }
}

impl<M, S: AsRef<str>> Relations<M> for Vec<S> {
    fn paths(self) -> RelationPaths<M> {
        texts(self)
    }
}

fn texts<M>(paths: impl IntoIterator<Item: AsRef<str>>) -> RelationPaths<M> {
    let paths = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
    RelationPaths { paths, snapshot: false, of: PhantomData }
}

macro_rules! relation_tuple {
    ($($one:ident)*) => {
        impl<M, $($one: Relations<M>),*> Relations<M> for ($($one,)*) {
            fn paths(self) -> RelationPaths<M> {
                #[allow(non_snake_case)]
                let ($($one,)*) = self;
                RelationPaths::none()$(.and($one))*
            }
        }
    };
}

relation_tuple!(A);
relation_tuple!(A B);
relation_tuple!(A B C);
relation_tuple!(A B C D);
relation_tuple!(A B C D E);
relation_tuple!(A B C D E F);
relation_tuple!(A B C D E F G);
relation_tuple!(A B C D E F G H);

/// A column's type that can name a key's column of type `K`: the same, or the same behind an `Option`.
#[diagnostic::on_unimplemented(
    message = "a column of type `{Self}` cannot name a key of type `{K}`",
    label = "the key's type is `{K}`",
    note = "write the key's own type, or an `Option` of it"
)]
pub trait NamesKey<K> {}

impl<T> NamesKey<T> for T {}
impl<T> NamesKey<T> for Option<T> {}
impl<T> NamesKey<Option<T>> for T {}
impl<T, U> NamesKey<As<T, U>> for As<Option<T>, U> {}

/// Columns' types that can name a key of the types `K`, in order.
#[diagnostic::on_unimplemented(
    message = "columns of the types `{Self}` cannot name a key of the types `{K}`",
    label = "the key has the types `{K}`",
    note = "name as many columns as the key has, in its order, each of the key's own type or an `Option` of it"
)]
pub trait NamesKeys<K> {}

/// The types of typed names.
pub trait FieldTypes<M> {
    /// As a tuple.
    type Types;
}

macro_rules! key_tuple {
    ($(($one:ident $key:ident))*) => {
        impl<$($one: NamesKey<$key>, $key),*> NamesKeys<($($key,)*)> for ($($one,)*) {}

        impl<M, $($one),*> FieldTypes<M> for ($(Field<M, $one>,)*) {
            type Types = ($($one,)*);
        }
    };
}

key_tuple!((A KA));
key_tuple!((A KA)(B KB));
key_tuple!((A KA)(B KB)(C KC));
key_tuple!((A KA)(B KB)(C KC)(D KD));
key_tuple!((A KA)(B KB)(C KC)(D KD)(E KE));
key_tuple!((A KA)(B KB)(C KC)(D KD)(E KE)(F KF));
key_tuple!((A KA)(B KB)(C KC)(D KD)(E KE)(F KF)(G KG));
key_tuple!((A KA)(B KB)(C KC)(D KD)(E KE)(F KF)(G KG)(H KH));

/// The position of the other model's column, which names a key's column of type `K`.
pub const fn naming_position<K, M, T: NamesKey<K>>(field: Field<M, T>) -> usize {
    field.position()
}

/// The position of the other model's column that a column of type `T` names.
pub const fn named_position<T: NamesKey<K>, M, K>(field: Field<M, K>) -> usize {
    field.position()
}

/// Fails to compile where columns of the types `T` cannot name a key of the types `K`.
pub const fn check_names<T: NamesKeys<K>, K>() {}

/// Fails to compile where these columns cannot name a key of the types `K`.
pub const fn check_fields<K, M, F: FieldTypes<M> + Copy>(_: F)
where
    F::Types: NamesKeys<K>,
{
}

/// The columns of a model's key; none where it has none, which the types have refused.
#[must_use]
pub fn key_columns<M: BatchModel>() -> &'static [usize] {
    M::MODEL.key.map_or(&[], |key| key.columns)
}

/// The description of a model, behind a function.
#[must_use]
pub fn model_of<M: BatchModel>() -> &'static Model {
    M::MODEL
}
