//! Rows and keys of a call, their own types forgotten: what an object-safe trait can take.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::Stream;

use super::feed::{Feed, KeyFeed, ProcessedFeed, RowFeed, StreamFeed};
use crate::model::{BatchModel, InsertRow, KeyFor, PatchRow, Unique, UniqueKey, WriteRow};

/// Rows for the table of `M`, whatever their own type is. They are encoded when a call runs.
pub struct Rows<'a, M> {
    pub(crate) feed: Box<dyn Feed + 'a>,
    pub(crate) columns: &'static [usize],
    of: PhantomData<fn() -> M>,
}

impl<'a, M: BatchModel + 'a> Rows<'a, M> {
    /// Rows to insert or upsert.
    pub fn insertable<I>(rows: I) -> Self
    where
        I: IntoIterator<IntoIter: Send + 'a, Item: InsertRow<M> + Send + 'a>,
    {
        Rows::new::<I::IntoIter>(rows.into_iter())
    }

    /// Rows to insert or upsert that a stream gives: they are taken as chunks need them. A stream that gives an error
    /// ends the call with [`ErrorKind::Input`](crate::ErrorKind::Input) and the error's text.
    pub fn streamed<S, R, E>(rows: S) -> Self
    where
        S: Stream<Item = Result<R, E>> + Send + 'a,
        R: InsertRow<M> + Send + 'a,
        E: Display + Send + 'a,
    {
        Rows { feed: Box::new(StreamFeed::new(rows)), columns: R::COLUMNS, of: PhantomData }
    }

    /// Rows to update stored ones with.
    pub fn patches<I>(rows: I) -> Self
    where
        I: IntoIterator<IntoIter: Send + 'a, Item: PatchRow<M> + Send + 'a>,
    {
        Rows::new::<I::IntoIter>(rows.into_iter())
    }

    /// Rows that `process` makes of values of any kind, when a call runs: `Ok(None)` drops one, an error turns it
    /// away.
    pub(crate) fn processed<I, F, R, E>(values: I, process: Arc<F>) -> Self
    where
        I: IntoIterator<IntoIter: Send + 'a, Item: Send + 'static>,
        F: Fn(I::Item) -> Result<Option<R>, E> + Send + Sync + 'static,
        R: WriteRow<M> + 'static,
        E: Display + 'static,
    {
        let feed = ProcessedFeed::<_, F, R, M>::new(values.into_iter(), process);
        Rows { feed: Box::new(feed), columns: R::COLUMNS, of: PhantomData }
    }

    fn new<I>(rows: I) -> Self
    where
        I: Iterator<Item: WriteRow<M> + Send + 'a> + Send + 'a,
    {
        let columns = <I::Item as WriteRow<M>>::COLUMNS;
        Rows { feed: Box::new(RowFeed::<_, M>::new(rows)), columns, of: PhantomData }
    }

    /// The positions in the model of the columns that the rows give.
    #[must_use]
    pub fn columns(&self) -> &'static [usize] {
        self.columns
    }
}

// Never prints a value.
impl<M> fmt::Debug for Rows<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// Values of one declared key of `M`, whatever their own type is.
pub struct Keys<'a, M> {
    pub(crate) feed: Box<dyn Feed + 'a>,
    pub(crate) key: UniqueKey,
    of: PhantomData<fn() -> M>,
}

impl<'a, M: BatchModel + 'a> Keys<'a, M> {
    /// Values of the primary key.
    pub fn primary<I>(keys: I) -> Self
    where
        I: IntoIterator<IntoIter: Send + 'a, Item: KeyFor<M::Key> + Send + 'a>,
    {
        // A model without a key has the key type `NoKey`, and no value is a key for that.
        let key = M::MODEL.key.unwrap_or(UniqueKey { name: "key", columns: &[] });
        Keys { feed: Box::new(KeyFeed::<_, M::Key>::new(keys.into_iter())), key, of: PhantomData }
    }

    /// Values of a declared unique key: `Product::KEYS.sku`.
    pub fn of<K, I>(key: Unique<M, K>, keys: I) -> Self
    where
        K: 'a,
        I: IntoIterator<IntoIter: Send + 'a, Item: KeyFor<K> + Send + 'a>,
    {
        Keys { feed: Box::new(KeyFeed::<_, K>::new(keys.into_iter())), key: key.key(), of: PhantomData }
    }

    /// The key that these are values of.
    #[must_use]
    pub fn key(&self) -> UniqueKey {
        self.key
    }
}

// Never prints a value.
impl<M> fmt::Debug for Keys<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("key", &self.key).finish_non_exhaustive()
    }
}
