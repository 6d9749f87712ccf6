//! The one way that every verb's data takes: resolve, ask the catalogue, encode, find duplicates, choose
//! the transport, run the chunks, account for every row.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use deadpool_postgres::Pool;
use tokio::time::Instant;
use tracing::Instrument;

use super::answer::Answered;
use super::equal::Asking;
use super::graph::{Graph, Keys};
use super::known::{Kind, Known, KnownTables};
use super::renewal::Renewal;
use super::target::{Target, is_narrow, numbers, source_of};
use super::verb::Verb;
use crate::books::{Books, Tracker};
use crate::config::{BatchConfig, DuplicatePolicy, OnRowError, Transport};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Ledger;
use crate::metrics::Meter;
use crate::model::Model;
use crate::observe::{self, Ending, ErrorObserver, Observation};
use crate::plan::{self, Facts, Size};
use crate::reject::{KeyShape, RejectSink};
use crate::report::Outcome;
use crate::retry::{CallGuard, Policy, Retries, Shared, Works, within};
use crate::session::{Along, Opening, Openings, Session, Within};
use crate::source::{Chunks, Feed, Positions};
use crate::sql::{self, Form, Source, TableSql};
use crate::strategy::{self, Function, InCaller, InPool, Post, Runner};
use crate::wire::Start;

/// What all calls of one `BatchOperations` share.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) pool: Pool,
    pub(crate) tables: Arc<KnownTables>,
    pub(crate) openings: Arc<Openings>,
    pub(crate) config: BatchConfig,
    pub(crate) observer: ErrorObserver,
    pub(crate) meter: Arc<Meter>,
    /// Whether reads find rows that are marked as deleted.
    pub(crate) with_deleted: bool,
}

impl Engine {
    /// The table of `model` as the server describes it; the model was found to match it.
    pub(crate) async fn known(&self, model: &'static Model, within: Option<Within<'_>>) -> Result<Arc<Known>> {
        match self.tables.get(model) {
            Some(known) => Ok(known),
            // On the heap: what most calls do not do is not to be a part of their futures.
            None => Box::pin(self.ask(model, within)).await,
        }
    }

    async fn ask(&self, model: &'static Model, within: Option<Within<'_>>) -> Result<Arc<Known>> {
        let named = |error: Error| error.in_table(model.display_name());
        let mut session = Session::open(&self.pool, within).await.map_err(named)?;
        session.begin(&Opening::plain(), false).await.map_err(named)?;
        let loaded = self.tables.load(model, &mut session).await;
        session.rollback().await;
        loaded.map_err(named)
    }

    /// When something that is begun now has to be over by these operations' own settings.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.config.timeout.map(|timeout| Instant::now() + timeout)
    }

    /// Forgets what is known of tables and statements: the next call asks again.
    pub(crate) fn forget(&self) {
        self.tables.clear();
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
    pub(crate) along: Arc<[Along]>,
    pub(crate) within: Option<Within<'a>>,
    pub(crate) observer: ErrorObserver,
    pub(crate) sink: RejectSink,
    pub(crate) tracker: Option<Tracker>,
    pub(crate) post: Option<Arc<Function>>,
}

