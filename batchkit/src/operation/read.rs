//! Plain reads by conditions: `list`, `count` and `exists`.

use std::sync::Arc;

use super::answer::{decode, read_types};
use super::arguments::{declared_types, encode};
use super::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::filter::Filter;
use crate::model::{BatchModel, Model, ReadRow};
use crate::session::{Question, Session, Within};
use crate::sql::{self, Arguments, TableSql};
use crate::wire::{ColumnType, EncodedRows};

/// The rows that fulfil the filter, in the order of the key.
pub(super) async fn list<M: ReadRow>(
    engine: &Engine,
    within: Option<Within<'_>>,
    filter: Filter<M>,
    limit: Option<u64>,
) -> Result<Vec<M>> {
    let order = M::MODEL.key.map_or(&[][..], |key| key.columns);
    let text = |table: &TableSql| sql::select(table, filter.expression(), order, limit);
    let (rows, types) = query(engine, within, M::MODEL, text).await?;
    (0..rows.len()).map(|row| decode(rows.fields(row), &types)).collect()
}

/// How many rows fulfil the filter, counting no further than `limit`.
pub(super) async fn count<M: BatchModel>(
    engine: &Engine,
    within: Option<Within<'_>>,
    filter: Filter<M>,
    limit: Option<u64>,
) -> Result<u64> {
    let text = |table: &TableSql| sql::count(table, filter.expression(), limit);
    let (rows, _) = query(engine, within, M::MODEL, text).await?;
    let cell = if rows.is_empty() { None } else { rows.row(0).next().flatten() };
    let count = cell.and_then(|bytes| bytes.try_into().ok()).map(i64::from_be_bytes);
    count
        .and_then(|count| u64::try_from(count).ok())
        .ok_or_else(|| Error::new(ErrorKind::Accounting, "the count is missing").in_table(M::MODEL.display_name()))
}

async fn query<'f>(
    engine: &Engine,
    mut within: Option<Within<'_>>,
    model: &'static Model,
    text: impl Fn(&TableSql) -> (String, Arguments<'f>),
) -> Result<(EncodedRows, Arc<[ColumnType]>)> {
    let table = engine.table(model, within.as_mut().map(Within::lend)).await?;
    let (sql, arguments) = text(&TableSql::known(model, &table));
    let columns = read_types(model, &table);
    let named = |error: Error| error.in_table(model.display_name());
    let types = declared_types(&arguments, &columns).map_err(named)?;
    let encode = |parameters: &[postgres_types::Type]| encode(&arguments, &columns, parameters);
    let mut session = Session::open(&engine.pool, within).await.map_err(named)?;
    let answer = session.ask(&Question { sql: &sql, types: &types, encode: &encode }).await.map_err(named);
    session.close().await;
    Ok((answer?, columns))
}
