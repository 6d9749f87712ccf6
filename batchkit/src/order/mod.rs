//! The order in which rows are read, and places in it to go on from.

mod cursor;
mod position;

use std::fmt;
use std::marker::PhantomData;

pub use cursor::Cursor;
pub use position::Position;

use crate::error::Result;
use crate::model::{BatchModel, Field, FieldNames, Model, positions};

/// One column of an order: `f.price.desc()`, `f.name.asc().nulls_last()`, or [`Order::by`] a name.
pub struct Order<M> {
    name: FieldNames,
    descending: Option<bool>,
    nulls_first: Option<bool>,
    of: PhantomData<fn() -> M>,
}

/// One column of an order, resolved: for those who evaluate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct OrderColumn {
    /// Its position in [`Model::columns`].
    pub column: usize,
    /// Whether the greatest comes first.
    pub descending: bool,
    /// Whether NULL comes first.
    pub nulls_first: bool,
}

impl<M> Order<M> {
    fn new(name: FieldNames) -> Self {
        Order { name, descending: None, nulls_first: None, of: PhantomData }
    }

    /// By the field or column of this name: `"price"`, `"price desc"`, `"price desc nulls last"`. It is looked up
    /// when the call runs; an unknown name is [`ErrorKind::UnknownField`](crate::ErrorKind::UnknownField), with
    /// the names that there are.
    #[must_use]
    pub fn by(name: impl Into<String>) -> Self {
        Order::new(FieldNames::Name(name.into()))
    }

    /// The least first, which is what nothing said means.
    #[must_use]
    pub fn asc(mut self) -> Self {
        self.descending = Some(false);
        self
    }

    /// The greatest first.
    #[must_use]
    pub fn desc(mut self) -> Self {
        self.descending = Some(true);
        self
    }

    /// NULL before all values. Without a word it is greater than all of them: last, or first if descending.
    #[must_use]
    pub fn nulls_first(mut self) -> Self {
        self.nulls_first = Some(true);
        self
    }

    /// NULL behind all values.
    #[must_use]
    pub fn nulls_last(mut self) -> Self {
        self.nulls_first = Some(false);
        self
    }
}

impl<M: BatchModel> Order<M> {
    /// The columns of an order: those named, each once, and then those of the primary key, if the model has one,
    /// in the direction of the last one named. With a key, no two rows have the same place.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownField`](crate::ErrorKind::UnknownField), with the names that there are.
    pub fn columns(orders: &[Self]) -> Result<Vec<OrderColumn>> {
        let mut columns: Vec<OrderColumn> = Vec::with_capacity(orders.len() + 1);
        let mut add = |one: OrderColumn| {
            if columns.iter().all(|known| known.column != one.column) {
                columns.push(one);
            }
        };
        let mut last = false;
        for order in orders {
            let (column, said) = order.look_up(M::MODEL)?;
            let descending = order.descending.or(said.descending).unwrap_or(false);
            let nulls_first = order.nulls_first.or(said.nulls_first).unwrap_or(descending);
            add(OrderColumn { column, descending, nulls_first });
            last = descending;
        }
        for &column in M::MODEL.key.iter().flat_map(|key| key.columns) {
            add(OrderColumn { column, descending: last, nulls_first: last });
        }
        Ok(columns)
    }

    /// The column, and what is said behind its name.
    fn look_up(&self, model: &'static Model) -> Result<(usize, Said)> {
        let one = |name: &FieldNames| {
            positions(model, std::slice::from_ref(name)).map(|found| found.first().copied().unwrap_or_default())
        };
        match &self.name {
            FieldNames::Position(column) => Ok((*column, Said::default())),
            // A column may be called so.
            FieldNames::Name(name) if model.column_named(name).is_some() => Ok((one(&self.name)?, Said::default())),
            FieldNames::Name(text) => {
                let (name, said) = Said::behind(text);
                Ok((one(&FieldNames::Name(name.to_owned()))?, said))
            }
        }
    }
}

/// What is said behind a name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    descending: Option<bool>,
    nulls_first: Option<bool>,
}

impl Said {
    /// Splits `price desc nulls last` into the name and the rest.
    fn behind(text: &str) -> (&str, Said) {
        let mut said = Said::default();
        let mut rest = text.trim();
        for (words, first) in [(["nulls", "first"], true), (["nulls", "last"], false)] {
            if let Some(before) = without(rest, words[1]).and_then(|before| without(before, words[0])) {
                (rest, said.nulls_first) = (before, Some(first));
            }
        }
        for (word, descending) in [("asc", false), ("desc", true)] {
            if let Some(before) = without(rest, word) {
                (rest, said.descending) = (before, Some(descending));
                break;
            }
        }
        (rest, said)
    }
}

