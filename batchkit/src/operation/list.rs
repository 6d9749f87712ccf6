//! `list`: the rows that fulfil a filter, in an order, all of them or by pages.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::decode_answered;
use super::engine::Engine;
use super::read::{self, Statement};
use super::relations::{begin_snapshot, related};
use super::stream::RowStream;
use super::verb::primary_key;
use crate::error::{Error, ErrorKind, Result};
use crate::filter::Filter;
use crate::model::{BatchModel, ReadRow, RelationPaths, Relations};
use crate::order::{Cursor, Order, OrderBy, OrderColumn, Position};
use crate::relation::Tree;
use crate::session::Within;
use crate::sql::{self, Arguments, Select, TableSql};
use crate::wire::{ColumnType, EncodedRows, Start, decoding};

/// A read of the rows that fulfil a filter. `.await` gives them all; [`page`](List::page) so many and where to go
/// on; [`stream`](List::stream) one after the other, holding few.
///
/// ```no_run
/// # use batchkit::{BatchModel, BatchOperations, Filter};
/// # #[derive(BatchModel)] #[batch(table = "products")]
/// # struct Product { #[batch(key)] id: i64, name: Option<String>, price: i64 }
/// # async fn run(products: BatchOperations<Product>) -> batchkit::Result<()> {
/// let f = Product::FIELDS;
/// let order = (f.price.desc(), f.name.asc().nulls_last());
/// let dearest: Vec<Product> = products.list(f.price.gt(10)).order_by(order).limit(20).await?;
/// let next = match dearest.last() {
///     Some(last) => products.list(f.price.gt(10)).order_by(["price desc", "name nulls last"]).after(last).limit(20).await?,
///     None => Vec::new(),
/// };
/// # let _ = next;
/// # Ok(()) }
/// ```
///
/// # Order
///
/// Behind the columns named in [`order_by`](List::order_by) come those of the primary key, in the direction of the
/// last one named, so that an order has no two rows in one place; without a word it is that of the key. A model
/// without a key is read in no particular order, but that which is named.
///
/// # Errors
/// Those of the connection and of [`check_schema`](crate::BatchOperations::check_schema);
/// [`ErrorKind::InvalidFilter`], [`ErrorKind::InvalidCursor`] and [`ErrorKind::UnknownRelation`] before anything is read; [`ErrorKind::Decode`] for
/// a stored value that its field cannot hold. What is worth it (a connection that broke, a table that changed) is
/// asked again, as often as `retry_count` says, and never in the caller's transaction.
#[must_use = "a call does nothing until it is awaited"]
pub struct List<'a, M> {
    pub(super) engine: Engine,
    pub(super) selection: Selection<'a, M>,
    pub(super) relations: RelationPaths<M>,
    pub(super) within: Option<Within<'a>>,
    pub(super) timeout: Option<Duration>,
}

/// What is read.
pub(super) struct Selection<'a, M> {
    filter: Filter<M>,
    order: Vec<Order<M>>,
    after: Option<Position<'a, M>>,
    before: Option<Position<'a, M>>,
    limit: Option<u64>,
    offset: Option<u64>,
    with_deleted: bool,
}

/// Some rows of an order, and where to go on: what [`List::page`] gives.
///
/// A row that others insert or delete meanwhile moves no other row to another page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<M> {
    /// The rows, in the order asked for.
    pub rows: Vec<M>,
    /// For [`after`](List::after): the rows behind these, if there are any.
    pub next: Option<Cursor>,
    /// For [`before`](List::before): the rows in front of these, if there are any.
    pub previous: Option<Cursor>,
}

impl<'a, M: BatchModel> List<'a, M> {
    pub(super) fn new(engine: Engine, filter: Filter<M>) -> Self {
        let selection = Selection {
            filter,
            order: Vec::new(),
            after: None,
            before: None,
            limit: None,
            offset: None,
            with_deleted: engine.with_deleted,
        };
        List { engine, selection, relations: RelationPaths::none(), within: None, timeout: None }
    }

    /// The order: `(f.price.desc(), f.name.asc().nulls_last())`, or `["price desc", "name nulls last"]`. Said
    /// again, it replaces what was said before.
    pub fn order_by(mut self, order: impl OrderBy<M>) -> Self {
        self.selection.order = order.orders();
        self
    }

    /// The most rows to read: the first of the order; where only [`before`](Self::before) is said, those right
    /// before that place.
    pub fn limit(mut self, rows: u64) -> Self {
        self.selection.limit = Some(rows);
        self
    }

