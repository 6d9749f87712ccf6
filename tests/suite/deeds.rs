//! The deeds that are cut, held and dropped: every verb by every transport, on tables that tell how often each row
//! was written.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use batchkit::{
    BatchConfig, BatchModel, BatchOperations, BatchSize, Call, ErrorKind, ExecutionStrategy, OnRowError, Outcome,
    Report, Result, Tracker, Transport, Within,
};
use deadpool_postgres::Pool;

use crate::common::{Db, fine};

/// Nothing keeps this table from holding a row twice.
#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "lines")]
pub(crate) struct Line {
    pub(crate) n: i32,
    pub(crate) text: String,
}

/// For the verbs that need a key.
#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "counters")]
pub(crate) struct Counter {
    #[batch(key)]
    pub(crate) id: i32,
    /// A write that is applied twice is told by its trace.
    pub(crate) value: i32,
}

pub(crate) const TABLES: &str = "
    CREATE TABLE lines (n int4 NOT NULL, text text NOT NULL CHECK (text <> 'bad'));
    CREATE TABLE counters (id int4 PRIMARY KEY, value int4 NOT NULL CHECK (value >= 0));
    CREATE TABLE holders (id int4 REFERENCES counters);
    CREATE TABLE traces (id int4 NOT NULL, what text NOT NULL);
    CREATE FUNCTION trace() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO traces VALUES (coalesce(NEW.id, OLD.id), TG_OP); RETURN NULL; END';
    CREATE TRIGGER trace AFTER INSERT OR UPDATE OR DELETE ON counters FOR EACH ROW EXECUTE FUNCTION trace();
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''refused''; END';
    CREATE TRIGGER refuse AFTER INSERT ON lines FOR EACH ROW WHEN (NEW.text = 'refuse') EXECUTE FUNCTION refuse();
    CREATE TRIGGER refuse AFTER INSERT OR UPDATE ON counters FOR EACH ROW WHEN (NEW.value = 99)
        EXECUTE FUNCTION refuse()";

/// Each row as often as it is there, each counter with its value, each trace.
const STATE: &str = "SELECT concat_ws('; ',
    (SELECT coalesce(string_agg(n::text, ',' ORDER BY n), '') FROM lines),
    (SELECT coalesce(string_agg(id || ' ' || value, ',' ORDER BY id), '') FROM counters),
    (SELECT coalesce(string_agg(id || ' ' || what, ',' ORDER BY id, what), '') FROM traces))";

/// One thing that is done under fire, with six rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Into the table that would take rows twice.
    Insert(Transport),
    InsertReturning(Transport),
    /// Of whose rows only the keys come back.
    InsertKeys(Transport),
    Update(Transport),
    Upsert(Transport),
    Delete(Transport),
    Get(Transport),
    /// An upsert of values that are made rows first, one of them dropped, and whose stored rows are worked up.
    Processed(Transport),
}

/// How a deed is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) strategy: ExecutionStrategy,
    /// Whether a row of each chunk is bad, and turned away.
    pub(crate) bad: bool,
    /// Whether the outcome of each row is asked for, or their number; the verbs that answer rows answer those.
    pub(crate) reported: bool,
}

/// Two chunks of rows.
const ROWS: usize = 6;
const CHUNK: usize = 3;

/// The bad rows, if there are some: the first one breaks a constraint that can be asked about.
const BAD: [usize; 2] = [1, 4];
/// The value that pre-processing drops.
const FILTERED: usize = 2;
/// The stored row that post-processing drops.
const POST_DROPPED: usize = 5;

/// What deeds are done with.
#[derive(Clone)]
pub(crate) struct Operations {
    lines: BatchOperations<Line>,
    counters: BatchOperations<Counter>,
}

