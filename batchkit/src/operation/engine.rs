//! The one way that every verb's data takes: resolve, ask the catalogue, encode, find duplicates, choose
//! the transport, run the chunks, account for every row.

use std::future::poll_fn;
use std::sync::Arc;

use async_trait::async_trait;
use deadpool_postgres::Pool;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Instrument;

use super::answer::{Answered, read_types};
use super::graph::{Graph, Keys};
use super::insert::Insert;
use super::verb::{Unique, Verb};
use crate::books::{Books, Tracker};
use crate::catalog::{Catalog, RelationKind, Table, TableColumn, TableKey, check};
use crate::config::{BatchConfig, DuplicatePolicy, OnRowError, Transport};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Ledger;
use crate::metrics::Meter;
use crate::model::{Child, Model};
use crate::observe::{self, Ending, ErrorObserver, Observation};
use crate::plan::{self, Choice, Facts, Pairs};
use crate::reject::{KeyColumn, KeyShape, Reject, RejectSink};
use crate::report::Outcome;
use crate::retry::{Policy, Renew, Retries, Shared, Works, within};
use crate::session::{
    Carrier, ChildWork, Draw, INSERTED_ROWS, JOINED_ROWS, Matching, OtherWay, Place, Session, Suspect, Suspects, Way,
    Within, Work,
};
use crate::settings::Opening;
use crate::source::{ChildLayout, Chunks, Feed, Layout, Positions};
use crate::sql::{self, Foretold, Form, Source, TableSql};
use crate::strategy::{self, Function, InCaller, InPool, Post, Runner};
use crate::wire::{ColumnType, EncodedRows, Fault, RowForm, RowType, Start};

/// What all calls of one `BatchOperations` share.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) pool: Pool,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) config: BatchConfig,
    pub(crate) observer: ErrorObserver,
    pub(crate) meter: Arc<Meter>,
    /// Whether reads find rows that are marked as deleted.
    pub(crate) with_deleted: bool,
}

impl Engine {
    /// The table of `model` as the server describes it; the model was found to match it.
    pub(crate) async fn table(&self, model: &Model, within: Option<Within<'_>>) -> Result<Arc<Table>> {
        if let Some(table) = self.catalog.known(model) {
            return Ok(table);
        }
        let named = |error: Error| error.in_table(model.display_name());
        let mut session = Session::open(&self.pool, within).await.map_err(named)?;
        session.begin(&Opening::plain(), false).await.map_err(named)?;
        let loaded = self.catalog.table(model, &mut session).await.and_then(|table| {
            check(model, &table).inspect_err(|_| self.catalog.clear())?;
            Ok(table)
        });
        session.rollback().await;
        loaded.map_err(named)
    }

    /// When something that is begun now has to be over by these operations' own settings.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.config.timeout.map(|timeout| Instant::now() + timeout)
    }

    /// Forgets what is known of tables and statements: the next call asks again.
    pub(crate) fn forget(&self) {
        self.catalog.clear();
        self.pool.manager().statement_caches.clear();
    }
}

/// A call, its types forgotten.
pub(crate) struct Request<'a> {
    pub(crate) engine: Engine,
    pub(crate) model: &'static Model,
    pub(crate) feed: Box<dyn Feed + 'a>,
    pub(crate) verb: Box<dyn Verb>,
    pub(crate) config: BatchConfig,
    pub(crate) asked: Form,
    pub(crate) decode: Option<Start>,
    pub(crate) within: Option<Within<'a>>,
    pub(crate) observer: ErrorObserver,
    pub(crate) sink: RejectSink,
    pub(crate) tracker: Option<Tracker>,
    pub(crate) post: Option<Arc<Function>>,
}

