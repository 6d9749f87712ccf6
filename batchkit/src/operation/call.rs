//! The builder that every verb returns: options, then `.await`.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::answer::Answered;
use super::engine::{Engine, Explanation, Request};
use super::verb::Verb;
use crate::books::Tracker;
use crate::config::{BatchConfig, BatchSize, DuplicatePolicy, ExecutionStrategy, OnRowError, Transport};
use crate::error::{Error, Result};
use crate::model::{BatchModel, ReadKey, ReadRow};
use crate::observe::{ErrorContext, ErrorObserver};
use crate::reject::{Reject, RejectSink};
use crate::report::{Counts, Report};
use crate::session::{Along, Within};
use crate::settings::DatabaseSettings;
use crate::source::Feed;
use crate::sql::Form;
use crate::strategy::Function;
use crate::wire::{Start, decoding};

/// A call of the verb `V` on the table of `M` that has not started yet. `.await` runs it.
///
/// | answer `A` | asked for by | `.await` gives |
/// |---|---|---|
/// | [`Plain`] | nothing | how many rows were written (for `batch_get`, found) |
/// | [`Returning`] | `.returning()` | the stored rows, in input order; what has no row is left out |
/// | [`Returning<KeyOnly>`](Returning) | `.returning_keys()`, of a get `.keys()` | the same with their keys alone |
/// | [`Aligned`] | `.aligned()` behind one of these | one slot per input row: its stored row (or key), or `None` |
/// | [`Reported`] | `.report()` | a [`Report`] with each row's outcome |
///
/// # Errors
/// `.await` gives an [`Error`](crate::Error) whose [`report`](crate::Error::report) tells what was written
/// all the same: nothing under [`ExecutionStrategy::SingleQuery`], whole chunks under `Chunked`.
#[must_use = "a call does nothing until it is awaited"]
pub struct Call<'a, M, V, A = Plain> {
    pub(super) engine: Engine,
    pub(super) feed: Box<dyn Feed + 'a>,
    pub(super) verb: V,
    pub(super) config: BatchConfig,
    pub(super) within: Option<Within<'a>>,
    pub(super) observer: ErrorObserver,
    pub(super) sink: RejectSink,
    pub(super) tracker: Option<Tracker>,
    pub(super) of: PhantomData<fn() -> (M, A)>,
}

/// Asks for a count.
#[derive(Debug)]
pub struct Plain;
/// Asks for the stored rows, or for what `R` is of them.
#[derive(Debug)]
pub struct Returning<R = WholeRow>(PhantomData<fn() -> R>);
/// Asks for one slot per input row.
#[derive(Debug)]
pub struct Aligned<R = WholeRow>(PhantomData<fn() -> R>);
/// Asks for each row's outcome.
#[derive(Debug)]
pub struct Reported;

/// Keeps the verbs to those of this crate.
pub trait Sealed {}

/// A verb that counts.
#[expect(private_bounds, reason = "what a verb is to the engine is not public")]
pub trait CountVerb: Sealed + Verb {
    /// What its count looks like.
    type Count;

    /// Its count out of all outcomes.
    fn count(counts: &Counts) -> Self::Count;
}

/// What `.await` gives.
pub trait Answer<M, V> {
    /// The type of the answer.
    type Output;

    #[doc(hidden)]
    fn form() -> AnswerForm;

    #[doc(hidden)]
    fn answer(answered: Answered) -> Result<Self::Output>;
}

/// Of a stored row, all of it.
#[derive(Debug)]
pub struct WholeRow;
/// Of a stored row, its primary key.
#[derive(Debug)]
pub struct KeyOnly;

/// What is answered of a stored row of `M`: a [`WholeRow`] or the [`KeyOnly`].
pub trait Returned<M> {
    /// Its type: `M`, or that of the key's field (for several, a tuple of them in the key's order).
    type Item;

    #[doc(hidden)]
    fn form() -> AnswerForm;

    #[doc(hidden)]
    fn found(answered: Answered) -> Result<Vec<Self::Item>>;

    #[doc(hidden)]
    fn slots(answered: Answered) -> Result<Vec<Option<Self::Item>>>;
}

impl<M: ReadRow> Returned<M> for WholeRow {
    type Item = M;

    fn form() -> AnswerForm {
        AnswerForm(Form::Rows, Some(decoding::<M>))
    }

    fn found(answered: Answered) -> Result<Vec<M>> {
        answered.found()
    }

    fn slots(answered: Answered) -> Result<Vec<Option<M>>> {
        answered.rows()
    }
}

impl<M: BatchModel<Key: ReadKey>> Returned<M> for KeyOnly {
    type Item = <M::Key as ReadKey>::Value;

    fn form() -> AnswerForm {
        AnswerForm(Form::Keys, None)
    }

    fn found(answered: Answered) -> Result<Vec<Self::Item>> {
        answered.found_keys::<M>()
    }

    fn slots(answered: Answered) -> Result<Vec<Option<Self::Item>>> {
        answered.keys::<M>()
    }
}