impl Operations {
    /// Nothing is known of the tables yet.
    pub(crate) fn new(pool: &Pool, manner: Manner) -> Self {
        let config = BatchConfig {
            execution_strategy: manner.strategy,
            batch_size: BatchSize::Rows(CHUNK),
            on_row_error: if manner.bad { OnRowError::Reject } else { OnRowError::Abort },
            retry_delay: Duration::from_millis(1),
            ..BatchConfig::default()
        };
        Operations {
            lines: BatchOperations::builder(pool.clone()).config(config.clone()).build().unwrap(),
            counters: BatchOperations::builder(pool.clone()).config(config).build().unwrap(),
        }
    }

    /// Asks about the tables.
    pub(crate) async fn check_schema(&self) {
        self.lines.check_schema().await.unwrap();
        self.counters.check_schema().await.unwrap();
    }
}

/// A deed that is being done.
pub(crate) struct Doing<'a> {
    /// Answers how many rows were written, or read.
    pub(crate) call: Pin<Box<dyn Future<Output = Result<u64>> + Send + 'a>>,
    pub(crate) tracker: Tracker,
    /// What the call is watched by.
    pub(crate) seen: Seen,
}

/// What was seen of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// How many rows it took from its input.
    taken: Arc<AtomicUsize>,
    /// Which rows the sink was given.
    rejects: Arc<Mutex<Vec<usize>>>,
    /// How many stored rows post-processing dropped.
    post_dropped: Arc<AtomicUsize>,
    /// Whether it is in the caller's transaction.
    is_within: bool,
}

impl Deed {
    /// All of them, by all transports that can.
    pub(crate) fn all() -> Vec<Deed> {
        use Transport::{Copy, Single, UnnestColumns, UnnestRows};
        let inserts = [Deed::Insert, Deed::InsertReturning, Deed::InsertKeys];
        let verbs = inserts.into_iter().chain([Deed::Update, Deed::Upsert, Deed::Delete, Deed::Get]);
        let ways = [Copy, UnnestRows, UnnestColumns, Single];
        let every = verbs.flat_map(|verb| ways.map(verb));
        every.chain([Deed::Processed(UnnestRows)]).collect()
    }

    /// How its rows travel.
    pub(crate) fn transport(self) -> Transport {
        match self {
            Deed::Insert(transport)
            | Deed::InsertReturning(transport)
            | Deed::InsertKeys(transport)
            | Deed::Update(transport)
            | Deed::Upsert(transport)
            | Deed::Delete(transport)
            | Deed::Get(transport)
            | Deed::Processed(transport) => transport,
        }
    }

    /// Whether one of its rows can be bad.
    pub(crate) fn can_be_bad(self) -> bool {
        !matches!(self, Deed::Get(_))
    }

    /// Whether bad rows are tried with it where each try costs a connection: how they are looked for does not depend
    /// on how rows travel, only the statements do.
    pub(crate) fn is_tried_with_bad_rows(self) -> bool {
        let by_copy = matches!(self, Deed::Insert(Transport::Copy));
        self.can_be_bad() && (by_copy || self.transport() == Transport::UnnestRows)
    }

    /// The key of the row at this position.
    fn id(self, position: usize) -> i32 {
        let first = match self {
            Deed::Insert(_) | Deed::Update(_) | Deed::Delete(_) => 0,
            Deed::Get(_) => 2,
            Deed::Upsert(_) | Deed::Processed(_) => 3,
            Deed::InsertReturning(_) | Deed::InsertKeys(_) => 100,
        };
        first + i32::try_from(position).unwrap()
    }

    /// What becomes of the row at this position.
    fn outcome(self, position: usize, bad: bool) -> Outcome {
        match self {
            _ if bad && BAD.contains(&position) => Outcome::Rejected,
            Deed::Processed(_) if position == FILTERED => Outcome::Filtered,
            Deed::Insert(_) | Deed::InsertReturning(_) | Deed::InsertKeys(_) => Outcome::Inserted,
            Deed::Update(_) => Outcome::Updated,
            Deed::Upsert(_) | Deed::Processed(_) if self.id(position) < 6 => Outcome::Updated,
            Deed::Upsert(_) | Deed::Processed(_) => Outcome::Inserted,
            Deed::Delete(_) => Outcome::Deleted,
            Deed::Get(_) if self.id(position) < 6 => Outcome::Found,
            Deed::Get(_) => Outcome::Missing,
        }
    }