    /// Leaves out so many rows first. The server reads them all the same: [`after`](Self::after) does not.
    pub fn offset(mut self, rows: u64) -> Self {
        self.selection.offset = Some(rows);
        self
    }

    /// Only rows that come after a place in the order: that of a row read before (`&row`), stored or not, or of a
    /// [`Cursor`]. An index on the columns of the order leads right there. The model needs a key.
    pub fn after(mut self, place: impl Into<Position<'a, M>>) -> Self {
        self.selection.after = Some(place.into());
        self
    }

    /// Only rows that come before a place in the order. With a limit, those right before it; they come in the order
    /// asked for all the same.
    pub fn before(mut self, place: impl Into<Position<'a, M>>) -> Self {
        self.selection.before = Some(place.into());
        self
    }

    /// Reads inside of the caller's transaction.
    pub fn within(mut self, transaction: impl Into<Within<'a>>) -> Self {
        self.within = Some(transaction.into());
        self
    }

    /// When the read has to be over, retries included; of a stream, how long one fetch may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Loads what the rows are related to, too, as [`Call::load_relations`](crate::Call::load_relations) does. Said
    /// again, it adds to what was said before.
    pub fn load_relations(mut self, relations: impl Relations<M>) -> Self {
        self.relations = self.relations.and(relations);
        self
    }

    /// Reads the rows and all that they are related to in one transaction that sees one state of the data. (Inside of
    /// a caller's transaction, that one's own isolation level decides.)
    pub fn snapshot(mut self) -> Self {
        self.relations = self.relations.snapshot();
        self
    }

    /// The statement, without a server: as if all columns had the types that the fields prefer.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownField`], and [`ErrorKind::Schema`] for a type that only a server knows.
    pub fn sql(&self) -> Result<String> {
        read::sql(M::MODEL, &self.selection)
    }

    /// How the server would read these rows: the text of its EXPLAIN. Nothing is read.
    ///
    /// # Errors
    /// Those of the read itself.
    pub async fn explain(self) -> Result<String> {
        read::explain(&self.engine, self.within, self.timeout, M::MODEL, &self.selection).await
    }
}

impl<'a, M: ReadRow> List<'a, M> {
    /// Reads `size` rows at the most, and tells where to go on.
    ///
    /// ```no_run
    /// # use batchkit::{BatchModel, BatchOperations, Cursor, Filter};
    /// # #[derive(BatchModel)] #[batch(table = "products")]
    /// # struct Product { #[batch(key)] id: i64, price: i64 }
    /// # async fn run(products: BatchOperations<Product>, token: Option<String>) -> batchkit::Result<()> {
    /// let mut list = products.list(Filter::all()).order_by("price desc");
    /// if let Some(token) = token {
    ///     list = list.after(token.parse::<Cursor>()?);
    /// }
    /// let page = list.page(50).await?;
    /// let next: Option<String> = page.next.map(|cursor| cursor.to_string());
    /// # let _ = (page.rows, next);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of the read itself; [`ErrorKind::UnknownKey`] for a model without a key; [`ErrorKind::Config`] for a
    /// size of nothing, or where a limit is said too.
    pub async fn page(mut self, size: u64) -> Result<Page<M>> {
        primary_key(M::MODEL)?;
        let most = usize::try_from(size).unwrap_or(usize::MAX);
        let limit = size.checked_add(1).filter(|_| size > 0 && self.selection.limit.is_none());
        let refused = || Error::new(ErrorKind::Config, "a page needs a size, which is its only limit");
        self.selection.limit = Some(limit.ok_or_else(refused)?);
        let order = self.selection.columns()?;
        let has_after = self.selection.after.is_some();
        let from_end = self.selection.before.is_some() && !has_after;
        let show = |rows: EncodedRows, columns: &[ColumnType]| {
            let Page { rows, next, previous } = page(&rows, columns, &order, most, from_end, has_after)?;
            Ok((rows, (next, previous)))
        };
        let (rows, (next, previous)) = self.load(None, show).await?;
        Ok(Page { rows, next, previous })
    }