/// What a statement has to answer; opaque outside of this crate.
#[doc(hidden)]
#[derive(Debug)]
pub struct AnswerForm(pub(super) Form, Option<Start>);

impl<M, V: CountVerb> Answer<M, V> for Plain {
    type Output = V::Count;

    fn form() -> AnswerForm {
        AnswerForm(Form::Count, None)
    }

    fn answer(answered: Answered) -> Result<V::Count> {
        let answered = answered.without_rejects()?;
        Ok(V::count(answered.report.counts()))
    }
}

impl<M, V, R: Returned<M>> Answer<M, V> for Returning<R> {
    type Output = Vec<R::Item>;

    fn form() -> AnswerForm {
        R::form()
    }

    fn answer(answered: Answered) -> Result<Vec<R::Item>> {
        R::found(answered.without_rejects()?)
    }
}

impl<M, V, R: Returned<M>> Answer<M, V> for Aligned<R> {
    type Output = Vec<Option<R::Item>>;

    fn form() -> AnswerForm {
        R::form()
    }

    fn answer(answered: Answered) -> Result<Vec<Option<R::Item>>> {
        R::slots(answered.without_rejects()?)
    }
}

impl<M, V> Answer<M, V> for Reported {
    type Output = Report;

    fn form() -> AnswerForm {
        AnswerForm(Form::Outcomes, None)
    }

    fn answer(answered: Answered) -> Result<Report> {
        Ok(answered.report)
    }
}

impl<'a, M, V, A> Call<'a, M, V, A> {
    /// How the rows are divided over transactions, for this call.
    pub fn strategy(mut self, strategy: ExecutionStrategy) -> Self {
        self.config.execution_strategy = strategy;
        self
    }

    /// All settings, for this call: in place of those of the [`BatchOperations`](crate::BatchOperations), and of what
    /// was set on the call before.
    pub fn config(mut self, config: BatchConfig) -> Self {
        self.config = config;
        self
    }

    /// The most rows of a chunk, for this call: a [`BatchSize`] or a number.
    pub fn batch_size(mut self, size: impl Into<BatchSize>) -> Self {
        self.config.batch_size = size.into();
        self
    }

    /// Whether chunks are cut by their rows' encoded bytes, whatever their size in rows, for this call.
    pub fn optimize_for_size(mut self, optimize: bool) -> Self {
        self.config.optimize_for_size = optimize;
        self
    }

    /// How the rows travel, for this call. A transport that cannot be used here is an error.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.config.transport = transport;
        self
    }

    /// What to do with input rows of one key, for this call. Deletes take each key once in any case.
    pub fn duplicates(mut self, policy: DuplicatePolicy) -> Self {
        self.config.duplicates = policy;
        self
    }

    /// How many chunks run at once under [`ExecutionStrategy::Parallel`], for this call.
    pub fn max_workers(mut self, workers: usize) -> Self {
        self.config.max_workers = workers;
        self
    }

    /// How many times a chunk is tried again, for this call.
    pub fn retry_count(mut self, retries: u32) -> Self {
        self.config.retry_count = retries;
        self
    }

    /// The longest pause before the first retry of a chunk, for this call.
    pub fn retry_delay(mut self, delay: Duration) -> Self {
        self.config.retry_delay = delay;
        self
    }

    /// How long this call may take in all. Inside of a caller's transaction its own settings hold instead: this
    /// one is not looked at there.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout = Some(timeout);
        self
    }

    /// Is told of every error of a chunk, also of those that a retry mends, and of what is done about it.
    pub fn error_callback(mut self, callback: impl Fn(&Error, &ErrorContext) + Send + Sync + 'static) -> Self {
        self.observer = ErrorObserver::new(callback);
        self
    }

    /// What happens to rows that are refused, for this call.
    pub fn on_row_error(mut self, answer: OnRowError) -> Self {
        self.config.on_row_error = answer;
        self
    }

    /// How many rows may be turned away, for this call; with one more, it stops.
    pub fn max_rejects(mut self, rows: u64) -> Self {
        self.config.max_rejects = Some(rows);
        self
    }

    /// What share of the rows may be turned away, in percent, for this call.
    pub fn max_reject_percent(mut self, percent: u8) -> Self {
        self.config.max_reject_percent = Some(percent);
        self
    }

    /// Is handed each row that is turned away, once, when the others of its chunk are in.
    pub fn reject_sink(mut self, sink: impl Fn(&Reject) + Send + Sync + 'static) -> Self {
        self.sink = RejectSink::new(sink);
        self
    }

    /// Can be looked at through `tracker` while it runs, and when it was dropped half-way.
    pub fn track(mut self, tracker: &Tracker) -> Self {
        self.tracker = Some(tracker.clone());
        self
    }

    /// Whether this call is counted: see [`BatchOperations::metrics`](crate::BatchOperations::metrics).
    pub fn collect_metrics(mut self, collect: bool) -> Self {
        self.config.collect_metrics = collect;
        self
    }

    /// Whether each chunk of this call that is in is logged, through `tracing` at level INFO.
    pub fn log_progress(mut self, log: bool) -> Self {
        self.config.log_progress = log;
        self
    }

    /// The server's settings for this call's transactions.
    pub fn database(mut self, settings: DatabaseSettings) -> Self {
        self.config.database = settings;
        self
    }

    /// Runs inside of the caller's transaction: under savepoints, nothing is committed, no setting is
    /// changed. After an error the transaction is usable, and without what the failed chunk wrote.
    ///
    /// Dropping the call half-way leaves the transaction to be rolled back by its owner.
    pub fn within(mut self, transaction: impl Into<Within<'a>>) -> Self {
        self.within = Some(transaction.into());
        self
    }

    /// Answers what became of each row.
    pub fn report(self) -> Call<'a, M, V, Reported> {
        self.answering()
    }

    pub(super) fn answering<B>(self) -> Call<'a, M, V, B> {
        let Call { engine, feed, verb, config, within, observer, sink, tracker, of: _ } = self;
        Call { engine, feed, verb, config, within, observer, sink, tracker, of: PhantomData }
    }
}

