//! One connection, pooled or the caller's, under one set of methods.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use deadpool_postgres::{Object, Pool};
use futures_util::future::join;
use futures_util::{SinkExt, TryStreamExt, pin_mut};
use postgres_types::{ToSql, Type};
use tokio_postgres::error::SqlState;
use tokio_postgres::{CopyInSink, RowStream, SimpleQueryMessage, Statement, Transaction};

use super::fate::Identity;
use super::mark::Mark;
use super::named::NAMED;
use super::opening::Opening;
use super::receive::read;
use super::shape::Text;
use super::trips::{Total, Trips};
use super::values::Unprinted;
use crate::error::{Error, ErrorKind, Result};
use crate::retry::Stage;
use crate::settings::Plans;
use crate::wire::EncodedRows;

/// A transaction of the caller's. One call at a time: hence `&mut`.
#[async_trait]
trait Caller: Send {
    /// Opens a savepoint; dropping it rolls back to it.
    async fn savepoint(&mut self) -> Result<Transaction<'_>, tokio_postgres::Error>;
}

#[async_trait]
impl Caller for Transaction<'_> {
    async fn savepoint(&mut self) -> Result<Transaction<'_>, tokio_postgres::Error> {
        self.transaction().await
    }
}

/// A transaction of the caller's, lent to one call: made from `&mut` of tokio-postgres's or
/// deadpool-postgres's `Transaction`.
pub struct Within<'a>(&'a mut (dyn Caller + 'a));

impl<'a, 'b: 'a> From<&'a mut Transaction<'b>> for Within<'a> {
    fn from(transaction: &'a mut Transaction<'b>) -> Self {
        Within(transaction)
    }
}

impl<'a, 'b: 'a> From<&'a mut deadpool_postgres::Transaction<'b>> for Within<'a> {
    fn from(transaction: &'a mut deadpool_postgres::Transaction<'b>) -> Self {
        Within(&mut **transaction)
    }
}

impl Within<'_> {
    /// Lends it on, for a part of the call.
    pub(crate) fn lend(&mut self) -> Within<'_> {
        Within(&mut *self.0)
    }
}

impl std::fmt::Debug for Within<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Within")
    }
}

/// A connection for one piece of work.
pub(crate) enum Session<'a> {
    /// From the pool, with a transaction of batchkit's own.
    Pooled(Box<Pooled>),
    /// A savepoint in the caller's transaction. Nothing is committed here, no setting is changed.
    Caller(Transaction<'a>),
}

/// A connection from the pool. Dropped with its transaction open, it is discarded.
pub(crate) struct Pooled {
    client: Option<Object>,
    vouched_for: AtomicBool,
    /// Behind a refused COPY the driver's answers belong to other requests.
    is_poisoned: AtomicBool,
    pool: Pool,
    /// What its transaction is found by, should nobody wait for its answer any longer.
    pub(super) mark: Mark,
    trips: Trips,
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let is_clean = *self.vouched_for.get_mut() && !*self.is_poisoned.get_mut();
        if let (Some(client), false) = (self.client.take(), is_clean) {
            drop(Object::take(client));
            self.mark.end(&self.pool);
        }
    }
}

impl Pooled {
    pub(super) async fn get(pool: &Pool) -> Result<Box<Self>> {
        let client = Some(pool.get().await?);
        let (vouched_for, is_poisoned) = (AtomicBool::new(true), AtomicBool::new(false));
        Ok(Box::new(Pooled {
            client,
            vouched_for,
            is_poisoned,
            pool: pool.clone(),
            mark: Mark::new(),
            trips: Trips::new(Total::default()),
        }))
    }

    pub(super) fn client(&self) -> Result<&Object> {
        self.client.as_ref().filter(|_| !self.is_poisoned.load(Ordering::Relaxed)).ok_or_else(given_back)
    }

    /// The connection, and its mark.
    pub(super) fn parts(&mut self) -> Result<(&mut Object, &Mark)> {
        Ok((self.client.as_mut().ok_or_else(given_back)?, &self.mark))
    }

    /// Whether the connection may go back to the pool as it is; answers what was set before.
    pub(super) fn vouch(&self, vouched_for: bool) -> bool {
        self.vouched_for.swap(vouched_for, Ordering::Relaxed)
    }