    /// Reads the rows one after the other, of any number, and holds few of them. See [`RowStream`].
    pub fn stream(self) -> RowStream<'a, M> {
        RowStream::new(self)
    }

    /// Reads the rows, of which `show` makes entities and more, and loads what they are related to. Where they are to be
    /// decoded as they come, `show` sees nothing else of them.
    async fn load<T>(
        mut self,
        decode: Option<Start>,
        show: impl FnOnce(EncodedRows, &[ColumnType]) -> Result<(Vec<M>, T)>,
    ) -> Result<(Vec<M>, T)> {
        let (tree, started) = (Tree::of(M::MODEL, &self.relations)?, Instant::now());
        let mut caller = self.within.take();
        let (mut client, mut own) = (None, None);
        if self.relations.is_snapshot() && caller.is_none() {
            own = Some(begin_snapshot(client.insert(self.engine.pool.get().await?)).await?);
        }
        let mut within = match (&mut own, &mut caller) {
            (Some(own), _) => Some(Within::from(own)),
            (None, caller) => caller.as_mut().map(Within::lend),
        };
        let lent = within.as_mut().map(Within::lend);
        let (rows, columns) = read::query(&self.engine, lent, self.timeout, M::MODEL, &self.selection, decode).await?;
        let (rows, shown) = show(rows, &columns)?;
        // Within the time that is left.
        let timeout = self.timeout.or(self.engine.config.timeout);
        self.engine.config.timeout = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
        let slots = related(&self.engine, within, tree, rows.into_iter().map(Some).collect()).await?;
        if let Some(own) = own {
            own.commit().await?;
        }
        Ok((slots.into_iter().flatten().collect(), shown))
    }
}

/// The rows of a page out of those that were read for it, and the places to go on at.
fn page<M: ReadRow>(
    rows: &EncodedRows,
    columns: &[ColumnType],
    order: &[OrderColumn],
    most: usize,
    from_end: bool,
    has_after: bool,
) -> Result<Page<M>> {
    let more = rows.len() > most;
    let shown = match (more, from_end) {
        (false, _) => 0..rows.len(),
        (true, false) => 0..most,
        (true, true) => rows.len() - most..rows.len(),
    };
    let rows = rows.slice(shown);
    let types = Order::<M>::types(order, columns);
    let place = |row: usize| {
        let fields: Vec<Option<&[u8]>> = rows.row(row).collect();
        let value = |one: &OrderColumn| fields.get(one.column).copied().flatten().map(<[u8]>::to_vec);
        Cursor::new::<M>(order, &types, order.iter().map(value).collect())
    };
    let (behind, before) = if from_end { (true, more) } else { (more, has_after) };
    let last = rows.len().checked_sub(1);
    let next = last.filter(|_| behind).map(place);
    let previous = last.filter(|_| before).map(|_| place(0));
    Ok(Page { rows: decode_answered(&rows, columns)?, next, previous })
}

impl<'a, M: ReadRow + 'a> IntoFuture for List<'a, M> {
    type Output = Result<Vec<M>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (rows, ()) =
                self.load(Some(decoding::<M>), |rows, columns| Ok((decode_answered(&rows, columns)?, ()))).await?;
            Ok(rows)
        })
    }
}

impl<M: BatchModel> Selection<'_, M> {
    /// The order's columns. What depends on places needs a key.
    fn columns(&self) -> Result<Vec<OrderColumn>> {
        if self.after.is_some() || self.before.is_some() {
            primary_key(M::MODEL)?;
        }
        Order::columns(&self.order)
    }
}

impl<M: BatchModel> Statement for Selection<'_, M> {
    fn with<T>(
        &self,
        table: &TableSql,
        columns: &[ColumnType],
        then: impl FnOnce(&str, &Arguments<'_>) -> Result<T>,
    ) -> Result<T> {
        let order = self.columns()?;
        let place = |position: &Option<Position<'_, M>>| match position {
            None => Ok(None),
            // Without a server there are no types, and no values are asked for.
            Some(_) if columns.is_empty() => Ok(Some(vec![None; order.len()])),
            Some(position) => position.values(&order, &Order::<M>::types(&order, columns)).map(Some),
        };
        let (after, before) = (place(&self.after)?, place(&self.before)?);
        let select = Select {
            filter: self.filter.expression(),
            order: &order,
            after: after.as_deref(),
            before: before.as_deref(),
            limit: self.limit,
            offset: self.offset,
            with_deleted: self.with_deleted,
        };
        let (sql, arguments) = sql::select(table, &select);
        then(&sql, &arguments)
    }
}

// Never prints a value.
impl<M> fmt::Debug for List<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Selection { filter, order, after, before, limit, offset, with_deleted } = &self.selection;
        f.debug_struct("List")
            .field("filter", filter)
            .field("order", order)
            .field("after", after)
            .field("before", before)
            .field("limit", limit)
            .field("offset", offset)
            .field("with_deleted", with_deleted)
            .field("relations", &self.relations)
            .field("within", &self.within)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