/// What a call knows before any row is encoded.
struct Prepared {
    columns: Vec<usize>,
    table: Arc<Table>,
    graph: Graph,
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
        let strategy = format!("{:?}", self.config.execution_strategy);
        let span = observe::call_span(self.verb.name(), &table, &strategy);
        let meter = self.config.collect_metrics.then(|| Arc::clone(&self.engine.meter));
        let observation = Observation::new(span.clone(), meter);
        // On the heap, here and below: a future is copied each time that another one is put around it.
        let result = Box::pin(self.run_observed(observation)).instrument(span.clone()).await;
        if let Err(error) = &result {
            observe::record_error(&span, error);
        }
        result.map_err(|error| error.in_table(table))
    }

    /// What the call needs to know before any row is encoded: the columns, and the table. `None` if there are no rows.
    async fn prepare(&mut self, policy: &Policy) -> Result<Option<Prepared>> {
        let columns = self.resolve()?;
        if !self.feed.children().is_empty() && !self.verb.plain_insert() {
            let what = "rows with others below them can be inserted, and nothing else: update and upsert them apart";
            return Err(Error::new(ErrorKind::Config, what));
        }
        let feed = &mut self.feed;
        let ready = poll_fn(|context| feed.poll_ready(context).map(Ok));
        within(policy.deadline.filter(|_| self.within.is_none()), ready).await?;
        if self.feed.is_empty() {
            return Ok(None);
        }
        if self.feed.is_stream() && self.verb.unique().is_some() && self.config.duplicates == DuplicatePolicy::FirstWins
        {
            let what = "of a stream's rows not all are known: which row of a key is the first one cannot be told";
            return Err(Error::new(ErrorKind::Config, what));
        }
        let mut retries = Retries::new(policy);
        loop {
            match policy.within_deadline(self.tables()).await {
                Ok((table, graph)) => return Ok(Some(Prepared { columns, table, graph })),
                Err(error) => retries.pause_after(error).await?,
            }
        }
    }

    /// The end of a call that sends nothing: there are no rows, or an error came before them.
    fn end_unsent(mut self, error: Option<Error>, started: Instant, observation: Observation) -> Result<Answered> {
        let rest = Positions::Run(0..self.feed.count_rest());
        let ledger = Ledger::new(self.verb.form(self.asked, None), &self.config, KeyShape::new(Vec::new()), started);
        let books = Books::new(ledger, self.sink, observation, false, self.tracker.as_ref());
        books.book(&rest, Outcome::NotAttempted);
        let ending = if error.is_some() { Ending::Failed } else { Ending::Answered };
        let (report, rows) = books.close(ending);
        match error {
            None => Ok(Answered { report, rows, types: Arc::new([]), graph: None }),
            Some(error) => Err(error.with_report(report)),
        }
    }

    async fn run_observed(mut self, observation: Observation) -> Result<Answered> {
        let started = Instant::now();
        let call = watch::Sender::new(());
        let policy = Arc::new(Policy::new(&self.config, call.subscribe(), std::mem::take(&mut self.observer)));
        let Prepared { columns, table, graph } = match Box::pin(self.prepare(&policy)).await {
            Ok(Some(prepared)) => prepared,
            end => return self.end_unsent(end.err(), started, observation),
        };
        tracing::Span::current().record("db.namespace", &table.database);
        let children = self.feed.children();
        let below_form = self.asked;
        let keys = Keys::of(&graph, self.model, &table, &columns, self.verb.form(self.asked, Some(&table)));
        let form = keys.form;
        let rejects = self.config.on_row_error == OnRowError::Reject;
        let verb: Arc<dyn Verb> = Arc::from(self.verb);
        let style = strategy::style(&self.config, self.feed.known_len(), rejects);
        let (pace, concurrent) = (Arc::clone(&style.pace), style.concurrent);
        // Of a stream or an iterator nobody knows that its rows are few.
        let chunk_rows = self.feed.known_len().unwrap_or(usize::MAX).min(pace.limits().rows);
        let target = Target { model: self.model, table: &table, columns: &columns, rejects, writes: verb.writes() };
        let work = target.graph_work(&*verb, self.config.transport, below_form, &graph, &keys);
        // Where there is no way, that is told when the books are open.
        let form_of_rows = work.as_ref().map_or(RowForm::Copy, |(work, _)| work.form(chunk_rows, columns.len()));
        let layout = Arc::new(Layout { form: form_of_rows, ..target.layout(&*verb, graph.layouts()) });
        let ledger = Ledger::new(form, &self.config, Arc::clone(&layout.key), started);
        let ledger = ledger.counting(&policy.round_trips);
        let books = Books::new(ledger, self.sink, observation, self.config.log_progress, self.tracker.as_ref());
        // Inside of a caller's transaction its own settings hold.
        let deadline = policy.deadline.filter(|_| self.within.is_none());
        let chunks = Chunks::new(self.feed, self.model, Arc::clone(&layout), style).until(deadline);
        let mut running = Running { chunks, books: Arc::clone(&books) };
        let types = read_types(self.model, &table);
        let post = self.post.map(|function| Arc::new(Post { function, types: Arc::clone(&types) }));
        let result = async {
            let (mut work, choices) = work?;
            let decode = self.decode.map(|start| (start, Arc::clone(&types)));
            work.decode.clone_from(&decode);
            tracing::Span::current()
                .record("batchkit.transport", tracing::field::debug(choices.of(chunk_rows).transport));
            let (pool, fallback) = (self.engine.pool.clone(), strategy::fallback(&self.config));
            let mut runner = match self.within {
                None => {
                    let (engine, transport) = (self.engine.clone(), self.config.transport);
                    let model = self.model;
                    let verb = Arc::clone(&verb);
                    let renewal =
                        Renewal { engine, model, layout, verb, transport, form, rejects, children, below_form, decode };
                    let works = Works::new(work, Box::new(renewal));
                    let shared = Arc::new(Shared { pool, works, policy: Arc::clone(&policy) });
                    Runner::Pool(InPool { shared, books: Arc::clone(&books), fallback, pace })
                }
                Some(within) => {
                    let (books, work) = (Arc::clone(&books), Arc::new(work));
                    let policy = Arc::clone(&policy);
                    Runner::Caller(InCaller { pool, within, work, books, policy, fallback, pace })
                }
            };
            let workers = if concurrent { self.config.max_workers } else { 1 };
            loop {
                let within = runner.lend();
                let mut asking = Asking { engine: &self.engine, within, target: &target, policy: &policy, workers };
                if let Some(unique) = verb.unique() {
                    let kept = asking.keep_one_of_each(&unique, self.config.duplicates, rejects, &mut running);
                    Box::pin(kept).await?;
                }
                if concurrent && verb.writes() && (rejects || verb.ignores_conflicts()) {
                    Box::pin(asking.put_later_ones_last(verb.unique().as_ref(), &mut running)).await?;
                }
                running.chunks.divide_by_key();
                let run = strategy::run(&self.config, &mut running.chunks, &mut runner, post.as_ref());
                let result = Box::pin(run).await;
                if result.is_err() || !running.chunks.start_next() {
                    Box::pin(strategy::work_up(&self.config, runner.books(), post.as_ref())).await;
                    break result;
                }
            }
        }
        .await;
        let result = result.and(running.book_unsent());
        if result.is_err() {
            books.book(&running.chunks.rest().into(), Outcome::NotAttempted);
        }
        let below = books.take_graph();
        let (report, rows) = books.close(if result.is_err() { Ending::Failed } else { Ending::Answered });
        match result {
            Ok(()) => {
                Ok(Answered { report, rows, types, graph: Some((graph, below)).filter(|(graph, _)| !graph.is_empty()) })
            }
            Err(error) => {
                if error.tells_of_a_changed_table() {
                    self.engine.forget();
                }
                Err(error.with_report(report))
            }
        }
    }

    /// The statement, without a server.
    pub(crate) fn sql(mut self) -> Result<String> {
        let columns = self.resolve()?;
        let form = self.verb.form(self.asked, None);
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
            fills_in: self.verb.inserts() && declared.filled_in(&columns).next().is_some(),
            narrow: is_narrow(&declared, &columns),
            foretold: false,
            updates: self.verb.updates(),
            form,
        };
        let choice = plan::choose(self.config.transport, &facts)?;
        Ok(self.verb.sql(self.model, &declared, source_of(choice, true), choice.transport == Transport::Single, form))
    }

    /// The way that the call would take.
    pub(crate) async fn explain(mut self) -> Result<Explanation> {
        let columns = self.resolve()?;
        let table = self.table().await?;
        let form = self.verb.form(self.asked, Some(&table));
        let rejects = self.config.on_row_error == OnRowError::Reject;
        let writes = self.verb.writes();
        let target = Target { model: self.model, table: &table, columns: &columns, rejects, writes };
        let (work, choices) = target.work(&*self.verb, self.config.transport, form, Vec::new())?;
        let most = strategy::style(&self.config, self.feed.known_len(), rejects).pace.limits().rows;
        let rows = if self.feed.is_stream() { most } else { self.feed.count_rest().min(most) };
        let choice = choices.of(rows);
        Ok(Explanation { transport: choice.transport, reason: choice.reason, sql: work.way(rows).sql.clone() })
    }

    fn resolve(&mut self) -> Result<Vec<usize>> {
        if let Some(problem) = self.config.problem() {
            return Err(Error::new(ErrorKind::Config, problem));
        }
        self.verb.resolve(self.model)
    }

    /// The table, and what is below its rows.
    async fn tables(&mut self) -> Result<(Arc<Table>, Graph)> {
        let table = self.table().await?;
        let children = self.feed.children();
        if children.is_empty() {
            return Ok((table, Graph::default()));
        }
        let within = self.within.as_mut().map(Within::lend);
        let graph = Graph::of(&self.engine, within, self.model, &table, children).await?;
        Ok((table, graph))
    }

    async fn table(&mut self) -> Result<Arc<Table>> {
        let table = self.engine.table(self.model, self.within.as_mut().map(Within::lend)).await?;
        self.verb.refuse(self.model, &table)?;
        Ok(table)
    }
}