/// What a call knows before any row is encoded.
struct Prepared {
    columns: Vec<usize>,
    known: Arc<Known>,
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
        let model = self.model;
        let span = observe::call_span(self.verb.name(), model, self.config.execution_strategy);
        let meter = self.config.collect_metrics.then(|| Arc::clone(&self.engine.meter));
        let observation = Observation::new(span.clone(), meter);
        // On the heap, here and below: a future is copied each time that another one is put around it.
        let result = Box::pin(self.run_observed(observation)).instrument(span.clone()).await;
        if let Err(error) = &result {
            observe::record_error(&span, error);
        }
        result.map_err(|error| error.in_table(model.display_name()))
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
        within(policy.deadline.filter(|_| self.within.is_none()), pin!(ready)).await?;
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
            match policy.within_deadline(pin!(self.tables())).await {
                Ok((known, graph)) => return Ok(Some(Prepared { columns, known, graph })),
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
            None => Ok(Answered { report, rows, form: self.asked, types: Arc::new([]), graph: None, along: None }),
            Some(error) => Err(error.with_report(report)),
        }
    }

    async fn run_observed(mut self, observation: Observation) -> Result<Answered> {
        let started = Instant::now();
        let call = CallGuard::default();
        let opening = self.engine.openings.of(&self.config.database);
        let observer = std::mem::take(&mut self.observer);
        let policy = Arc::new(Policy::new(&self.config, opening, call.watch(), observer));
        let Prepared { columns, known, graph } = match Box::pin(self.prepare(&policy)).await {
            Ok(Some(prepared)) => prepared,
            end => return self.end_unsent(end.err(), started, observation),
        };
        tracing::Span::current().record("db.namespace", &known.table.database);
        let children = self.feed.children();
        // Rows below others find their keys in whole rows that are stored.
        let asked_form = if self.asked == Form::Keys && !graph.is_empty() { Form::Rows } else { self.asked };
        // Of those themselves nothing is asked, unless there are more of them below.
        let below_form = match self.asked {
            Form::Keys if !graph.is_recursive() => Form::Count,
            _ => asked_form,
        };
        let keys = Keys::of(&graph, &known, &columns, self.verb.form(asked_form, Some(&known.table)));
        let form = keys.form;
        let rejects = self.config.on_row_error == OnRowError::Reject;
        let verb: Arc<dyn Verb> = Arc::from(self.verb);
        let target = Target { known: &known, columns: &columns, writes: verb.writes() };
        let asked = self.config.transport;
        // Where there is no way, that is told when the books are open.
        let (plan, ways) = match graph.is_empty() {
            true => match known.plan(Kind { verb: &verb, columns: &columns, asked, form }) {
                Ok(plan) => (Some(Arc::clone(&plan)), Ok(Arc::clone(&plan.ways))),
                Err(error) => (None, Err(error)),
            },
            false => (None, target.graph_ways(&verb, asked, &keys)),
        };
        let copies_from = ways.as_ref().ok().and_then(|ways| ways.copies_from());
        let style = strategy::style(&self.config, self.feed.known_len(), rejects, copies_from);
        let (pace, concurrent) = (Arc::clone(&style.pace), style.concurrent);
        // Of a stream or an iterator nobody knows that its rows are few.
        let chunk_rows = self.feed.known_len().unwrap_or(usize::MAX).min(pace.limits().rows);
        let layout = match &plan {
            Some(plan) => Arc::clone(&plan.layout),
            None => Arc::new(target.layout(&*verb, graph.layouts())),
        };
        let ledger = Ledger::new(form, &self.config, Arc::clone(&layout.key), started);
        let ledger = ledger.counting(&policy.round_trips);
        let books = Books::new(ledger, self.sink, observation, self.config.log_progress, self.tracker.as_ref());
        // Inside of a caller's transaction its own settings hold.
        let deadline = policy.deadline.filter(|_| self.within.is_none());
        let chunks = Chunks::new(self.feed, self.model, Arc::clone(&layout), style).until(deadline);
        let mut running = Running { chunks, books: Arc::clone(&books) };
        let types = known.answered_types(form);
        let post = self.post.map(|function| Arc::new(Post { function, types: Arc::clone(&types) }));
        let result = async {
            let ways = ways?;
            let below = graph.works(asked, below_form, &keys)?;
            tracing::Span::current().record("batchkit.transport", tracing::field::debug(ways.of(chunk_rows).transport));
            let mut work = target.work(&*verb, ways, form, rejects, below);
            let decode = self.decode.map(|start| (start, Arc::clone(&types)));
            work.decode.clone_from(&decode);
            work.along = self.along;
            let (pool, fallback) = (self.engine.pool.clone(), strategy::fallback(&self.config));
            let mut runner = match self.within {
                None => {
                    let (engine, transport) = (self.engine.clone(), asked);
                    let model = self.model;
                    let verb = Arc::clone(&verb);
                    let types = Arc::clone(&types);
                    let renewal = Renewal {
                        engine,
                        model,
                        layout,
                        verb,
                        transport,
                        form,
                        rejects,
                        children,
                        below_form,
                        decode,
                        types,
                    };
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
                    asking.keep_one_of_each(&unique, self.config.duplicates, rejects, &mut running).await?;
                }
                if concurrent && verb.writes() && (rejects || verb.ignores_conflicts()) {
                    Box::pin(asking.put_later_ones_last(verb.unique().as_ref(), &mut running)).await?;
                }
                running.chunks.divide_by_key();
                let run = strategy::run(&self.config, &mut running.chunks, &mut runner, post.as_ref());
                let result = run.await;
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
        let (below, along) = (books.take_graph(), books.take_along());
        let (report, rows) = books.close(if result.is_err() { Ending::Failed } else { Ending::Answered });
        match result {
            Ok(()) => {
                let graph = Some((graph, below)).filter(|(graph, _)| !graph.is_empty());
                Ok(Answered { report, rows, form, types, graph, along })
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
            columns_alone: !columns.is_empty() && sql::columns_layout(&declared, &columns).whole.is_empty(),
            numbered: numbers(&*self.verb, &declared, Source::Columns, form),
            gives_columns: !columns.is_empty(),
            matchable: self.verb.matchable(self.model, &declared),
            triggered: declared.triggered,
            fills_in: self.verb.inserts() && declared.filled_in(&columns).next().is_some(),
            narrow: is_narrow(&declared, &columns),
            foretold: false,
            updates: self.verb.updates(),
            counts_each: false,
            form,
        };
        let choice = plan::choose(self.config.transport, &facts)?;
        Ok(self.verb.sql(self.model, &declared, source_of(choice, &facts), Size::of(choice, usize::MAX), form))
    }

    /// The way that the call would take.
    pub(crate) async fn explain(mut self) -> Result<Explanation> {
        let columns = self.resolve()?;
        let known = self.known().await?;
        let form = self.verb.form(self.asked, Some(&known.table));
        let rejects = self.config.on_row_error == OnRowError::Reject;
        let target = Target { known: &known, columns: &columns, writes: self.verb.writes() };
        let ways = target.ways(&*self.verb, self.config.transport, form)?;
        let most = strategy::style(&self.config, self.feed.known_len(), rejects, ways.copies_from()).pace.limits().rows;
        let rows = if self.feed.is_stream() { most } else { self.feed.count_rest().min(most) };
        let way = ways.of(rows);
        Ok(Explanation { transport: way.transport, reason: way.reason, sql: way.sql.to_string() })
    }

    fn resolve(&mut self) -> Result<Vec<usize>> {
        if let Some(problem) = self.config.problem() {
            return Err(Error::new(ErrorKind::Config, problem));
        }
        self.verb.resolve(self.model)
    }

    /// The table, and what is below its rows.
    async fn tables(&mut self) -> Result<(Arc<Known>, Graph)> {
        let known = self.known().await?;
        let children = self.feed.children();
        if children.is_empty() {
            return Ok((known, Graph::default()));
        }
        let within = self.within.as_mut().map(Within::lend);
        let graph = Box::pin(Graph::of(&self.engine, within, &known, children)).await?;
        Ok((known, graph))
    }

    async fn known(&mut self) -> Result<Arc<Known>> {
        let known = self.engine.known(self.model, self.within.as_mut().map(Within::lend)).await?;
        self.verb.refuse(self.model, &known.table)?;
        Ok(known)
    }
}

/// A call whose chunks are under way. Dropped before its end, it books what will not be attempted.
pub(super) struct Running<'a> {
    pub(super) chunks: Chunks<'a>,
    pub(super) books: Arc<Books>,
}

impl Running<'_> {
    /// Books the rows that are not sent: those without a form, and those that pre-processing dropped.
    pub(super) fn book_unsent(&mut self) -> Result<()> {
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
