//! What the plain reads have in common: their statement and its values are worked out for the table as the server
//! describes it, and asked for as often as the connection needs.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use postgres_types::Type;

use super::arguments::{declared_types, encode};
use super::engine::Engine;
use super::known::Known;
use crate::config::BatchConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;
use crate::observe::ErrorObserver;
use crate::retry::{CallWatch, Policy, Retries};
use crate::session::{Parameters, Question, Read, Session, Shape, Values, Within};
use crate::settings::Plans;
use crate::sql::{Arguments, TableSql};
use crate::wire::{ColumnType, Decoder, EncodedRows, Start};

/// The rows of an answer, still encoded, and the types of the model's columns.
pub(super) type Fetched = (EncodedRows, Arc<[ColumnType]>);

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
    pub(super) sql: Arc<str>,
    /// The types of its parameters, as far as they are known.
    pub(super) types: Vec<Type>,
    /// The types of the model's columns.
    pub(super) columns: Arc<[ColumnType]>,
    known: Arc<Known>,
}

impl Prepared {
    pub(super) fn new(known: Arc<Known>, statement: &impl Statement) -> Result<Self> {
        let columns = Arc::clone(&known.types);
        let (sql, types) = statement
            .with(&known.sql, &columns, |sql, arguments| Ok((sql.into(), declared_types(arguments, &columns)?)))?;
        Ok(Prepared { sql, types, columns, known })
    }

    /// The values, once the server has told the parameters' types.
    pub(super) fn encode(&self, statement: &impl Statement, parameters: &[Type]) -> Result<Values> {
        statement.with(&self.known.sql, &self.columns, |_, arguments| encode(arguments, &self.columns, parameters))
    }
}

/// How a read of these settings is repeated, and when it has to be over.
pub(super) fn policy(engine: &Engine, timeout: Option<Duration>) -> Policy {
    let config = BatchConfig { timeout, ..engine.config.clone() };
    Policy::new(&config, engine.openings.of(&config.database), CallWatch::default(), ErrorObserver::default())
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

/// Asks the statement: all rows of its answer, and the types of the model's columns. `timeout` is the call's own. In
/// the caller's transaction it is asked once, and of these operations' settings none holds.
pub(super) async fn query(
    engine: &Engine,
    mut within: Option<Within<'_>>,
    timeout: Option<Duration>,
    model: &'static Model,
    statement: &impl Statement,
    decode: Option<Start>,
) -> Result<Fetched> {
    let policy = policy(engine, timeout.or(engine.config.timeout.filter(|_| within.is_none())));
    let mut again = Again::new(&policy);
    loop {
        let lent = within.as_mut().map(Within::lend);
        let error =
            match policy.within_deadline(pin!(query_once(engine, lent, &policy, model, statement, decode))).await {
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
    policy: &Policy,
    model: &'static Model,
    statement: &impl Statement,
    decode: Option<Start>,
) -> Result<Fetched> {
    let known = engine.known(model, within.as_mut().map(Within::lend)).await?;
    let prepared = Prepared::new(known, statement)?;
    let encode = |parameters: &[Type]| prepared.encode(statement, parameters);
    let session = Session::open(&engine.pool, within).await?;
    let question = Question { sql: &prepared.sql, types: &prepared.types, encode: &encode };
    let decoder =
        decode.map(|start| Decoder { start, types: Arc::clone(&prepared.columns), first: 0, kept: Vec::new() });
    let shape = decode.map(|_| Shape { first: 0, types: Arc::clone(&prepared.columns) });
    let read = Read { sql: Arc::clone(&prepared.sql), parameters: Parameters::Asked(&question), shape, decoder };
    let answers = session.read(&policy.opening, Plans::OfTheirRows, &[read]).await;
    session.end_read().await;
    let rows = answers?.pop().ok_or_else(|| Error::new(ErrorKind::Accounting, "the answer is missing"))?;
    Ok((rows, prepared.columns))
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
    let (lines, _) = query(engine, within, timeout, model, &Explain(statement), None).await?;
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