/// The model, its table, and the columns that are encoded, in their order.
pub(super) struct Target<'t> {
    pub(super) model: &'static Model,
    pub(super) table: &'t Table,
    pub(super) columns: &'t [usize],
    /// Whether bad rows are turned away.
    pub(super) rejects: bool,
    /// Whether the call writes.
    pub(super) writes: bool,
}

impl Target<'_> {
    /// What the rows are encoded to: their own types as they are sent, and which fields are the key.
    fn layout(&self, verb: &dyn Verb, below: Vec<ChildLayout>) -> Layout {
        let found = self.columns.iter().filter_map(|&column| {
            let column = &self.model.columns[column];
            let found = self.table.column(column.name)?;
            Some(ColumnType::new(found.ty.clone(), found.not_null, |ty| column.accepts(ty)))
        });
        let types: Vec<ColumnType> = found.collect();
        let given = |key: &&[usize]| !key.is_empty() && key.iter().all(|column| self.columns.contains(column));
        let unique = verb.unique().map(|unique| unique.columns);
        let declared = self.model.keys().map(|key| key.columns);
        let key = unique.as_deref().into_iter().chain(declared).find(given).unwrap_or_default();
        let columns = key.iter().map(|&column| {
            let field = self.field(column);
            KeyColumn { name: self.model.columns[column].name, ty: types[field].ty().clone(), field }
        });
        let key = KeyShape::new(columns.collect());
        Layout { columns: self.columns.to_vec(), types, form: RowForm::Copy, key, below }
    }

    /// The same for rows with others below them, whose keys are drawn first where that can be.
    fn graph_work(
        &self,
        verb: &dyn Verb,
        asked: Transport,
        below_form: Form,
        graph: &Graph,
        keys: &Keys,
    ) -> Result<(Work, Choices)> {
        let works = graph.works(asked, below_form, keys)?;
        let Some(draw) = keys.draw() else { return self.work(verb, asked, keys.form, works) };
        let sent = Target { columns: &keys.columns, ..*self };
        let (mut work, choices) = sent.work(&Insert::of_columns(keys.columns.clone()), asked, keys.form, works)?;
        work.suspects = self.suspects(verb, &TableSql::known(self.model, self.table));
        work.draw(&draw);
        Ok((work, choices))
    }

    /// Chooses the transport and writes down what is done with each chunk.
    pub(super) fn work(
        &self,
        verb: &dyn Verb,
        asked: Transport,
        form: Form,
        below: Vec<ChildWork>,
    ) -> Result<(Work, Choices)> {
        let table_sql = TableSql::known(self.model, self.table);
        let given_names: Vec<&str> = self.columns.iter().map(|&c| self.model.columns[c].name).collect();
        let given = |name: &str| given_names.contains(&name);
        let rows_possible = self.table.columns.iter().all(|column| !column.refuses_null || given(&column.name));
        let layout = sql::columns_layout(&table_sql, self.columns);
        // Without the lock, the table may become another one behind what was found out about it.
        let can_foretell = form == Form::Rows && verb.plain_insert() && self.lock().is_some();
        let foretold = can_foretell.then(|| sql::foretell(self.model, self.table, &table_sql, self.columns)).flatten();
        let facts = Facts {
            plain_insert: verb.plain_insert(),
            takes_copy: self.table.takes_copy(),
            may_stage: self.table.rights.temp,
            rows_possible,
            columns_possible: !self.columns.is_empty() && (rows_possible || layout.whole.is_empty()),
            gives_columns: !self.columns.is_empty(),
            matchable: verb.matchable(self.model, &table_sql),
            triggered: table_sql.triggered,
            fills_in: verb.inserts() && table_sql.filled_in(self.columns).next().is_some(),
            narrow: is_narrow(&table_sql, self.columns),
            foretold: foretold.is_some(),
            updates: verb.updates(),
            form,
        };
        let (choice, other) = plan::by_rows(asked, &facts)?;
        let way = |choice: Choice| {
            if let Some(foretold) = foretold.as_ref().filter(|_| form == Form::Rows && choice.into_target) {
                return self.foretelling_way(&table_sql, foretold);
            }
            let carrier = self.carrier(&table_sql, choice, facts.rows_possible, form);
            let single = choice.transport == Transport::Single;
            let sql = verb.sql(self.model, &table_sql, carrier.source(), single, form);
            let statement_rows = if verb.inserts() { INSERTED_ROWS } else { JOINED_ROWS };
            let matching = carrier.source().and_then(|source| verb.matching(self.model, &table_sql, source, form));
            Way { sql, carrier, statement_rows, draw: None, matching: matching.unwrap_or(Matching::Ordinal) }
        };
        let work = Work {
            way: way(choice),
            other: other.map(|(below, choice)| OtherWay { below, way: way(choice) }),
            form,
            reading: verb.reading(),
            unanswered: verb.unanswered(),
            // Asked about where bad rows are turned away, or are to be told of a graph.
            suspects: match self.rejects || !below.is_empty() {
                true => self.suspects(verb, &table_sql),
                false => Suspects::new(Vec::new(), false),
            },
            writes: verb.writes(),
            turns_away: self.rejects,
            below,
            decode: None,
        };
        Ok((work, Choices { choice, other }))
    }

    /// The way of rows of which all that will be stored is known before they are sent: COPY of all columns.
    fn foretelling_way(&self, table_sql: &TableSql, foretold: &Foretold) -> Way {
        let all: Vec<usize> = (0..table_sql.columns.len()).collect();
        let (sql, lock) = (sql::draw(&foretold.drawn, Some(&foretold.holds)), self.lock());
        let mut drawn = (0..foretold.drawn.len()).map(Place::Drawn);
        let place = |column| match self.columns.contains(column) {
            true => Some(Place::Given),
            false => drawn.next(),
        };
        let places = all.iter().filter_map(place).collect();
        let draw = Some(Draw { sql, lock, places });
        let sql = sql::copy_from(table_sql, &all);
        Way { sql, carrier: Carrier::CopyInto, statement_rows: INSERTED_ROWS, draw, matching: Matching::Ordinal }
    }

    fn carrier(&self, table_sql: &TableSql, choice: Choice, rows_possible: bool, form: Form) -> Carrier {
        match choice.transport {
            Transport::Copy if choice.into_target => Carrier::CopyInto,
            Transport::Copy => {
                let ordinals = sql::asks_ordinals(table_sql, form);
                Carrier::Stage { create: sql::stage_create(table_sql, self.columns, ordinals), ordinals }
            }
            Transport::UnnestColumns => self.columns_carrier(table_sql, self.columns),
            Transport::Single if !rows_possible => {
                Carrier::Single(Box::new(self.columns_carrier(table_sql, self.columns)))
            }
            Transport::Single => Carrier::Single(Box::new(Carrier::Rows(self.row_type(self.columns)))),
            Transport::UnnestRows | Transport::Auto => Carrier::Rows(self.row_type(self.columns)),
        }
    }

    /// One array per column of `given`.
    pub(super) fn columns_carrier(&self, table_sql: &TableSql, given: &[usize]) -> Carrier {
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
        RowType { oid: self.table.row_type, columns, lock: self.lock() }
    }

    /// The lock that the statement itself will take, where the current user may ask for it by name.
    fn lock(&self) -> Option<String> {
        let rights = self.table.rights;
        let may = if self.writes { rights.insert || rights.update || rights.delete } else { rights.select };
        let is_table = matches!(self.table.kind, RelationKind::Table | RelationKind::Partitioned);
        (may && is_table).then(|| sql::lock(&sql::table_name(self.model), self.writes))
    }

    /// Whether the table has a unique key that only the server can work out.
    fn has_expression_keys(&self) -> bool {
        self.table.keys.iter().any(|key| key.columns.iter().any(Option::is_none))
    }

    /// The table's unique keys that the rows give wholly; the partial ones too.
    fn given_keys(&self) -> Vec<Vec<usize>> {
        self.table.keys.iter().filter_map(|key| self.columns_of(key)).collect()
    }

    /// The columns of a unique key, if the rows give all of them.
    fn columns_of(&self, key: &TableKey) -> Option<Vec<usize>> {
        key.columns.iter().map(|name| self.given(name.as_deref()?)).collect()
    }

    /// The column called so, if the rows give it.
    fn given(&self, name: &str) -> Option<usize> {
        self.columns.iter().copied().find(|&c| self.model.columns[c].name == name)
    }

    /// Whether NULL equals NULL in the unique key of these columns.
    fn takes_null(&self, key: &[usize]) -> bool {
        TableSql::known(self.model, self.table).takes_null(key)
    }

    /// The rows with a NULL in a key that refuses it, each with its error.
    fn null_keys(&self, unique: &Unique, input: &Input<'_>) -> Vec<(usize, Error)> {
        let mut refused = Vec::new();
        if !unique.refuses_null || self.takes_null(&unique.columns) {
            return refused;
        }
        for &column in &unique.columns {
            let (name, field) = (self.model.columns[column].name, self.field(column));
            if input.rows.values(field).is_some() {
                continue;
            }
            let null = |row: &usize| input.rows.field(*row, field).is_none();
            let error = |row: usize| Some((row, Error::invalid_row(input.positions.get(row)?, name, Fault::NullKey)));
            refused.extend((0..input.rows.len()).filter(null).filter_map(error));
        }
        refused.sort_by_key(|(row, _)| *row);
        refused.dedup_by_key(|(row, _)| *row);
        refused
    }

    /// The constraints that these rows may break and that can be asked about: those whose columns are given.
    fn suspects(&self, verb: &dyn Verb, table_sql: &TableSql) -> Suspects {
        let positions = |names: &[&str]| names.iter().map(|name| self.given(name)).collect::<Option<Vec<usize>>>();
        let suspect = |constraint: &str, kind, code, columns: &[usize], sql| Suspect {
            constraint: constraint.to_owned(),
            kind,
            code,
            sql,
            carrier: self.columns_carrier(table_sql, columns),
        };
        let mut all = Vec::new();
        let plain = |key: &&TableKey| key.predicate.is_none() && key.valid && !key.nulls_not_distinct;
        // A key of which the rows give nothing is drawn by the server.
        let is_given =
            |key: &&TableKey| key.columns.iter().any(|name| name.as_deref().is_none_or(|n| self.given(n).is_some()));
        let keys = self.table.keys.iter().filter(is_given);
        let keys: Option<Vec<Vec<usize>>> = keys.map(|key| self.columns_of(key).filter(|_| plain(&key))).collect();
        let keys = keys.filter(|_| self.table.rights.select);
        // A row may reference another one of its own chunk: only the server can tell.
        for key in self.table.foreign_keys.iter().filter(|key| key.visible && !key.to_itself) {
            let names: Vec<&str> = key.columns.iter().map(String::as_str).collect();
            let Some(columns) = positions(&names) else { continue };
            let Some(written) = verb.written(&columns, keys.as_deref()) else { continue };
            let mut given = columns.clone();
            given.extend(written.columns());
            given.sort_unstable();
            given.dedup();
            let (to, referenced) = (key.references.as_str(), &key.referenced_columns[..]);
            let reference = sql::Reference { columns: &columns, to, referenced };
            let sql = sql::dangling(table_sql, &given, &reference, &written);
            all.push(suspect(&key.name, ErrorKind::ForeignKeyViolation, "23503", &given, sql));
        }
        let mut all_keys = self.table.foreign_keys.iter().all(|key| !key.to_itself);
        for key in self.table.keys.iter().filter(|_| verb.plain_insert()) {
            let names: Option<Vec<&str>> = key.columns.iter().map(Option::as_deref).collect();
            if names.as_ref().is_some_and(|names| names.iter().all(|name| self.given(name).is_none())) {
                // The server draws it.
                continue;
            }
            let columns = names.filter(|_| plain(&key) && self.table.rights.select).and_then(|names| positions(&names));
            match columns {
                Some(columns) => {
                    let sql = sql::taken(table_sql, &columns);
                    all.push(suspect(&key.name, ErrorKind::UniqueViolation, "23505", &columns, sql));
                }
                None => all_keys = false,
            }
        }
        for check in self.table.checks.iter().filter(|_| verb.inserts() && !self.columns.is_empty()) {
            let sql = sql::unchecked(table_sql, self.columns, &check.expression);
            all.push(suspect(&check.name, ErrorKind::CheckViolation, "23514", self.columns, sql));
        }
        Suspects::new(all, all_keys)
    }

    /// Where the column is among the encoded fields.
    fn field(&self, column: usize) -> usize {
        self.columns.iter().position(|&c| c == column).unwrap_or(usize::MAX)
    }
}

