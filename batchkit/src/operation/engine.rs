//! The one way that every verb's data takes: resolve, ask the catalogue, encode, find duplicates, choose
//! the transport, run the chunks, account for every row.

use std::sync::Arc;

use deadpool_postgres::Pool;
use tokio::time::Instant;

use super::answer::{Answered, read_types};
use super::verb::{Unique, Verb};
use crate::catalog::{Catalog, Table, TableKey, check};
use crate::config::{BatchConfig, DuplicatePolicy, OnRowError, Transport};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Ledger;
use crate::metrics::Meter;
use crate::model::Model;
use crate::observe::ErrorObserver;
use crate::plan::{self, Choice, Facts, Pairs};
use crate::reject::{Reject, RejectSink};
use crate::retry::{Budget, Policy, Retries};
use crate::session::{Carrier, Session, Suspect, Suspects, Within, Work};
use crate::source::{Chunks, Feed};
use crate::sql::{self, Form, Source, TableSql};
use crate::strategy::{self, InCaller, InPool, Runner};
use crate::wire::{ColumnType, EncodedRows, Fault, RowType};

/// What all calls of one `BatchOperations` share.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) pool: Pool,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) config: BatchConfig,
    pub(crate) meter: Arc<Meter>,
}

impl Engine {
    /// The table of `model` as the server describes it; the model was found to match it.
    pub(crate) async fn table(&self, model: &Model, within: Option<Within<'_>>) -> Result<Arc<Table>> {
        if let Some(table) = self.catalog.known(model) {
            return Ok(table);
        }
        let named = |error: Error| error.in_table(model.display_name());
        let mut session = Session::open(&self.pool, within).await.map_err(named)?;
        let loaded = self.catalog.table(model, &mut session).await.and_then(|table| {
            check(model, &table).inspect_err(|_| self.catalog.clear())?;
            Ok(table)
        });
        session.close().await;
        loaded.map_err(named)
    }
}

/// A call, its types forgotten.
pub(crate) struct Request<'a> {
    pub(crate) engine: Engine,
    pub(crate) model: &'static Model,
    pub(crate) feed: Box<dyn Feed + 'a>,
    pub(crate) verb: Box<dyn Verb + 'a>,
    pub(crate) config: BatchConfig,
    pub(crate) asked: Form,
    pub(crate) within: Option<Within<'a>>,
    pub(crate) observer: ErrorObserver,
    pub(crate) sink: RejectSink,
}

/// Which way a call would take, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// How the rows would travel; never `Auto`.
    pub transport: Transport,
    /// Why.
    pub reason: &'static str,
    /// The statement.
    pub sql: String,
}