impl<'a, M, V, A> Call<'a, M, V, A> {
    /// The same in another transaction, which may live shorter.
    pub(super) fn lent<'b>(self, within: Option<Within<'b>>) -> Call<'b, M, V, A>
    where
        'a: 'b,
    {
        let Call { engine, feed, verb, config, within: _, observer, sink, tracker, of } = self;
        Call { engine, feed, verb, config, within, observer, sink, tracker, of }
    }
}

impl<'a, M, V> Call<'a, M, V, Plain> {
    /// Answers the stored rows, in input order, with what the server set. (After a delete: as they were.)
    pub fn returning(self) -> Call<'a, M, V, Returning> {
        self.answering()
    }

    /// Answers the primary keys of the stored rows, in input order. Where the rest of a row is known or not wanted, it
    /// spares the server to send it and the client to decode and to hold it. Of many rows, an insert draws the keys
    /// beforehand where they can be drawn and no trigger changes them, and goes by COPY, whatever else the server sets.
    /// (The role needs the right to read the key, which COPY does not ask for.)
    ///
    /// ```no_run
    /// # use batchkit::{BatchModel, BatchOperations};
    /// # #[derive(BatchModel)] #[batch(table = "products", new = "NewProduct")]
    /// # struct Product { #[batch(key, auto)] id: i64, name: String }
    /// # async fn run(products: BatchOperations<Product>, new: Vec<NewProduct>) -> batchkit::Result<()> {
    /// let ids: Vec<i64> = products.batch_insert(&new).returning_keys().await?;
    /// # let _ = ids;
    /// # Ok(()) }
    /// ```
    pub fn returning_keys(self) -> Call<'a, M, V, Returning<KeyOnly>>
    where
        M: BatchModel<Key: ReadKey>,
    {
        self.answering()
    }
}

impl<'a, M, V, R> Call<'a, M, V, Returning<R>> {
    /// Answers one slot per input row: `None` where no row is stored, as for a key that was not found.
    pub fn aligned(self) -> Call<'a, M, V, Aligned<R>> {
        self.answering()
    }
}

#[expect(private_bounds, reason = "what a verb is to the engine is not public")]
impl<'a, M, V, A> Call<'a, M, V, A>
where
    M: BatchModel + 'a,
    V: Verb + 'static,
    A: Answer<M, V> + 'a,
{
    /// The statement that this call would run with many rows, without asking a server: as if the table were just what
    /// the model says.
    ///
    /// # Errors
    /// When the options make no sense together, or a field's type is not known without a server.
    pub fn sql(self) -> Result<String> {
        self.request(None, Arc::new([])).sql()
    }

    /// Which way this call would take with so many rows, and why. Asks the server about the table; counts the rows, and
    /// sends none.
    ///
    /// # Errors
    /// When the options make no sense together or the model does not match the table.
    pub async fn explain(self) -> Result<Explanation> {
        self.request(None, Arc::new([])).explain().await
    }

    pub(super) fn request(self, post: Option<Arc<Function>>, along: Arc<[Along]>) -> Request<'a> {
        let AnswerForm(asked, decode) = A::form();
        Request {
            engine: self.engine,
            model: M::MODEL,
            feed: self.feed,
            verb: Box::new(self.verb),
            config: self.config,
            asked,
            // Post-processing decodes the rows of a chunk by itself.
            decode: decode.filter(|_| post.is_none()),
            within: self.within,
            observer: self.observer,
            sink: self.sink,
            tracker: self.tracker,
            post,
            along,
        }
    }
}

impl<'a, M, V, A> IntoFuture for Call<'a, M, V, A>
where
    M: BatchModel + 'a,
    V: CountVerb + 'static,
    A: Answer<M, V> + 'a,
{
    type Output = Result<A::Output>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let request = self.request(None, Arc::new([]));
        Box::pin(async move { A::answer(request.run().await?) })
    }
}