fn is_narrow(table: &TableSql, columns: &[usize]) -> bool {
    columns.len() * 2 <= table.row_type.len() && columns.iter().all(|&c| !table.columns[c].taken_apart)
}

/// The transport that was chosen, and another one for fewer rows.
pub(super) struct Choices {
    choice: Choice,
    other: Option<(usize, Choice)>,
}

impl Choices {
    /// That of a chunk of so many rows.
    fn of(&self, rows: usize) -> Choice {
        match self.other {
            Some((below, other)) if rows < below => other,
            _ => self.choice,
        }
    }
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

/// A call whose chunks are under way. Dropped before its end, it books what will not be attempted.
struct Running<'a> {
    chunks: Chunks<'a>,
    books: Arc<Books>,
}

impl Running<'_> {
    /// Books the rows that are not sent: those without a form, and those that pre-processing dropped.
    fn book_unsent(&mut self) -> Result<()> {
        self.books.book(&self.chunks.take_dropped().into(), Outcome::Filtered);
        self.books.unsent(&self.chunks.take_rejects())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // At a regular end there is nothing left, and the books are closed.
        let _ = self.book_unsent();
        self.books.book(&self.chunks.known_rest().into(), Outcome::NotAttempted);
        self.books.end_call();
    }
}

/// Works out anew what is done with rows that are encoded already.
struct Renewal {
    engine: Engine,
    model: &'static Model,
    layout: Arc<Layout>,
    verb: Arc<dyn Verb>,
    transport: Transport,
    form: Form,
    rejects: bool,
    children: &'static [Child],
    below_form: Form,
    decode: Option<(Start, Arc<[ColumnType]>)>,
}