impl Request<'_> {
    /// Runs the call.
    pub(crate) async fn run(self) -> Result<Answered> {
        let table = self.model.display_name();
        self.run_unnamed().await.map_err(|error| error.in_table(table))
    }

    async fn run_unnamed(mut self) -> Result<Answered> {
        let columns = self.resolve()?;
        let form = self.verb.form(self.asked);
        let rejects = self.config.on_row_error == OnRowError::Reject;
        let mut ledger = Ledger::new(form, std::mem::take(&mut self.sink), &self.config);
        let call = Arc::new(());
        let policy = Policy {
            rejects,
            call: Arc::downgrade(&call),
            retry_count: self.config.retry_count,
            retry_delay: self.config.retry_delay,
            budget: Budget::new(self.config.retry_count),
            deadline: self.config.timeout.map(|timeout| Instant::now() + timeout),
            observer: std::mem::take(&mut self.observer),
        };
        if self.feed.is_empty() {
            let (report, rows) = ledger.close();
            return Ok(Answered { report, rows, types: Arc::new([]) });
        }
        let mut retries = Retries::new(&policy);
        let table = loop {
            match policy.within_deadline(self.table()).await {
                Ok(table) => break table,
                Err(error) => retries.pause_after(error).await?,
            }
        };
        let types = write_types(self.model, &table, &columns);
        let limits = strategy::limits(&self.config);
        let mut chunks = Chunks::new(self.feed, self.model, columns.clone(), types, limits, rejects);
        let target = Target { model: self.model, table: &table, columns: &columns };
        let result = async {
            if let Some(unique) = self.verb.unique() {
                let (rows, positions) = chunks.collect()?;
                let input = Input { rows: &rows, positions: &positions };
                let refused = target.null_keys(&unique, &input);
                if let (Some(error), false) = (refused.first().map(|(_, error)| error), rejects) {
                    return Err(error.clone_invalid_row());
                }
                let mut dropped = find_duplicates(
                    &self.engine,
                    &mut self.within,
                    &target,
                    &unique,
                    &policy,
                    self.config.duplicates,
                    &input,
                )
                .await?;
                let duplicates = (0..dropped.len()).filter(|&row| dropped[row]).map(|row| positions[row]);
                ledger.duplicates(&duplicates.collect::<Vec<_>>());
                refused.iter().for_each(|(row, _)| dropped[*row] = true);
                chunks.leave_out(&dropped);
                ledger.unsent(refused.iter().map(|(row, error)| Reject::new(positions[*row], error)).collect())?;
                ledger.unsent(chunks.take_rejects())?;
            }
            let (work, _) = target.work(&*self.verb, self.config.transport, form)?;
            let work = Arc::new(work);
            let pool = self.engine.pool.clone();
            let mut runner = match self.within {
                None => Runner::Pool(InPool { pool, work, policy: Arc::new(policy) }),
                Some(within) => Runner::Caller(InCaller { pool, within, work, rejects }),
            };
            strategy::run(&self.config, &mut chunks, &mut runner, &mut ledger).await
        }
        .await;
        let result = result.and(ledger.unsent(chunks.take_rejects()));
        if result.is_err() {
            ledger.not_attempted(&chunks.rest());
        }
        let (report, rows) = ledger.close();
        if self.config.collect_metrics {
            self.engine.meter.add(&report, result.is_err());
        }
        match result {
            Ok(()) => Ok(Answered { report, rows, types: read_types(self.model, &table) }),
            Err(error) => Err(error.with_report(report)),
        }
    }

    /// The statement, without a server.
    pub(crate) fn sql(mut self) -> Result<String> {
        let columns = self.resolve()?;
        let form = self.verb.form(self.asked);
        let declared = TableSql::declared(self.model)?;
        let facts = Facts {
            plain_insert: self.verb.plain_insert(),
            takes_copy: true,
            may_stage: true,
            rows_possible: true,
            columns_possible: !columns.is_empty(),
            gives_columns: !columns.is_empty(),
            matchable: self.verb.matchable(self.model, &declared),
            triggered: declared.triggered,
            narrow: is_narrow(&declared, &columns),
            form,
        };
        let choice = plan::choose(self.config.transport, &facts)?;
        Ok(self.verb.sql(self.model, &declared, source_of(choice, true), choice.transport == Transport::Single, form))
    }

    /// The way that the call would take.
    pub(crate) async fn explain(mut self) -> Result<Explanation> {
        let columns = self.resolve()?;
        let form = self.verb.form(self.asked);
        let table = self.table().await?;
        let target = Target { model: self.model, table: &table, columns: &columns };
        let (work, choice) = target.work(&*self.verb, self.config.transport, form)?;
        Ok(Explanation { transport: choice.transport, reason: choice.reason, sql: work.sql })
    }

    fn resolve(&mut self) -> Result<Vec<usize>> {
        if let Some(problem) = self.config.problem() {
            return Err(Error::new(ErrorKind::Config, problem));
        }
        self.verb.resolve(self.model)
    }

    async fn table(&mut self) -> Result<Arc<Table>> {
        let table = self.engine.table(self.model, self.within.as_mut().map(Within::lend)).await?;
        self.verb.refuse(self.model, &table)?;
        Ok(table)
    }
}

/// The columns' types, as the rows' own types are sent.
fn write_types(model: &Model, table: &Table, columns: &[usize]) -> Vec<ColumnType> {
    let found = columns.iter().filter_map(|&column| {
        let column = &model.columns[column];
        let found = table.column(column.name)?;
        Some(ColumnType::new(found.ty.clone(), found.not_null, |ty| column.accepts(ty)))
    });
    found.collect()
}

/// The model, its table, and the columns that are encoded, in their order.
struct Target<'t> {
    model: &'static Model,
    table: &'t Table,
    columns: &'t [usize],
}