    /// Which rows are in when all is done.
    fn good(self, bad: bool) -> Vec<bool> {
        (0..ROWS).map(|at| is_done(self.outcome(at, bad))).collect()
    }

    /// The same start for each try.
    pub(crate) async fn prepare(self, db: &Db, bad: bool) {
        let held = if bad && matches!(self, Deed::Delete(_)) { "1), (4" } else { "NULL" };
        db.run(&format!(
            "BEGIN; DELETE FROM lines; DELETE FROM holders; DELETE FROM counters; \
             INSERT INTO counters SELECT n, 0 FROM generate_series(0, 5) n; INSERT INTO holders VALUES ({held}); \
             DELETE FROM traces; COMMIT"
        ))
        .await;
    }

    /// Begins it.
    pub(crate) fn start<'a>(self, on: &Operations, manner: Manner, within: Option<Within<'a>>) -> Doing<'a> {
        let seen = Seen { is_within: within.is_some(), ..Seen::default() };
        let tracker = Tracker::new();
        let options = Options { transport: self.transport(), tracker: tracker.clone(), seen: seen.clone(), within };
        let Operations { lines, counters } = on.clone();
        let call = self.call(lines, counters, manner, options);
        let call = Box::pin(async move {
            match call.await {
                // A plain call tells of rejects by an error; the others are in.
                Err(error) if error.kind() == ErrorKind::Rejected => Ok(done(error.report().unwrap())),
                result => result,
            }
        });
        Doing { call, tracker, seen }
    }

    fn call<'a>(
        self,
        lines: BatchOperations<Line>,
        counters: BatchOperations<Counter>,
        manner: Manner,
        mut options: Options<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<u64>> + Send + 'a>> {
        let taken = Arc::clone(&options.seen.taken);
        let positions = (0..ROWS).inspect(move |_| {
            taken.fetch_add(1, Ordering::SeqCst);
        });
        let value = move |at: usize| match BAD.iter().position(|bad| manner.bad && *bad == at) {
            None => 7,
            Some(0) => -1,
            Some(_) => 99,
        };
        let counter = move |at| Counter { id: self.id(at), value: value(at) };
        macro_rules! counted_or_reported {
            ($call:expr, $count:expr) => {{
                let call = options.on($call);
                Box::pin(async move {
                    if manner.reported { Ok(done(&call.report().await?)) } else { Ok($count(call.await?)) }
                })
            }};
        }
        match self {
            Deed::Insert(_) => {
                let text =
                    move |at| ["fine", "bad", "refuse"][[7, -1, 99].iter().position(|v| *v == value(at)).unwrap()];
                let rows = positions.map(move |at| Line { n: self.id(at), text: text(at).to_owned() });
                // Rows without a key are not found again by those that are answered: there is only their number.
                let call = options.on(lines.batch_insert(rows));
                Box::pin(async move { call.await })
            }
            Deed::InsertReturning(_) => {
                let call = options.on(counters.batch_insert(positions.map(counter)).returning());
                Box::pin(async move { Ok(u64::try_from(call.await?.len()).unwrap()) })
            }
            Deed::InsertKeys(_) => {
                let call = options.on(counters.batch_insert(positions.map(counter)).returning_keys());
                let good = (0..ROWS).filter(move |&at| is_done(self.outcome(at, manner.bad)));
                let keys: Vec<i32> = good.map(|at| self.id(at)).collect();
                Box::pin(async move {
                    let returned = call.await?;
                    assert_eq!(returned, keys);
                    Ok(u64::try_from(returned.len()).unwrap())
                })
            }
            Deed::Update(_) => counted_or_reported!(counters.batch_update(positions.map(counter)), |rows| rows),
            Deed::Upsert(_) => {
                let sum = |upserted: batchkit::Upserted| upserted.inserted + upserted.updated;
                counted_or_reported!(counters.batch_upsert(positions.map(counter)), sum)
            }
            Deed::Delete(_) => counted_or_reported!(counters.batch_delete(positions.map(move |at| self.id(at))), |n| n),
            Deed::Get(_) => {
                let right = |rows: Vec<Counter>| {
                    assert_eq!(rows, (2..6).map(|id| Counter { id, value: 0 }).collect::<Vec<_>>());
                    4
                };
                counted_or_reported!(counters.batch_get(positions.map(move |at| self.id(at))), right)
            }
            Deed::Processed(_) => {
                let make = move |at: usize| Ok::<_, String>((at != FILTERED).then(|| counter(at)));
                let call = options.on(counters.pre_process(make).batch_upsert(positions).returning());
                let (dropped, last) = (options.seen.post_dropped, self.id(POST_DROPPED));
                let call = call.post_process(move |row: Counter| {
                    let keep = row.id != last;
                    dropped.fetch_add(usize::from(!keep), Ordering::SeqCst);
                    Ok::<_, String>(keep.then_some(row.id))
                });
                Box::pin(async move { Ok(done(&call.report().await?.1)) })
            }
        }
    }

    /// Does it, to its end: what is asked about it is told right.
    pub(crate) async fn run(self, on: &Operations, manner: Manner, context: &str) {
        let Doing { call, tracker, seen } = self.start(on, manner, None);
        let context = format!("{self:?} {manner:?} {context}");
        let count = fine(call.await, &context);
        let good = self.good(manner.bad);
        assert_eq!(self.told(manner, tracker.settled().await.as_ref(), &seen, &context), good, "{context}");
        let found = (0..ROWS).filter(|&at| good[at] && self.outcome(at, manner.bad) != Outcome::Missing);
        assert_eq!(count, u64::try_from(found.count()).unwrap(), "{context}");
    }

    /// What the books tell: for each row whether it is in. Every row is in one place, and chunks are whole.
    pub(crate) fn told(self, manner: Manner, report: Option<&Report>, seen: &Seen, context: &str) -> Vec<bool> {
        let Some(report) = report else { return vec![false; ROWS] };
        let taken = seen.taken.load(Ordering::SeqCst);
        assert_eq!(report.total(), u64::try_from(taken).unwrap(), "{context}: each row that was taken is told of");
        let is_committed = |at: usize| report.committed().iter().any(|rows| rows.contains(&at));
        let sent: Vec<usize> = (0..ROWS).filter(|&at| self.outcome(at, false) != Outcome::Filtered).collect();
        let chunk = match manner.strategy {
            ExecutionStrategy::SingleQuery | ExecutionStrategy::Optimistic => ROWS,
            _ => CHUNK,
        };
        for chunk in sent.chunks(chunk) {
            let whole = chunk.iter().all(|&at| is_committed(at)) || !chunk.iter().any(|&at| is_committed(at));
            assert!(whole, "{context}: {chunk:?} is in parts: {report:?}");
        }
        let outcome = |at: usize| match self.outcome(at, manner.bad) {
            outcome if is_committed(at) => Some(outcome),
            _ => None,
        };
        for (at, told) in report.outcomes().unwrap_or_default().iter().enumerate() {
            let allowed = match outcome(at) {
                Some(outcome) => *told == outcome,
                None if self.outcome(at, false) == Outcome::Filtered => {
                    matches!(told, Outcome::Filtered | Outcome::NotAttempted)
                }
                // Its chunk was dropped half-way.
                None if seen.is_within && *told == Outcome::Unknown => true,
                // Its chunk was tried, and its call dropped before it could be tried again.
                None => matches!(told, Outcome::NotAttempted | Outcome::Failed),
            };
            assert!(allowed, "{context}: row {at}: {report:?}");
        }
        let of = |wanted: Outcome| (0..ROWS).filter(|&at| outcome(at) == Some(wanted)).collect::<Vec<_>>();
        for wanted in
            [Outcome::Inserted, Outcome::Updated, Outcome::Deleted, Outcome::Found, Outcome::Missing, Outcome::Rejected]
        {
            let count = u64::try_from(of(wanted).len()).unwrap();
            assert_eq!(report.counts().of(wanted), count, "{context}: {wanted:?}: {report:?}");
        }
        let rejects: Vec<usize> = report.rejects().iter().map(|reject| reject.position).collect();
        assert_eq!(rejects, of(Outcome::Rejected), "{context}");
        let mut handed_over = seen.rejects.lock().unwrap().clone();
        handed_over.sort_unstable();
        assert_eq!(handed_over, rejects, "{context}: each reject is handed over once");
        let post_dropped = u64::try_from(seen.post_dropped.load(Ordering::SeqCst)).unwrap();
        assert_eq!(report.post_dropped(), post_dropped, "{context}");
        (0..ROWS).map(|at| outcome(at).is_some_and(is_done)).collect()
    }

    /// Just these rows are in, each once.
    pub(crate) async fn check(self, db: &Db, is_in: &[bool], context: &str) {
        let mut counters: std::collections::BTreeMap<i32, i32> = (0..6).map(|id| (id, 0)).collect();
        let (mut lines, mut traces) = (Vec::new(), Vec::new());
        for position in (0..ROWS).filter(|&at| is_in[at]) {
            let id = self.id(position);
            let what = match self.outcome(position, false) {
                Outcome::Inserted => "INSERT",
                Outcome::Updated => "UPDATE",
                Outcome::Deleted => "DELETE",
                _ => continue,
            };
            match self {
                Deed::Insert(_) => {
                    lines.push(id.to_string());
                    continue;
                }
                Deed::Delete(_) => counters.remove(&id),
                _ => counters.insert(id, 7),
            };
            traces.push(format!("{id} {what}"));
        }
        let counters: Vec<String> = counters.iter().map(|(id, value)| format!("{id} {value}")).collect();
        let expected = [lines.join(","), counters.join(","), traces.join(",")].join("; ");
        assert_eq!(db.text(STATE).await, expected, "{self:?} {context}");
    }

    /// All rows are in that can be.
    pub(crate) async fn check_all(self, db: &Db, bad: bool, context: &str) {
        self.check(db, &self.good(bad), context).await;
    }

    /// Nothing was done.
    pub(crate) async fn check_none(self, db: &Db, context: &str) {
        self.check(db, &[false; ROWS], context).await;
    }
}

/// What each call of a deed is given.
struct Options<'a> {
    transport: Transport,
    tracker: Tracker,
    seen: Seen,
    within: Option<Within<'a>>,
}

impl<'a> Options<'a> {
    fn on<M, V, A>(&mut self, call: Call<'a, M, V, A>) -> Call<'a, M, V, A> {
        let rejects = Arc::clone(&self.seen.rejects);
        let sink = move |reject: &batchkit::Reject| rejects.lock().unwrap().push(reject.position);
        let call = call.transport(self.transport).track(&self.tracker).reject_sink(sink);
        match self.within.take() {
            Some(within) => call.within(within),
            None => call,
        }
    }
}

/// Whether a row with this outcome had its turn and was not turned away.
fn is_done(outcome: Outcome) -> bool {
    !matches!(outcome, Outcome::Rejected | Outcome::Filtered | Outcome::NotAttempted | Outcome::Failed)
}

/// How many rows were written, or read.
fn done(report: &Report) -> u64 {
    report.inserted() + report.updated() + report.deleted() + report.found()
}