#[async_trait]
impl Renew for Renewal {
    async fn renew(&self) -> Result<Work> {
        self.engine.forget();
        let table = self.engine.table(self.model, None).await?;
        self.verb.refuse(self.model, &table)?;
        let (columns, rejects, writes) = (&*self.layout.columns, self.rejects, self.verb.writes());
        let target = Target { model: self.model, table: &table, columns, rejects, writes };
        let layout = target.layout(&*self.verb, Vec::new());
        // An enum that was made anew has another number and the same labels.
        let name = |ty: &ColumnType| ty.ty().name().to_owned();
        if !layout.types.iter().map(name).eq(self.layout.types.iter().map(name)) {
            let what = "the types of the table's columns have changed since the rows were encoded";
            return Err(Error::schema(&self.model.display_name(), vec![what.to_owned()]));
        }
        let mut graph = Graph::default();
        if !self.children.is_empty() {
            graph = Graph::of(&self.engine, None, self.model, &table, self.children).await?;
            if !graph.is_encoded_as(&self.layout.below) {
                let what = "the types of the tables' columns have changed since the rows were encoded";
                return Err(Error::schema(&self.model.display_name(), vec![what.to_owned()]));
            }
        }
        let keys = Keys::of(&graph, self.model, &table, columns, self.form);
        if keys.form != self.form {
            let what = "the keys of the table are made in another way than when the call began";
            return Err(Error::schema(&self.model.display_name(), vec![what.to_owned()]));
        }
        let (work, _) = target.graph_work(&*self.verb, self.transport, self.below_form, &graph, &keys)?;
        Ok(Work { decode: self.decode.clone(), ..work })
    }
}