    /// A statement of this connection, which may have been prepared before.
    pub(super) async fn prepare(&self, sql: &str, types: &[Type]) -> Result<Statement> {
        let client = self.client()?;
        let known = client.statement_cache.size();
        let statement = prepare_cached(client, sql, types).await?;
        if client.statement_cache.size() != known {
            self.trips.one();
        }
        Ok(statement)
    }

    /// Runs a text without parameters and without rows.
    pub(super) async fn execute(&self, sql: &str) -> Result<()> {
        Ok(self.trips.wait(pin!(self.client()?.batch_execute(sql))).await?)
    }

    /// Opens a transaction; what it can be found by, if it `writes`.
    pub(super) async fn begin(&self, opening: &Opening, writes: bool) -> Result<Option<Identity>> {
        self.vouch(false);
        let key = self.mark.begin();
        let message = opening.by_itself(Plans::OfTheirRows, key, writes);
        let opened = self.trips.wait(pin!(self.send_opening(&message, writes.then_some(key)))).await;
        opened.map_err(|unopened| unopened.error)
    }

    /// Whether this connection knows the name of what such a transaction is opened with; `None` where it has opened none
    /// like it before.
    pub(super) fn knows(&self, opening: &Opening, writes: bool) -> Result<Option<bool>> {
        Ok(NAMED.knows(&self.client()?.statement_cache, opening.prepared(writes).number))
    }

    /// Opens a transaction in front of others' messages: by name, where that is known. A connection that has opened none
    /// like it before is told the name in front of it.
    pub(super) async fn open(
        &self,
        opening: &Opening,
        writes: bool,
        plans: Plans,
        knows: Option<bool>,
    ) -> Result<Option<Identity>, Unopened> {
        let not_begun = |error| Unopened { error, is_begun: false };
        let connection = &self.client().map_err(not_begun)?.statement_cache;
        let prepared = opening.prepared(writes);
        let key = self.mark.begin();
        let message = match knows {
            Some(true) => Opening::by_name(prepared, plans, key),
            _ => opening.by_itself(plans, key, writes),
        };
        let opened = async { self.trips.wait(pin!(self.send_opening(&message, writes.then_some(key)))).await };
        if knows.is_none() {
            let (knows, opened) = if NAMED.is_lost(prepared.number) {
                (false, opened.await)
            } else {
                // Outside of the transaction: where the server has no names to give, nothing is lost.
                let (named, opened) = join(Box::pin(self.execute(&prepared.text)), opened).await;
                // By this name the backend has the same text, from whomever it is.
                let is_there = |error: Error| error.sqlstate() == Some(&SqlState::DUPLICATE_PSTATEMENT);
                (named.map_or_else(is_there, |()| true), opened)
            };
            NAMED.note(connection, prepared.number, knows);
            return opened;
        }
        let opened = opened.await;
        if let Err(unopened) = &opened
            && unopened.error.sqlstate() == Some(&SqlState::INVALID_SQL_STATEMENT_NAME)
        {
            // Whoever tries again, on whichever connection, sends the statement itself.
            NAMED.lose(prepared.number);
        }
        opened
    }

    /// Sends what opens a transaction, under the mark's key if it writes; what the transaction can be found by then.
    async fn send_opening(&self, message: &str, writes_under: Option<i64>) -> Result<Option<Identity>, Unopened> {
        let mut is_begun = false;
        let mut identity = None;
        let opened = async {
            let mut answers = pin!(self.client()?.simple_query_raw(message).await?);
            while let Some(answer) = answers.try_next().await? {
                match (answer, writes_under) {
                    (SimpleQueryMessage::CommandComplete(_), _) => is_begun = true,
                    (SimpleQueryMessage::Row(told), Some(key)) => identity = Identity::read(&told, key),
                    _ => {}
                }
            }
            self.mark.set();
            match (writes_under, &identity) {
                (Some(_), None) => {
                    Err(Error::new(ErrorKind::Connection, "the server did not tell the transaction's id"))
                }
                _ => Ok(()),
            }
        };
        match opened.await {
            Ok(()) => Ok(identity),
            Err(error) => Err(Unopened { error, is_begun }),
        }
    }

    /// Opens a COPY.
    pub(super) async fn open_copy(&self, statement: &Statement) -> Result<CopyInSink<Bytes>> {
        let opened = self.trips.wait(pin!(self.client()?.copy_in(statement))).await;
        if opened.is_err() {
            self.poison();
        }
        Ok(opened?)
    }