impl Target<'_> {
    /// Chooses the transport and writes down what is done with each chunk.
    fn work(&self, verb: &dyn Verb, asked: Transport, form: Form) -> Result<(Work, Choice)> {
        let table_sql = TableSql::known(self.model, self.table);
        let given_names: Vec<&str> = self.columns.iter().map(|&c| self.model.columns[c].name).collect();
        let given = |name: &str| given_names.contains(&name);
        let rows_possible = self.table.columns.iter().all(|column| !column.refuses_null || given(&column.name));
        let layout = sql::columns_layout(&table_sql, self.columns);
        let facts = Facts {
            plain_insert: verb.plain_insert(),
            takes_copy: self.table.takes_copy(),
            may_stage: self.table.rights.temp,
            rows_possible,
            columns_possible: !self.columns.is_empty() && (rows_possible || layout.whole.is_empty()),
            gives_columns: !self.columns.is_empty(),
            matchable: verb.matchable(self.model, &table_sql),
            triggered: table_sql.triggered,
            narrow: is_narrow(&table_sql, self.columns),
            form,
        };
        let choice = plan::choose(asked, &facts)?;
        let carrier = self.carrier(&table_sql, choice, facts.rows_possible);
        let single = choice.transport == Transport::Single;
        let sql = verb.sql(self.model, &table_sql, carrier.source(), single, form);
        Ok((
            Work {
                sql,
                carrier,
                form,
                reading: verb.reading(),
                unanswered: verb.unanswered(),
                suspects: self.suspects(verb, &table_sql),
                writes: verb.writes(),
            },
            choice,
        ))
    }

    fn carrier(&self, table_sql: &TableSql, choice: Choice, rows_possible: bool) -> Carrier {
        match choice.transport {
            Transport::Copy if choice.into_target => Carrier::CopyInto,
            Transport::Copy => Carrier::Stage { create: sql::stage_create(table_sql, self.columns) },
            Transport::UnnestColumns => self.columns_carrier(table_sql, self.columns),
            Transport::Single if !rows_possible => {
                Carrier::Single(Box::new(self.columns_carrier(table_sql, self.columns)))
            }
            Transport::Single => Carrier::Single(Box::new(Carrier::Rows(self.row_type(self.columns)))),
            Transport::UnnestRows | Transport::Auto => Carrier::Rows(self.row_type(self.columns)),
        }
    }

    /// One array per column of `given`.
    fn columns_carrier(&self, table_sql: &TableSql, given: &[usize]) -> Carrier {
        let layout = sql::columns_layout(table_sql, given);
        let oid = |c: usize| self.table.column(self.model.columns[c].name).map_or(0, |found| found.type_oid);
        let single = layout.single.iter().map(|&c| (self.field(c), oid(c))).collect();
        let whole = (!layout.whole.is_empty()).then(|| self.row_type(&layout.whole));
        Carrier::Columns { single, whole }
    }

    /// The table's row type with the columns of `given` filled in.
    fn row_type(&self, given: &[usize]) -> RowType {
        let field_of = |name: &str| given.iter().find(|&&c| self.model.columns[c].name == name).map(|&c| self.field(c));
        let columns = self.table.columns.iter().map(|column| (column.type_oid, field_of(&column.name))).collect();
        RowType { oid: self.table.row_type, columns }
    }

    /// Where the key's columns are among the encoded fields.
    fn fields(&self, unique: &Unique) -> Vec<usize> {
        unique.columns.iter().map(|&column| self.field(column)).collect()
    }

    /// The rows with a NULL in a key that refuses it, each with its error.
    fn null_keys(&self, unique: &Unique, input: &Input<'_>) -> Vec<(usize, Error)> {
        let mut refused = Vec::new();
        for &column in unique.columns.iter().filter(|_| unique.refuses_null) {
            let (name, field) = (self.model.columns[column].name, self.field(column));
            let equal = |key: &TableKey| key.nulls_not_distinct && key.columns.iter().flatten().any(|c| c == name);
            if self.table.keys.iter().any(equal) {
                continue;
            }
            let null = |row: &usize| input.rows.row(*row).nth(field).flatten().is_none();
            let error = |row: usize| (row, Error::invalid_row(input.positions[row], name, Fault::NullKey));
            refused.extend((0..input.rows.len()).filter(null).map(error));
        }
        refused.sort_by_key(|(row, _)| *row);
        refused.dedup_by_key(|(row, _)| *row);
        refused
    }

    /// The constraints that these rows may break and that can be asked about: those whose columns are given.
    fn suspects(&self, verb: &dyn Verb, table_sql: &TableSql) -> Suspects {
        let positions = |names: &[&str]| -> Option<Vec<usize>> {
            let given = |name: &&str| self.columns.iter().copied().find(|&c| self.model.columns[c].name == *name);
            names.iter().map(given).collect()
        };
        let suspect = |constraint: &str, kind, code, columns: &[usize], sql| Suspect {
            constraint: constraint.to_owned(),
            kind,
            code,
            sql,
            carrier: self.columns_carrier(table_sql, columns),
        };
        let mut all = Vec::new();
        // A row may reference another one of its own chunk: only the server can tell.
        for key in self.table.foreign_keys.iter().filter(|key| key.visible && !key.to_itself) {
            let names: Vec<&str> = key.columns.iter().map(String::as_str).collect();
            if let Some(columns) = positions(&names) {
                let sql = sql::dangling(table_sql, &columns, &key.references, &key.referenced_columns);
                all.push(suspect(&key.name, ErrorKind::ForeignKeyViolation, "23503", &columns, sql));
            }
        }
        let plain = |key: &&TableKey| key.predicate.is_none() && key.valid && !key.nulls_not_distinct;
        for key in self.table.keys.iter().filter(plain).filter(|_| verb.plain_insert() && self.table.rights.select) {
            let names: Option<Vec<&str>> = key.columns.iter().map(Option::as_deref).collect();
            if let Some(columns) = names.and_then(|names| positions(&names)) {
                let sql = sql::taken(table_sql, &columns);
                all.push(suspect(&key.name, ErrorKind::UniqueViolation, "23505", &columns, sql));
            }
        }
        for check in self.table.checks.iter().filter(|_| verb.inserts() && !self.columns.is_empty()) {
            let sql = sql::unchecked(table_sql, self.columns, &check.expression);
            all.push(suspect(&check.name, ErrorKind::CheckViolation, "23514", self.columns, sql));
        }
        Suspects::new(all)
    }

    /// Where the column is among the encoded fields.
    fn field(&self, column: usize) -> usize {
        self.columns.iter().position(|&c| c == column).unwrap_or(usize::MAX)
    }
}