/// Encoded rows and their input positions.
struct Input<'i> {
    rows: &'i EncodedRows,
    positions: &'i Positions,
}

/// What is needed to compare the keys of rows.
struct Asking<'q, 'w, 't> {
    engine: &'q Engine,
    within: Option<Within<'w>>,
    target: &'q Target<'t>,
    policy: &'q Policy,
    /// How many chunks there are at once.
    workers: usize,
}

impl Asking<'_, '_, '_> {
    /// Leaves all rows of one key out but one, by the declared policy.
    async fn keep_one_of_each(
        &mut self,
        unique: &Unique,
        duplicates: DuplicatePolicy,
        rejects: bool,
        running: &mut Running<'_>,
    ) -> Result<()> {
        let (rows, positions) = running.chunks.collect(self.workers).await?;
        if self.equal_bytes(&unique.columns) && plan::are_ascending(&rows, &self.fields(&unique.columns)) {
            return running.book_unsent();
        }
        let input = Input { rows: &rows, positions: &positions };
        let refused = self.target.null_keys(unique, &input);
        if let (Some(error), false) = (refused.first().map(|(_, error)| error), rejects) {
            return Err(error.clone_invalid_row());
        }
        let nulls_equal = unique.refuses_null && self.target.takes_null(&unique.columns);
        let pairs = self.equal(&unique.columns, &rows, nulls_equal).await?;
        if pairs.is_empty() && refused.is_empty() {
            return running.book_unsent();
        }
        let mut dropped = plan::resolve(unique.policy.unwrap_or(duplicates), &positions, pairs)?;
        let duplicates = (0..dropped.len()).filter(|&row| dropped[row]).filter_map(|row| positions.get(row));
        running.books.book(&duplicates.collect::<Vec<_>>().into(), Outcome::Duplicate);
        refused.iter().for_each(|(row, _)| dropped[*row] = true);
        running.chunks.leave_out(&dropped);
        let refused = refused.iter().filter_map(|(row, error)| Some(Reject::new(positions.get(*row)?, error)));
        running.books.unsent(&refused.collect::<Vec<_>>())?;
        running.book_unsent()
    }

    /// Has rows that share a unique key with one before them wait until all others are through, so that it does
    /// not depend on the order of the chunks which of them is stored. Where a key is an expression, all rows wait.
    async fn put_later_ones_last(&mut self, unique: Option<&Unique>, running: &mut Running<'_>) -> Result<()> {
        let keys = self.target.given_keys();
        let others: Vec<&Vec<usize>> = keys.iter().filter(|key| unique.is_none_or(|u| u.columns != **key)).collect();
        let one_by_one = self.target.has_expression_keys();
        if others.is_empty() && !one_by_one {
            return Ok(());
        }
        let rows = match running.chunks.collected() {
            Some(rows) => rows,
            None => running.chunks.collect(self.workers).await?.0,
        };
        let mut later = vec![one_by_one; rows.len()];
        for key in others {
            let nulls_equal = self.target.takes_null(key);
            for (row, first) in self.equal(key, &rows, nulls_equal).await? {
                later[row] |= row != first;
            }
        }
        running.chunks.put_last(&later);
        Ok(())
    }

    /// Whether these columns' values are equal where their bytes are.
    fn equal_bytes(&self, key: &[usize]) -> bool {
        let Target { model, table, .. } = self.target;
        key.iter().filter_map(|&c| table.column(model.columns[c].name)).all(TableColumn::equal_bytes)
    }

    /// Where these columns are among the encoded fields.
    fn fields(&self, key: &[usize]) -> Vec<usize> {
        key.iter().map(|&column| self.target.field(column)).collect()
    }

    /// The rows whose key columns are equal: by their bytes where those decide, else the server is asked.
    async fn equal(&mut self, key: &[usize], rows: &EncodedRows, nulls_equal: bool) -> Result<Pairs> {
        if self.equal_bytes(key) {
            return Ok(plan::same_bytes(rows, &self.fields(key), nulls_equal));
        }
        match self.ask_until_answered(key, rows, nulls_equal).await {
            Err(error) if error.is_a_rows_fault() => {
                let good = self.with_good_keys(key, rows, nulls_equal).await?;
                let pairs = self.ask_until_answered(key, &rows.subset(&good), nulls_equal).await?;
                Ok(pairs.into_iter().map(|(row, first)| (good[row], good[first])).collect())
            }
            answer => answer,
        }
    }

    /// The rows whose keys the server takes. The others equal none; they are refused when they are sent.
    async fn with_good_keys(&mut self, key: &[usize], rows: &EncodedRows, nulls_equal: bool) -> Result<Vec<usize>> {
        let mut good = Vec::new();
        let mut parts = std::iter::once(0..rows.len()).collect::<Vec<_>>();
        while let Some(part) = parts.pop() {
            match self.ask_until_answered(key, &rows.slice(part.clone()), nulls_equal).await {
                Ok(_) => good.extend(part),
                Err(error) if error.is_a_rows_fault() => {
                    let half = part.start + part.len() / 2;
                    parts.extend([half..part.end, part.start..half].into_iter().filter(|half| half.len() < part.len()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(good)
    }

    async fn ask_until_answered(&mut self, key: &[usize], rows: &EncodedRows, nulls_equal: bool) -> Result<Pairs> {
        if rows.is_empty() {
            return Ok(Pairs::new());
        }
        let mut retries = Retries::new(self.policy);
        loop {
            match self.policy.within_deadline(self.ask(key, rows, nulls_equal)).await {
                Ok(pairs) => return Ok(pairs),
                Err(error) => retries.pause_after(error).await?,
            }
        }
    }

    /// Asks the server which rows have equal keys.
    async fn ask(&mut self, key: &[usize], rows: &EncodedRows, nulls_equal: bool) -> Result<Pairs> {
        let table_sql = TableSql::known(self.target.model, self.target.table);
        let carrier = self.target.columns_carrier(&table_sql, key);
        let sql = sql::duplicates(&table_sql, Source::Columns, key, nulls_equal);
        let within = self.within.as_mut().map(Within::lend);
        let session = Session::open(&self.engine.pool, within).await?.counted(&self.policy.round_trips);
        session.begin(&self.policy.opening, false).await?;
        let answer = carrier.send(&session, &sql, rows).await;
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
}