    /// Discards the connection at the end instead of giving it back.
    fn poison(&self) {
        self.is_poisoned.store(true, Ordering::Relaxed);
    }

    /// Ends the transaction; nothing was written.
    pub(super) async fn rollback(&self) {
        if let Ok(client) = self.client() {
            self.vouch(self.trips.wait(pin!(client.batch_execute("ROLLBACK"))).await.is_ok());
        }
    }
}

/// The most statements that a connection keeps prepared: each takes the server memory, and the shapes of filters, or the
/// fields of updates, may have no end.
const MOST_PREPARED: usize = 512;

/// A statement that stays prepared. The one too many has all others given up: those that are still used are prepared again.
pub(super) async fn prepare_cached(client: &Object, sql: &str, types: &[Type]) -> Result<Statement> {
    let statement = client.prepare_typed_cached(sql, types).await?;
    if client.statement_cache.size() > MOST_PREPARED {
        client.statement_cache.clear();
    }
    Ok(statement)
}

/// Does the last work of a flush, and notes when that was on its way. (It is encoded then, which can take longer than a
/// round trip; what is in front of it may be on its way already.)
async fn noting<T>(mut work: Pin<&mut impl Future<Output = T>>, all_sent: &OnceLock<Instant>) -> T {
    let first = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
    let _ = all_sent.set(Instant::now());
    match first {
        Poll::Ready(done) => done,
        Poll::Pending => work.await,
    }
}

/// Why a transaction was not opened.
#[derive(Debug)]
pub(super) struct Unopened {
    pub(super) error: Error,
    /// Whether there was one when that happened: what was sent behind it failed with it.
    is_begun: bool,
}

fn given_back() -> Error {
    Error::new(ErrorKind::Connection, "the connection was given back")
}

