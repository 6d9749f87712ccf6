//! `count` and `exists`: how many rows fulfil a filter, and whether one does.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use super::engine::Engine;
use super::read::{self, Statement};
use crate::error::{Error, ErrorKind, Result};
use crate::filter::Filter;
use crate::model::{BatchModel, Model};
use crate::session::Within;
use crate::sql::{self, Arguments, TableSql};
use crate::wire::{ColumnType, EncodedRows};

/// A question about the rows that fulfil a filter, its options, and what `.await` makes of the answer.
macro_rules! question {
    ($(#[$doc:meta])* $name:ident, $asked:ident -> $answer:ty, by $read:ident) => {
        $(#[$doc])*
        #[must_use = "a call does nothing until it is awaited"]
        pub struct $name<'a, M> {
            engine: Engine,
            asked: $asked<M>,
            within: Option<Within<'a>>,
            timeout: Option<Duration>,
        }

        impl<'a, M: BatchModel> $name<'a, M> {
            /// Reads inside of the caller's transaction.
            pub fn within(mut self, transaction: impl Into<Within<'a>>) -> Self {
                self.within = Some(transaction.into());
                self
            }

            /// When the read has to be over, retries included.
            pub fn timeout(mut self, timeout: Duration) -> Self {
                self.timeout = Some(timeout);
                self
            }

            /// The statement, without a server.
            ///
            /// # Errors
            /// [`ErrorKind::Schema`] for a type that only a server knows.
            pub fn sql(&self) -> Result<String> {
                read::sql(M::MODEL, &self.asked)
            }

            /// How the server would answer: the text of its EXPLAIN. Nothing is read.
            ///
            /// # Errors
            /// Those of the read itself.
            pub async fn explain(self) -> Result<String> {
                read::explain(&self.engine, self.within, self.timeout, M::MODEL, &self.asked).await
            }
        }

        impl<'a, M: BatchModel + 'a> IntoFuture for $name<'a, M> {
            type Output = Result<$answer>;
            type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

            fn into_future(self) -> Self::IntoFuture {
                Box::pin(async move {
                    let $name { engine, asked, within, timeout } = self;
                    let (rows, _) = read::query(&engine, within, timeout, M::MODEL, &asked, None).await?;
                    $read(&rows).ok_or_else(|| missing(M::MODEL))
                })
            }
        }

        // Never prints a value.
        impl<M> fmt::Debug for $name<'_, M> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("filter", &self.asked.filter).finish_non_exhaustive()
            }
        }
    };
}

question! {
    /// A count of the rows that fulfil a filter; `.await` gives it as a `u64`.
    ///
    /// # Errors
    /// Those of [`List`](crate::List).
    Count, Counted -> u64, by number
}

question! {
    /// A question whether a row fulfils a filter, which looks no further than the first; `.await` gives a `bool`.
    ///
    /// # Errors
    /// Those of [`List`](crate::List).
    Exists, Found -> bool, by truth
}

struct Counted<M> {
    filter: Filter<M>,
    limit: Option<u64>,
    with_deleted: bool,
}

struct Found<M> {
    filter: Filter<M>,
    with_deleted: bool,
}

impl<'a, M: BatchModel> Count<'a, M> {
    pub(super) fn new(engine: Engine, filter: Filter<M>) -> Self {
        let asked = Counted { filter, limit: None, with_deleted: engine.with_deleted };
        Count { engine, asked, within: None, timeout: None }
    }

    /// Counts no further than this.
    pub fn limit(mut self, rows: u64) -> Self {
        self.asked.limit = Some(rows);
        self
    }
}

impl<'a, M: BatchModel> Exists<'a, M> {
    pub(super) fn new(engine: Engine, filter: Filter<M>) -> Self {
        let asked = Found { filter, with_deleted: engine.with_deleted };
        Exists { engine, asked, within: None, timeout: None }
    }
}

impl<M: BatchModel> Statement for Counted<M> {
    fn with<T>(
        &self,
        table: &TableSql,
        _: &[ColumnType],
        then: impl FnOnce(&str, &Arguments<'_>) -> Result<T>,
    ) -> Result<T> {
        let (sql, arguments) = sql::count(table, self.filter.expression(), self.limit, self.with_deleted);
        then(&sql, &arguments)
    }
}

impl<M: BatchModel> Statement for Found<M> {
    fn with<T>(
        &self,
        table: &TableSql,
        _: &[ColumnType],
        then: impl FnOnce(&str, &Arguments<'_>) -> Result<T>,
    ) -> Result<T> {
        let (sql, arguments) = sql::exists(table, self.filter.expression(), self.with_deleted);
        then(&sql, &arguments)
    }
}

/// The first field of an answer's only row.
fn cell(rows: &EncodedRows) -> Option<&[u8]> {
    if rows.is_empty() { None } else { rows.row(0).next().flatten() }
}

fn number(rows: &EncodedRows) -> Option<u64> {
    let bytes = cell(rows)?.try_into().ok()?;
    u64::try_from(i64::from_be_bytes(bytes)).ok()
}

fn truth(rows: &EncodedRows) -> Option<bool> {
    match cell(rows)? {
        [byte] => Some(*byte != 0),
        _ => None,
    }
}

fn missing(model: &Model) -> Error {
    Error::new(ErrorKind::Accounting, "the answer is missing").in_table(model.display_name())
}