/// The text before its last word, if that is this one.
fn without<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (before, last) = text.trim_end().rsplit_once(char::is_whitespace)?;
    last.eq_ignore_ascii_case(word).then(|| before.trim_end())
}

impl<M, T> Field<M, T> {
    /// An order by this column, the least first.
    #[must_use]
    pub fn asc(self) -> Order<M> {
        Order::new(FieldNames::Position(self.position())).asc()
    }

    /// An order by this column, the greatest first.
    #[must_use]
    pub fn desc(self) -> Order<M> {
        Order::new(FieldNames::Position(self.position())).desc()
    }
}

impl<M> Clone for Order<M> {
    fn clone(&self) -> Self {
        Order { name: self.name.clone(), descending: self.descending, nulls_first: self.nulls_first, of: PhantomData }
    }
}

impl<M> fmt::Debug for Order<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order")
            .field("name", &self.name)
            .field("descending", &self.descending)
            .field("nulls_first", &self.nulls_first)
            .finish()
    }
}

/// An order of `M`: a field, `f.price.desc()`, a string as [`Order::by`] takes it, a tuple of these, or an array,
/// slice or `Vec`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no order of `{M}`",
    note = "write `f.price.desc()`, `(f.price.desc(), f.name)` with `let f = {M}::FIELDS;`, or `[\"price desc\", \"name\"]`"
)]
pub trait OrderBy<M> {
    /// The columns, the one that decides first in front.
    fn orders(self) -> Vec<Order<M>>;
}

impl<M> OrderBy<M> for Order<M> {
    fn orders(self) -> Vec<Order<M>> {
        vec![self]
    }
}

impl<M, T> OrderBy<M> for Field<M, T> {
    fn orders(self) -> Vec<Order<M>> {
        vec![self.asc()]
    }
}

impl<M> OrderBy<M> for &str {
    fn orders(self) -> Vec<Order<M>> {
        vec![Order::by(self)]
    }
}

impl<M> OrderBy<M> for String {
    fn orders(self) -> Vec<Order<M>> {
        vec![Order::by(self)]
    }
}

impl<M, O: OrderBy<M>, const N: usize> OrderBy<M> for [O; N] {
    fn orders(self) -> Vec<Order<M>> {
        self.into_iter().flat_map(OrderBy::orders).collect()
    }
}

impl<M, O: OrderBy<M> + Clone> OrderBy<M> for &[O] {
    fn orders(self) -> Vec<Order<M>> {
        self.iter().cloned().flat_map(OrderBy::orders).collect()
    }
}

impl<M, O: OrderBy<M>> OrderBy<M> for Vec<O> {
    fn orders(self) -> Vec<Order<M>> {
        self.into_iter().flat_map(OrderBy::orders).collect()
    }
}

macro_rules! order_tuple {
    ($($one:ident)*) => {
        impl<M, $($one: OrderBy<M>),*> OrderBy<M> for ($($one,)*) {
            fn orders(self) -> Vec<Order<M>> {
                #[allow(non_snake_case)]
                let ($($one,)*) = self;
                let mut orders = Vec::new();
                $(orders.extend($one.orders());)*
                orders
            }
        }
    };
}

order_tuple!(A);
order_tuple!(A B);
order_tuple!(A B C);
order_tuple!(A B C D);
order_tuple!(A B C D E);
order_tuple!(A B C D E F);
order_tuple!(A B C D E F G);
order_tuple!(A B C D E F G H);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_behind_a_name_are_understood() {
        let said = |descending, nulls_first| Said { descending, nulls_first };
        for (text, name, expected) in [
            ("price", "price", said(None, None)),
            (" price  DESC ", "price", said(Some(true), None)),
            ("price asc nulls first", "price", said(Some(false), Some(true))),
            ("price nulls Last", "price", said(None, Some(false))),
            ("weight in kg desc nulls last", "weight in kg", said(Some(true), Some(false))),
            ("desc", "desc", said(None, None)),
            ("nulls last", "nulls last", said(None, None)),
            ("price down", "price down", said(None, None)),
        ] {
            assert_eq!(Said::behind(text), (name, expected), "{text:?}");
        }
    }
}
