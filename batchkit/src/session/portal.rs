//! A long read in pieces: a task of its own fetches through a portal and hands over what was asked for.
//!
//! The portal stays in a read-only transaction of a pooled connection. The task fetches a piece only when there is
//! a place for it, so that a slow reader holds the server back, and not the rows in memory. When nobody reads any
//! longer it rolls back; a server that is in the middle of a fetch then is told to end, as at the end of any read.

use std::pin::{Pin, pin};
use std::time::Duration;

use deadpool_postgres::Pool;
use futures_util::StreamExt;
use postgres_types::ToSql;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::Instant;
use tokio_postgres::{IsolationLevel as DriverLevel, Portal, RowStream, Statement, Transaction};

use super::client::Pooled;
use super::receive::push;
use super::shape::Shape;
use super::values::{Question, Values};
use crate::error::Result;
use crate::retry::within;
use crate::settings::{DatabaseSettings, IsolationLevel, Plans};
use crate::wire::{EncodedRows, RowsBuilder};

/// A piece is handed over early when it has so many bytes: wide rows do not make it large.
const MOST_BYTES: usize = 4 << 20;

/// Rows of the answer.
#[derive(Debug)]
pub(crate) struct Piece {
    /// The rows.
    pub(crate) rows: EncodedRows,
    /// Whether the server has said that there are no more, and the transaction is over.
    pub(crate) last: bool,
}

/// How a portal is read.
#[derive(Debug, Clone)]
pub(crate) struct Fetching {
    /// The most rows of one fetch.
    pub(crate) rows: i32,
    /// How long one may take.
    pub(crate) timeout: Option<Duration>,
    /// The settings of the transaction.
    pub(crate) database: DatabaseSettings,
}

/// A statement on a connection, its values encoded, that was not begun to be read.
pub(crate) struct Unread {
    pooled: Box<Pooled>,
    statement: Statement,
    values: Values,
}

impl Unread {
    /// A connection for the question, where it is prepared: under the settings, since it may wait for a lock.
    pub(crate) async fn prepare(
        pool: &Pool,
        question: &Question<'_>,
        shape: &Shape,
        database: &DatabaseSettings,
    ) -> Result<Self> {
        let pooled = Pooled::get(pool).await?;
        pooled.begin(&database.opening(), false).await?;
        let prepared = question.prepare(pooled.client()?).await;
        pooled.rollback().await;
        let statement = prepared?;
        shape.check(&statement)?;
        let values = (question.encode)(statement.params())?;
        Ok(Unread { pooled, statement, values })
    }

    /// Starts to read; the pieces, of which one waits until it is taken.
    pub(crate) fn read(self, fetching: Fetching) -> Receiver<Result<Piece>> {
        let (sender, receiver) = channel(1);
        tokio::spawn(self.run(fetching, sender));
        receiver
    }

    async fn run(mut self, fetching: Fetching, pieces: Sender<Result<Piece>>) {
        self.pooled.vouch(false);
        match self.read_all(&fetching, &pieces).await {
            Ok(End::Clean) => {
                self.pooled.vouch(true);
            }
            Ok(End::Abandoned) => {}
            Err(error) => {
                // What the server still does ends with it.
                drop(self.pooled);
                let _ = pieces.send(Err(error)).await;
            }
        }
    }

    async fn read_all(&mut self, fetching: &Fetching, pieces: &Sender<Result<Piece>>) -> Result<End> {
        let values: Vec<&(dyn ToSql + Sync)> = self.values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        // Whoever reads may take his time; the transaction waits for him.
        let settings = DatabaseSettings { idle_in_transaction_timeout: None, ..fetching.database.clone() }.opening();
        let (client, mark) = self.pooled.parts()?;
        let settling = settings.settling(Plans::OfTheirRows, mark.begin(), false);
        let client: &mut tokio_postgres::Client = client;
        let level = fetching.database.isolation_level.map(driver_level);
        let begin = async {
            let mut builder = client.build_transaction().read_only(true);
            if let Some(level) = level {
                builder = builder.isolation_level(level);
            }
            let transaction = builder.start().await?;
            transaction.batch_execute(&settling).await?;
            mark.set();
            let portal = transaction.bind(&self.statement, &values).await?;
            Ok((transaction, portal))
        };
        let Some((transaction, portal)) = unless_dropped(pieces, fetching.timeout, begin).await? else {
            return Ok(End::Abandoned);
        };
        let mut fetch = None;
        loop {
            let Ok(place) = pieces.reserve().await else {
                transaction.rollback().await?;
                return Ok(End::Clean);
            };
            let step = piece(&transaction, &portal, fetching.rows, &mut fetch);
            let Some((rows, complete)) = unless_dropped(pieces, fetching.timeout, step).await? else {
                return Ok(End::Abandoned);
            };
            if complete {
                // Under SERIALIZABLE, what was read holds only if this goes through.
                let commit = async { Ok(transaction.commit().await?) };
                if unless_dropped(pieces, fetching.timeout, commit).await?.is_none() {
                    return Ok(End::Abandoned);
                }
                place.send(Ok(Piece { rows, last: true }));
                return Ok(End::Clean);
            }
            if !rows.is_empty() {
                place.send(Ok(Piece { rows, last: false }));
            }
        }
    }
}

/// How a read ended without an error.
enum End {
    /// Its transaction is over.
    Clean,
    /// Nobody reads any longer, and the server may be at work.
    Abandoned,
}

/// Waits for a step of the server's, but no longer than it may take; `None` when nobody reads any longer.
async fn unless_dropped<T>(
    pieces: &Sender<Result<Piece>>,
    timeout: Option<Duration>,
    step: impl Future<Output = Result<T>>,
) -> Result<Option<T>> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let step = pin!(step);
    tokio::select! {
        biased;
        () = pieces.closed() => Ok(None),
        done = within(deadline, step) => done.map(Some),
    }
}

/// The rows of one fetch, or those that came until they were many bytes; whether they are the last.
async fn piece(
    transaction: &Transaction<'_>,
    portal: &Portal,
    most: i32,
    fetch: &mut Option<Pin<Box<RowStream>>>,
) -> Result<(EncodedRows, bool)> {
    let stream = match fetch {
        Some(stream) => stream,
        None => fetch.insert(Box::pin(transaction.query_portal_raw(portal, most).await?)),
    };
    let mut rows = RowsBuilder::default();
    while let Some(row) = stream.next().await {
        let row = row?;
        push(&mut rows, &row)?;
        if rows.byte_len() >= MOST_BYTES {
            return Ok((rows.finish(), false));
        }
    }
    // The tag of the command comes once, behind its last row; a fetch that is not the last one ends without.
    let complete = stream.rows_affected().is_some();
    *fetch = None;
    Ok((rows.finish(), complete))
}

fn driver_level(level: IsolationLevel) -> DriverLevel {
    match level {
        IsolationLevel::ReadCommitted => DriverLevel::ReadCommitted,
        IsolationLevel::RepeatableRead => DriverLevel::RepeatableRead,
        IsolationLevel::Serializable => DriverLevel::Serializable,
    }
}