impl<'a> Session<'a> {
    /// A connection from the pool, or a savepoint in the caller's transaction.
    pub(crate) async fn open(pool: &Pool, within: Option<Within<'a>>) -> Result<Session<'a>> {
        match within {
            None => Ok(Session::Pooled(Pooled::get(pool).await?)),
            Some(Within(caller)) => Ok(Session::Caller(caller.savepoint().await?)),
        }
    }

    /// Adds the round trips of a connection of the pool to these.
    pub(crate) fn counted(mut self, total: &Total) -> Self {
        if let Session::Pooled(pooled) = &mut self {
            pooled.trips = Trips::new(Total::clone(total));
        }
        self
    }

    /// Opens the transaction. One that `writes` tells what it can be found by, should its connection break; one
    /// that only reads is ended on the server, too, when this session is dropped half-way.
    pub(crate) async fn begin(&self, opening: &Opening, writes: bool) -> Result<Option<Identity>> {
        match self {
            Session::Pooled(pooled) => pooled.begin(opening, writes).await,
            Session::Caller(_) => Ok(None),
        }
    }

    /// Opens the transaction, as [`begin`](Self::begin) does, and works in it. On a connection that has opened one
    /// before, what the work sends first leaves in one flush with that. (The first time it is waited for: a pooler
    /// that refuses transactions would have the work done without one.)
    ///
    /// `identity` is told as soon as it is known, also where nobody waits for the end.
    pub(super) async fn begin_with<T>(
        &self,
        opening: &Opening,
        writes: bool,
        plans: Plans,
        identity: &OnceLock<Identity>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T, (Stage, Error)> {
        let Session::Pooled(pooled) = self else { return work.await.map_err(|error| (Stage::Work, error)) };
        let at_begin = |error| (Stage::Begin, error);
        let tell = |known: Option<Identity>| {
            if let Some(known) = known {
                let _ = identity.set(known);
                // Whoever repeats the work ends the transaction.
                pooled.mark.leave();
            }
        };
        pooled.vouch(false);
        let knows = pooled.knows(opening, writes).map_err(at_begin)?;
        let all_sent = OnceLock::new();
        let open = async {
            // Behind a COMMIT its answer waits for that.
            let is_first = pooled.trips.is_idle();
            let opened = pooled.open(opening, writes, plans, knows).await;
            if let (true, Ok(_), Some(sent)) = (is_first, &opened, all_sent.get()) {
                opening.measured(Instant::elapsed(sent));
            }
            opened.map(tell)
        };
        if knows.is_none() {
            noting(pin!(open), &all_sent).await.map_err(|unopened| {
                // Its next transaction would be taken for one that is not the first.
                if !unopened.is_begun {
                    self.poison();
                }
                at_begin(unopened.error)
            })?;
            return work.await.map_err(|error| (Stage::Work, error));
        }
        let mut open = pin!(open);
        // What cannot even be sent is an error at once: nothing is to be sent behind it.
        if let Poll::Ready(opened) = poll_fn(|context| Poll::Ready(open.as_mut().poll(context))).await {
            opened.map_err(|unopened| at_begin(unopened.error))?;
            return work.await.map_err(|error| (Stage::Work, error));
        }
        // So they leave in this order.
        match join(open, noting(pin!(work), &all_sent)).await {
            (Ok(()), worked) => worked.map_err(|error| (Stage::Work, error)),
            (Err(unopened), _) if unopened.is_begun || unopened.error.is_lost() => Err(at_begin(unopened.error)),
            // The server had no transaction to give, and did each statement by itself: it cannot be taken back.
            (Err(Unopened { error, .. }), _) => {
                self.poison();
                let what =
                    format!("a transaction was refused ({error}), and statements behind it were done without one");
                Err((Stage::Commit, Error::new(ErrorKind::CommitUnknown, what)))
            }
        }
    }

    /// Sends COMMIT, on a connection that goes on with another transaction.
    pub(super) async fn send_commit(&self) -> Result<()> {
        self.execute("COMMIT").await
    }

    /// Ends the transaction; what was written is in. After an error without a plain answer of the server
    /// (see [`Error::is_lost`]) it may be in or not.
    pub(crate) async fn commit(self) -> Result<()> {
        match self {
            Session::Caller(savepoint) => Ok(savepoint.commit().await?),
            Session::Pooled(pooled) => {
                let committed = pooled.execute("COMMIT").await;
                // After a plain ERROR (a deferred constraint) the server has rolled back.
                pooled.vouch(committed.as_ref().err().is_none_or(|error| !error.is_lost()));
                committed
            }
        }
    }

    /// Ends the transaction; nothing was written. A connection that does not answer is discarded.
    pub(crate) async fn rollback(self) {
        match self {
            Session::Caller(savepoint) => {
                // An error here shows again at the caller's next statement.
                let _ = savepoint.rollback().await;
            }
            Session::Pooled(pooled) => pooled.rollback().await,
        }
    }

    /// Discards a pooled connection at the end instead of giving it back.
    fn poison(&self) {
        if let Session::Pooled(pooled) = self {
            pooled.poison();
        }
    }

    /// A statement that answers stored rows as they are known.
    pub(super) async fn prepare_text(&self, text: Text<'_>) -> Result<Statement> {
        let statement = self.prepare_typed(text.sql, &[]).await?;
        text.shape.map_or(Ok(()), |shape| shape.check(&statement))?;
        Ok(statement)
    }

    /// A statement of which the types of some parameters are known.
    pub(super) async fn prepare_typed(&self, sql: &str, types: &[Type]) -> Result<Statement> {
        Ok(match self {
            Session::Pooled(pooled) => pooled.prepare(sql, types).await?,
            Session::Caller(savepoint) => savepoint.prepare_typed(sql, types).await?,
        })
    }

    pub(super) async fn query(&self, statement: &Statement, parameters: &[&(dyn ToSql + Sync)]) -> Result<RowStream> {
        let parameters = parameters.iter().map(|parameter| Unprinted(*parameter));
        Ok(match self {
            Session::Pooled(pooled) => {
                pooled.trips.wait(pin!(pooled.client()?.query_raw(statement, parameters))).await?
            }
            Session::Caller(savepoint) => savepoint.query_raw(statement, parameters).await?,
        })
    }

    /// Runs a statement whose text stays the same from call to call: its rows, and the number in its tag.
    pub(crate) async fn run(&self, text: Text<'_>, parameters: &[&(dyn ToSql + Sync)]) -> Result<(EncodedRows, u64)> {
        // Dropped half-way, a statement goes on at the server: its connection is not for the next borrower.
        let vouched_for = self.vouch(false);
        let answer = async { read(self.query(&self.prepare_text(text).await?, parameters).await?).await }.await;
        self.vouch(vouched_for);
        answer
    }

    /// The same for a statement with rows of the table's own type among its parameters: the table is locked before
    /// the server reads them. It reads parameters before it takes the locks of a statement that is prepared, and
    /// if the type of a column has changed by then, it takes the old bytes for the new type.
    pub(crate) async fn run_with_rows(
        &self,
        lock: Option<&str>,
        text: Text<'_>,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<(EncodedRows, u64)> {
        let vouched_for = self.vouch(false);
        let answer = async {
            let Session::Pooled(pooled) = self else {
                // Preparing it has locked the table until the transaction's end.
                return read(self.query(&self.prepare_text(text).await?, parameters).await?).await;
            };
            let Some(lock) = lock else {
                let statement = pooled.trips.wait(pin!(pooled.client()?.prepare(text.sql))).await?;
                text.shape.map_or(Ok(()), |shape| shape.check(&statement))?;
                return read(self.query(&statement, parameters).await?).await;
            };
            self.run_behind(lock, text, parameters).await
        }
        .await;
        self.vouch(vouched_for);
        answer
    }

    /// Runs a statement whose text stays the same from call to call behind one of constant text that answers nothing.
    pub(crate) async fn run_behind(
        &self,
        first: &str,
        text: Text<'_>,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<(EncodedRows, u64)> {
        let vouched_for = self.vouch(false);
        let answer = async {
            let statement = self.prepare_text(text).await?;
            // Polled together, the two leave in one flush.
            let (done, stream) = tokio::join!(self.execute(first), self.query(&statement, parameters));
            done?;
            read(stream?).await
        }
        .await;
        self.vouch(vouched_for);
        answer
    }

    /// Sets whether a pooled connection may go back to the pool as it is; answers what was set before.
    pub(super) fn vouch(&self, vouched_for: bool) -> bool {
        match self {
            Session::Pooled(pooled) => pooled.vouch(vouched_for),
            Session::Caller(_) => true,
        }
    }

    /// Runs a statement with one text parameter that answers one text, if it answers.
    pub(crate) async fn text(&self, sql: &str, parameter: &str) -> Result<Option<String>> {
        let (rows, _) = self.run(sql.into(), &[&parameter]).await?;
        let field = if rows.is_empty() { None } else { rows.row(0).next().flatten() };
        Ok(field.map(|text| String::from_utf8_lossy(text).into_owned()))
    }

    /// The types of a statement's parameters.
    pub(crate) async fn parameter_types(&self, sql: &str) -> Result<Vec<Type>> {
        Ok(match self {
            Session::Pooled(pooled) => pooled.client()?.prepare(sql).await?.params().to_vec(),
            Session::Caller(savepoint) => savepoint.prepare(sql).await?.params().to_vec(),
        })
    }

    /// Runs a statement of constant text without parameters, or with none to answer.
    pub(crate) async fn execute(&self, sql: &str) -> Result<()> {
        match self {
            Session::Pooled(pooled) => pooled.execute(sql).await?,
            Session::Caller(savepoint) => savepoint.batch_execute(sql).await?,
        }
        Ok(())
    }

    /// Sends rows through binary COPY; answers their number.
    pub(super) async fn copy_in(&self, sql: &str, rows: Bytes) -> Result<u64> {
        let sink = match self {
            Session::Pooled(pooled) => pooled.open_copy(&pooled.prepare(sql, &[]).await?).await?,
            Session::Caller(savepoint) => savepoint.copy_in(sql).await?,
        };
        self.feed(sink, rows).await
    }

    /// Sends rows by a COPY that was opened; answers their number.
    pub(super) async fn feed(&self, sink: CopyInSink<Bytes>, rows: Bytes) -> Result<u64> {
        pin_mut!(sink);
        let sent = async {
            for message in copy_messages(rows) {
                sink.feed(message).await?;
            }
            Ok(sink.finish().await?)
        };
        match self {
            Session::Pooled(pooled) => pooled.trips.wait(pin!(sent)).await,
            Session::Caller(_) => sent.await,
        }
    }
}

/// The bytes of one CopyData message: enough to be cheap, little enough to stay in the cache.
const COPY_MESSAGE: usize = 64 << 10;

/// The header of binary COPY, the rows in pieces, and the trailer.
fn copy_messages(rows: Bytes) -> impl Iterator<Item = Bytes> {
    let header = Bytes::from_static(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
    let trailer = Bytes::from_static(b"\xff\xff");
    let pieces = (0..rows.len()).step_by(COPY_MESSAGE).map(move |at| rows.slice(at..rows.len().min(at + COPY_MESSAGE)));
    std::iter::once(header).chain(pieces).chain(std::iter::once(trailer))
}
