//! Plain reads by conditions: `list`, `count` and `exists`.

use std::sync::Arc;

use postgres_types::ToSql;

use super::answer::{decode, read_types};
use super::engine::Engine;
use crate::catalog::Table;
use crate::error::{Error, ErrorKind, Result};
use crate::filter::{Condition, Filter};
use crate::model::{BatchModel, Model, ReadRow};
use crate::retry;
use crate::session::{Session, Within};
use crate::sql::{self, TableSql};
use crate::wire::EncodedRows;

/// The rows that fulfil the filter, in the order of the key.
pub(super) async fn list<M: ReadRow>(
    engine: &Engine,
    within: Option<Within<'_>>,
    filter: Filter<M>,
    limit: Option<u64>,
) -> Result<Vec<M>> {
    let order = M::MODEL.key.map_or(&[][..], |key| key.columns);
    let text = |table: &TableSql, conditions: &[Condition]| {
        sql::select(table, conditions, order, limit.is_some(), engine.with_deleted)
    };
    let (rows, table) = query(engine, within, M::MODEL, &filter.conditions, limit, text).await?;
    let types = read_types(M::MODEL, &table);
    (0..rows.len()).map(|row| decode(rows.fields(row), &types)).collect()
}

/// How many rows fulfil the filter, counting no further than `limit`.
pub(super) async fn count<M: BatchModel>(
    engine: &Engine,
    within: Option<Within<'_>>,
    filter: Filter<M>,
    limit: Option<u64>,
) -> Result<u64> {
    let text = |table: &TableSql, conditions: &[Condition]| {
        sql::count(table, conditions, limit.is_some(), engine.with_deleted)
    };
    let (rows, _) = query(engine, within, M::MODEL, &filter.conditions, limit, text).await?;
    let cell = if rows.is_empty() { None } else { rows.row(0).next().flatten() };
    let count = cell.and_then(|bytes| bytes.try_into().ok()).map(i64::from_be_bytes);
    count
        .and_then(|count| u64::try_from(count).ok())
        .ok_or_else(|| Error::new(ErrorKind::Accounting, "the count is missing").in_table(M::MODEL.display_name()))
}

/// Runs the statement within the time that the settings allow; inside of a caller's transaction its own hold.
async fn query(
    engine: &Engine,
    within: Option<Within<'_>>,
    model: &'static Model,
    conditions: &[Condition],
    limit: Option<u64>,
    text: impl Fn(&TableSql, &[Condition]) -> String,
) -> Result<(EncodedRows, Arc<Table>)> {
    let deadline = if within.is_some() { None } else { engine.deadline() };
    let asked = ask(engine, within, model, conditions, limit, text);
    retry::within(deadline, asked).await.map_err(|error| error.in_table(model.display_name()))
}

async fn ask(
    engine: &Engine,
    mut within: Option<Within<'_>>,
    model: &'static Model,
    conditions: &[Condition],
    limit: Option<u64>,
    text: impl Fn(&TableSql, &[Condition]) -> String,
) -> Result<(EncodedRows, Arc<Table>)> {
    let table = engine.table(model, within.as_mut().map(Within::lend)).await?;
    let sql = text(&TableSql::known(model, &table), conditions);
    let limit = limit.map(|rows| i64::try_from(rows).unwrap_or(i64::MAX));
    let values = conditions.iter().filter_map(|condition| condition.value.as_deref());
    let parameters: Vec<&(dyn ToSql + Sync)> = values
        .map(|value| value as &(dyn ToSql + Sync))
        .chain(limit.as_ref().map(|limit| limit as &(dyn ToSql + Sync)))
        .collect();
    let mut session = Session::open(&engine.pool, within).await?;
    session.begin(&engine.config.database.opening(), false).await?;
    let answer = session.run(&sql, &parameters).await;
    session.rollback().await;
    Ok((answer?.0, table))
}
