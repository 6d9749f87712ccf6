//! Typed names of a model's columns, and the ways to name several.

use std::fmt;
use std::marker::PhantomData;

use super::Model;
use crate::error::{Error, ErrorKind, Result};

/// The typed name of a column of `M` whose field has type `T`, or [`As<T, U>`](super::As) or
/// [`Json<T>`](super::Json) where it is stored so.
pub struct Field<M, T> {
    position: usize,
    of: PhantomData<fn() -> (M, T)>,
}

impl<M, T> Field<M, T> {
    /// Used by generated code.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(position: usize) -> Self {
        Field { position, of: PhantomData }
    }

    /// The column's position in [`Model::columns`](super::Model::columns).
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }
}

impl<M, T> Clone for Field<M, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M, T> Copy for Field<M, T> {}

impl<M, T> fmt::Debug for Field<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Field({})", self.position)
    }
}

/// One name of a column, as a caller gave it; looked up when the call runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldNames {
    /// A typed name.
    Position(usize),
    /// The name of a field or a column; an unknown one is an error that lists the known ones.
    Name(String),
}

/// Names of columns of `M`: a [`Field`], a tuple of them, or strings in an array, slice or `Vec`.
///
/// Columns of different types do not fit into one array, hence the tuples.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name columns of `{M}`",
    note = "write `f.price`, `(f.price, f.tags)` with `let f = {M}::FIELDS;`, or `[\"price\"]`"
)]
pub trait Fields<M> {
    /// The names, in the order given.
    fn names(self) -> Vec<FieldNames>;
}

impl<M, T> Fields<M> for Field<M, T> {
    fn names(self) -> Vec<FieldNames> {
        vec![FieldNames::Position(self.position)]
    }
}

impl<M> Fields<M> for &str {
    fn names(self) -> Vec<FieldNames> {
        vec![FieldNames::Name(self.to_owned())]
    }
}

impl<M, S: AsRef<str>, const N: usize> Fields<M> for [S; N] {
    fn names(self) -> Vec<FieldNames> {
        strings(&self)
    }
}

impl<M, S: AsRef<str>> Fields<M> for &[S] {
    fn names(self) -> Vec<FieldNames> {
        strings(self)
    }
}

impl<M, S: AsRef<str>> Fields<M> for Vec<S> {
    fn names(self) -> Vec<FieldNames> {
        strings(&self)
    }
}

impl<M, S: AsRef<str>> Fields<M> for &Vec<S> {
    fn names(self) -> Vec<FieldNames> {
        strings(self)
    }
}

impl<M> Fields<M> for Vec<FieldNames> {
    fn names(self) -> Vec<FieldNames> {
        self
    }
}

/// The columns that `names` name.
pub(crate) fn positions(model: &Model, names: &[FieldNames]) -> Result<Vec<usize>> {
    let mut positions = Vec::with_capacity(names.len());
    for name in names {
        let position = match name {
            FieldNames::Position(position) => Some(*position),
            FieldNames::Name(name) => model.column_named(name),
        };
        match (position, name) {
            (Some(position), _) if !positions.contains(&position) => positions.push(position),
            (Some(_), _) => {}
            (None, FieldNames::Name(name)) => {
                let known: Vec<&str> = model.columns.iter().map(|column| column.field).collect();
                let what = format!("`{}` has no field {name:?}; it has {}", model.name, known.join(", "));
                return Err(Error::new(ErrorKind::UnknownField, what).in_table(model.display_name()));
            }
            (None, FieldNames::Position(_)) => {}
        }
    }
    Ok(positions)
}

fn strings<S: AsRef<str>>(names: &[S]) -> Vec<FieldNames> {
    names.iter().map(|name| FieldNames::Name(name.as_ref().to_owned())).collect()
}

macro_rules! field_tuple {
    ($($one:ident)*) => {
        impl<M, $($one: Fields<M>),*> Fields<M> for ($($one,)*) {
            fn names(self) -> Vec<FieldNames> {
                #[allow(non_snake_case)]
                let ($($one,)*) = self;
                let mut names = Vec::new();
                $(names.extend($one.names());)*
                names
            }
        }
    };
}

field_tuple!(A);
field_tuple!(A B);
field_tuple!(A B C);
field_tuple!(A B C D);
field_tuple!(A B C D E);
field_tuple!(A B C D E F);
field_tuple!(A B C D E F G);
field_tuple!(A B C D E F G H);
field_tuple!(A B C D E F G H I);
field_tuple!(A B C D E F G H I J);
field_tuple!(A B C D E F G H I J K);
field_tuple!(A B C D E F G H I J K L);
