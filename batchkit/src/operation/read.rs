//! What the plain reads have in common: their statement and its values are worked out for the table as the server
//! describes it, and asked for as often as the connection needs.

use std::sync::{Arc, Weak};
use std::time::Duration;

use postgres_types::Type;
use tokio::time::Instant;

use super::answer::read_types;
use super::arguments::{declared_types, encode};
use super::engine::Engine;
use crate::catalog::Table;
use crate::config::BatchConfig;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::observe::ErrorObserver;
use crate::retry::{Budget, Policy, Retries, Workers};
use crate::session::{Encoded, Question, Session, Within};
use crate::sql::{Arguments, TableSql};
use crate::wire::{ColumnType, EncodedRows};

/// A read of one statement: what it says, for the table as it is.
pub(super) trait Statement: Sync {
    /// The text, and the values of its parameters. `columns` are the types of the model's columns.
    fn with<T>(
        &self,
        table: &TableSql,
        columns: &[ColumnType],
        then: impl FnOnce(&str, &Arguments<'_>) -> Result<T>,
    ) -> Result<T>;
}

/// A statement for a table that is known, and the types of the table's columns.
pub(super) struct Prepared {
    pub(super) sql: String,
    /// The types of its parameters, as far as they are known.
    pub(super) types: Vec<Type>,
    /// The types of the model's columns.
    pub(super) columns: Arc<[ColumnType]>,
    table: TableSql,
}

impl Prepared {
    pub(super) fn new(model: &Model, table: &Table, statement: &impl Statement) -> Result<Self> {
        let columns = read_types(model, table);
        let table = TableSql::known(model, table);
        let (sql, types) = statement
            .with(&table, &columns, |sql, arguments| Ok((sql.to_owned(), declared_types(arguments, &columns)?)))?;
        Ok(Prepared { sql, types, columns, table })
    }

    /// The values, once the server has told the parameters' types.
    pub(super) fn encode(&self, statement: &impl Statement, parameters: &[Type]) -> Result<Vec<Option<Encoded>>> {
        statement.with(&self.table, &self.columns, |_, arguments| encode(arguments, &self.columns, parameters))
    }
}

/// How a read of these settings is repeated, and when it has to be over.
pub(super) fn policy(config: &BatchConfig, timeout: Option<Duration>) -> Policy {
    Policy {
        rejects: false,
        call: Weak::new(),
        retry_count: config.retry_count,
        retry_delay: config.retry_delay,
        budget: Budget::new(config.retry_count),
        deadline: timeout.map(|timeout| Instant::now() + timeout),
        workers: Workers::new(1),
        opening: config.database.opening(),
        is_snapshot: false,
        is_divisible: false,
        observer: ErrorObserver::default(),
    }
}

/// What to do about errors of a read: it writes nothing, so it may be asked again without a thought.
pub(super) struct Again<'p> {
    retries: Retries<'p>,
    forgotten: bool,
}

impl<'p> Again<'p> {
    pub(super) fn new(policy: &'p Policy) -> Self {
        Again { retries: Retries::new(policy), forgotten: false }
    }

    /// Waits until the read may be asked again.
    ///
    /// # Errors
    /// The error itself, where that would not help.
    pub(super) async fn after(&mut self, engine: &Engine, error: Error) -> Result<()> {
        if error.tells_of_a_changed_table() {
            engine.forget();
            if !std::mem::replace(&mut self.forgotten, true) {
                return Ok(());
            }
        }
        self.retries.pause_after(error).await
    }
}

/// Asks the statement: all rows of its answer, and the types of the model's columns. In the caller's transaction it
/// is asked once.
pub(super) async fn query(
    engine: &Engine,
    mut within: Option<Within<'_>>,
    timeout: Option<Duration>,
    model: &'static Model,
    statement: &impl Statement,
) -> Result<(EncodedRows, Arc<[ColumnType]>)> {
    let policy = policy(&engine.config, timeout);
    let mut again = Again::new(&policy);
    loop {
        let lent = within.as_mut().map(Within::lend);
        let error = match policy.within_deadline(query_once(engine, lent, model, statement)).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error.in_table(model.display_name()),
        };
        // A statement that failed has failed the caller's transaction.
        if within.is_some() {
            return Err(error);
        }
        again.after(engine, error).await?;
    }
}

async fn query_once(
    engine: &Engine,
    mut within: Option<Within<'_>>,
    model: &'static Model,
    statement: &impl Statement,
) -> Result<(EncodedRows, Arc<[ColumnType]>)> {
    let table = engine.table(model, within.as_mut().map(Within::lend)).await?;
    let prepared = Prepared::new(model, &table, statement)?;
    let encode = |parameters: &[Type]| prepared.encode(statement, parameters);
    let mut session = Session::open(&engine.pool, within).await?;
    let answer = session.ask(&Question { sql: &prepared.sql, types: &prepared.types, encode: &encode }).await;
    session.close().await;
    Ok((answer?, prepared.columns))
}

/// The text of a statement, without a server.
pub(super) fn sql(model: &'static Model, statement: &impl Statement) -> Result<String> {
    statement.with(&TableSql::declared(model)?, &[], |sql, _| Ok(sql.to_owned()))
}

/// Asks the server how it would run the statement.
pub(super) async fn explain(
    engine: &Engine,
    within: Option<Within<'_>>,
    timeout: Option<Duration>,
    model: &'static Model,
    statement: &impl Statement,
) -> Result<String> {
    let (lines, _) = query(engine, within, timeout, model, &Explain(statement)).await?;
    let line = |row| lines.row(row).next().flatten().map(String::from_utf8_lossy).unwrap_or_default();
    Ok((0..lines.len()).map(line).collect::<Vec<_>>().join("\n"))
}

struct Explain<'s, S>(&'s S);

impl<S: Statement> Statement for Explain<'_, S> {
    fn with<T>(
        &self,
        table: &TableSql,
        columns: &[ColumnType],
        then: impl FnOnce(&str, &Arguments<'_>) -> Result<T>,
    ) -> Result<T> {
        self.0.with(table, columns, |sql, arguments| then(&format!("EXPLAIN {sql}"), arguments))
    }
}