fn is_narrow(table: &TableSql, columns: &[usize]) -> bool {
    columns.len() * 2 <= table.row_type.len() && columns.iter().all(|&c| !table.columns[c].taken_apart)
}

/// The FROM item of a transport.
fn source_of(choice: Choice, rows_possible: bool) -> Option<Source> {
    match choice.transport {
        Transport::Copy if choice.into_target => None,
        Transport::Copy => Some(Source::Stage),
        Transport::UnnestColumns => Some(Source::Columns),
        Transport::Single if !rows_possible => Some(Source::Columns),
        Transport::Auto | Transport::UnnestRows | Transport::Single => Some(Source::Rows),
    }
}

/// Which rows are left out because another row has their key: by bytes where those decide, else the
/// server is asked.
async fn find_duplicates(
    engine: &Engine,
    within: &mut Option<Within<'_>>,
    target: &Target<'_>,
    unique: &Unique,
    policy: &Policy,
    duplicates: DuplicatePolicy,
    input: &Input<'_>,
) -> Result<Vec<bool>> {
    let names = unique.columns.iter().filter_map(|&c| target.table.column(target.model.columns[c].name));
    let pairs = match names.into_iter().all(plan::equal_bytes) {
        true => plan::same_bytes(input.rows, &target.fields(unique)),
        false => {
            let mut retries = Retries::new(policy);
            loop {
                match policy.within_deadline(ask_for_duplicates(engine, within, target, unique, input.rows)).await {
                    Ok(pairs) => break pairs,
                    Err(error) => retries.pause_after(error).await?,
                }
            }
        }
    };
    plan::resolve(unique.policy.unwrap_or(duplicates), input.positions, pairs)
}

/// Encoded rows and their input positions.
struct Input<'i> {
    rows: &'i EncodedRows,
    positions: &'i [usize],
}

/// Asks the server which rows have equal keys.
async fn ask_for_duplicates(
    engine: &Engine,
    within: &mut Option<Within<'_>>,
    target: &Target<'_>,
    unique: &Unique,
    rows: &EncodedRows,
) -> Result<Pairs> {
    let table_sql = TableSql::known(target.model, target.table);
    let carrier = target.columns_carrier(&table_sql, &unique.columns);
    let sql = sql::duplicates(&table_sql, Source::Columns, &unique.columns);
    let mut session = Session::open(&engine.pool, within.as_mut().map(Within::lend)).await?;
    session.begin(false).await?;
    let answer = carrier.send(&mut session, &sql, rows).await;
    session.rollback().await;
    let (answer, _) = answer?;
    let ordinal = |field: Option<Option<&[u8]>>| {
        let bytes = field.flatten()?.try_into().ok()?;
        usize::try_from(i64::from_be_bytes(bytes) - 1).ok()
    };
    let pairs = (0..answer.len()).map(|row| {
        let mut fields = answer.row(row);
        let pair = ordinal(fields.next()).zip(ordinal(fields.next()));
        pair.ok_or_else(|| Error::new(ErrorKind::Accounting, "the answer has another form"))
    });
    pairs.collect()
}
