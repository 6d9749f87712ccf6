//! What is told through `tracing` of a call: a span for it, in it one for each chunk, in it one for each try.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::future::IntoFuture;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use batchkit::{BatchModel, BatchOperations, ErrorKind, ExecutionStrategy, OnRowError, Tracker, Transport};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::common::{Db, STRATEGIES, database, poll_times};

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "cargo", schema = "depot")]
struct Cargo {
    #[batch(key)]
    id: i32,
    weight: i32,
    name: String,
}

const TABLE: &str = "CREATE SCHEMA depot; CREATE TABLE depot.cargo (id int4 CONSTRAINT cargo_id PRIMARY KEY,
    weight int4 NOT NULL CONSTRAINT heavy CHECK (weight < 100), name text NOT NULL)";

/// Is in every row, and must be in no attribute and no event.
const CANARY: &str = "canary";

fn cargo(ids: std::ops::Range<i32>) -> Vec<Cargo> {
    ids.map(|id| Cargo { id, weight: 1, name: format!("{CANARY} {id}") }).collect()
}

/// Attributes by name, as they are printed.
type Fields = BTreeMap<&'static str, String>;

#[derive(Debug, Clone)]
struct Span {
    name: &'static str,
    level: Level,
    parent: Option<u64>,
    fields: Fields,
    is_closed: bool,
}

#[derive(Debug, Clone)]
struct Told {
    level: Level,
    /// The span that it was told in.
    span: Option<u64>,
    fields: Fields,
}

#[derive(Debug, Default)]
struct Recorded {
    /// In the order of their beginning; the registry uses an id again.
    spans: Vec<Span>,
    by_id: HashMap<u64, usize>,
    events: Vec<Told>,
}

/// Takes down the spans and events of batchkit, as long as it lives, on this thread: a test's runtime has no other.
struct Recorder {
    recorded: Arc<Mutex<Recorded>>,
    _guard: DefaultGuard,
}

struct Recording(Arc<Mutex<Recorded>>);

struct Into<'f>(&'f mut Fields);

impl Visit for Into<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl<S: Subscriber + for<'l> LookupSpan<'l>> Layer<S> for Recording {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let metadata = attributes.metadata();
        if !metadata.target().starts_with("batchkit") {
            return;
        }
        let mut fields = Fields::new();
        attributes.record(&mut Into(&mut fields));
        let mut recorded = self.0.lock().unwrap();
        let parent = context.span(id).unwrap().parent().map(|parent| parent.id().into_u64());
        let parent = parent.and_then(|parent| recorded.by_id.get(&parent)).map(|&at| at as u64);
        let at = recorded.spans.len();
        recorded.by_id.insert(id.into_u64(), at);
        let (name, level) = (metadata.name(), *metadata.level());
        recorded.spans.push(Span { name, level, parent, fields, is_closed: false });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut recorded = self.0.lock().unwrap();
        if let Some(&at) = recorded.by_id.get(&id.into_u64()) {
            values.record(&mut Into(&mut recorded.spans[at].fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if !event.metadata().target().starts_with("batchkit") {
            return;
        }
        let mut fields = Fields::new();
        event.record(&mut Into(&mut fields));
        let mut recorded = self.0.lock().unwrap();
        let span = context.event_span(event).map(|span| span.id().into_u64());
        let span = span.and_then(|span| recorded.by_id.get(&span)).map(|&at| at as u64);
        recorded.events.push(Told { level: *event.metadata().level(), span, fields });
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        let mut recorded = self.0.lock().unwrap();
        if let Some(at) = recorded.by_id.remove(&id.into_u64()) {
            recorded.spans[at].is_closed = true;
        }
    }
}

impl Recorder {
    fn start() -> Self {
        // Whether a span is wanted at all is asked once for all threads: without somebody who always wants it, the end
        // of one recorder could hide it from the others.
        static ALWAYS: std::sync::Once = std::sync::Once::new();
        ALWAYS.call_once(|| tracing::subscriber::set_global_default(tracing_subscriber::registry()).unwrap());
        let recorded = Arc::default();
        let subscriber = tracing_subscriber::registry().with(Recording(Arc::clone(&recorded)));
        Recorder { recorded, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// What was told since this was asked last. All spans have ended, each in one of its kind's, and nothing holds a
    /// value of a row.
    fn take(&self) -> Recorded {
        let recorded = std::mem::take(&mut *self.recorded.lock().unwrap());
        for span in &recorded.spans {
            let parent = span.parent.map(|at| recorded.spans[usize::try_from(at).unwrap()].name);
            let (expected, level) = match span.name {
                "batchkit.call" => (None, Level::INFO),
                "batchkit.chunk" => (Some("batchkit.call"), Level::DEBUG),
                "batchkit.attempt" => (Some("batchkit.chunk"), Level::DEBUG),
                other => unreachable!("a span {other}"),
            };
            assert_eq!((parent, span.level), (expected, level), "{span:?}");
            assert!(span.is_closed, "{span:?}");
        }
        let fields = recorded.spans.iter().map(|span| &span.fields).chain(recorded.events.iter().map(|e| &e.fields));
        assert!(fields.flatten().all(|(_, value)| !value.contains(CANARY)), "{recorded:?}");
        recorded
    }
}

impl Recorded {
    /// The attributes of the one call.
    fn call(&self) -> &Fields {
        let calls: Vec<&Span> = self.spans.iter().filter(|span| span.name == "batchkit.call").collect();
        assert_eq!(calls.len(), 1);
        &calls[0].fields
    }

    /// The tree as text: for each chunk its number and rows, and in brackets its tries, by the chunks' numbers.
    fn tree(&self) -> String {
        let mut chunks: Vec<(String, String)> = Vec::new();
        for (at, chunk) in self.spans.iter().enumerate().filter(|(_, span)| span.name == "batchkit.chunk") {
            let tries = self.spans.iter().filter(|span| span.name == "batchkit.attempt");
            let tries = tries.filter(|span| span.parent == Some(at as u64));
            let tries: Vec<String> = tries.map(|span| with_error(&span.fields, "batchkit.attempt")).collect();
            let rows = &chunk.fields["batchkit.rows"];
            let text = format!("{} x{rows} [{}]", with_error(&chunk.fields, "batchkit.chunk"), tries.join(" "));
            chunks.push((chunk.fields["batchkit.chunk"].clone(), text));
        }
        chunks.sort_by_key(|(chunk, _)| chunk.parse::<u32>().unwrap());
        chunks.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(", ")
    }
}

/// A number, and the error that its span ended with.
fn with_error(fields: &Fields, number: &str) -> String {
    let status = fields.get("otel.status_code").map(String::as_str);
    match (status, fields.get("error.type"), fields.get("db.response.status_code")) {
        (None, None, None) => fields[number].clone(),
        (Some("ERROR"), Some(kind), code) => {
            format!("{}!{kind}/{}", fields[number], code.map_or("-", String::as_str))
        }
        _ => unreachable!("half an error: {fields:?}"),
    }
}

fn fields<const N: usize>(expected: [(&'static str, &str); N]) -> Fields {
    expected.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
}

async fn ready() -> (Db, BatchOperations<Cargo>, Recorder) {
    let db = database(TABLE).await;
    let operations = BatchOperations::<Cargo>::new(db.pool.clone());
    (db, operations, Recorder::start())
}

/// A plain call of every verb: all attributes, and their values.
#[tokio::test]
async fn every_verb_is_told_by_opentelemetrys_names() {
    let (db, operations, recorder) = ready().await;
    let calls = [
        ("INSERT", "3", "Copy"),
        ("UPSERT", "4", "UnnestColumns"),
        ("UPDATE", "2", "UnnestColumns"),
        ("SELECT", "5", "UnnestColumns"),
        ("DELETE", "3", "UnnestColumns"),
    ];
    for (verb, rows, transport) in calls {
        match verb {
            "INSERT" => assert_eq!(operations.batch_insert(cargo(0..3)).transport(Transport::Copy).await.unwrap(), 3),
            "UPSERT" => assert_eq!(operations.batch_upsert(cargo(2..6)).await.unwrap().inserted, 3),
            "UPDATE" => assert_eq!(operations.batch_update(cargo(0..2)).await.unwrap(), 2),
            "SELECT" => assert_eq!(operations.batch_get(0..5).await.unwrap().len(), 5),
            _ => assert_eq!(operations.batch_delete(0..3).await.unwrap(), 3),
        }
        let recorded = recorder.take();
        let name = format!("{verb} depot.cargo");
        let round_trips = operations.metrics().last_batch.round_trips.to_string();
        let expected = fields([
            ("otel.name", &name),
            ("otel.kind", "client"),
            ("db.system.name", "postgresql"),
            ("db.namespace", db.database.name()),
            ("db.collection.name", "depot.cargo"),
            ("db.operation.name", verb),
            ("db.query.summary", &name),
            ("batchkit.strategy", "Chunked"),
            ("batchkit.transport", transport),
            ("batchkit.rows", rows),
            ("batchkit.chunks", "1"),
            ("batchkit.retries", "0"),
            ("batchkit.round_trips", &round_trips),
            ("batchkit.rejects", "0"),
        ]);
        assert_eq!(recorded.call(), &expected);
        assert_eq!(recorded.tree(), format!("0 x{rows} [1]"));
        assert!(recorded.events.is_empty(), "{:?}", recorded.events);
    }
    // An empty one has no chunk.
    operations.batch_insert(cargo(0..0)).await.unwrap();
    let recorded = recorder.take();
    assert_eq!((recorded.call()["batchkit.rows"].as_str(), recorded.tree().as_str()), ("0", ""));
}

#[tokio::test]
async fn chunks_are_in_their_call_by_every_strategy() {
    let (db, operations, recorder) = ready().await;
    for (strategy, size) in STRATEGIES {
        db.run("TRUNCATE depot.cargo").await;
        let call = operations.batch_insert(cargo(0..20)).strategy(strategy).batch_size(size);
        assert_eq!(call.await.unwrap(), 20);
        let recorded = recorder.take();
        let is_one = size > 20 || matches!(strategy, ExecutionStrategy::SingleQuery | ExecutionStrategy::Optimistic);
        let (tree, chunks) = if is_one { ("0 x20 [1]", "1") } else { ("0 x7 [1], 1 x7 [1], 2 x6 [1]", "3") };
        assert_eq!(recorded.tree(), tree, "{strategy:?}");
        assert_eq!(recorded.call()["batchkit.chunks"], chunks);
        assert_eq!(recorded.call()["batchkit.strategy"], format!("{strategy:?}"));
        // In the caller's transaction too, where nothing is tried again.
        db.run("TRUNCATE depot.cargo").await;
        if strategy != ExecutionStrategy::Parallel {
            let mut client = db.pool.get().await.unwrap();
            let mut transaction = client.transaction().await.unwrap();
            let call = operations.batch_insert(cargo(0..20)).strategy(strategy).batch_size(size);
            assert_eq!(call.within(&mut transaction).await.unwrap(), 20);
            assert_eq!(recorder.take().tree(), tree.replace("[1]", "[]"), "{strategy:?}");
        }
    }
}

#[tokio::test]
async fn two_calls_at_once_keep_their_chunks_apart() {
    let (_db, operations, recorder) = ready().await;
    let call = |ids| operations.batch_insert(cargo(ids)).strategy(ExecutionStrategy::Parallel).batch_size(5);
    let (one, two) = tokio::join!(call(0..10).into_future(), call(10..25).into_future());
    assert_eq!((one.unwrap(), two.unwrap()), (10, 15));
    let recorded = recorder.take();
    let mut rows_of: BTreeMap<String, u64> = BTreeMap::new();
    for span in recorded.spans.iter().filter(|span| span.name == "batchkit.chunk") {
        let call = &recorded.spans[usize::try_from(span.parent.unwrap()).unwrap()];
        *rows_of.entry(call.fields["batchkit.rows"].clone()).or_default() +=
            span.fields["batchkit.rows"].parse::<u64>().unwrap();
    }
    assert_eq!(rows_of, BTreeMap::from([("10".to_owned(), 10), ("15".to_owned(), 15)]));
}

/// The second of two chunks meets a deadlock at its first try; each try is told, and the error is an event in it.
#[tokio::test]
async fn a_retried_chunk_has_a_span_for_each_try() {
    let (db, operations, recorder) = ready().await;
    db.run(
        "CREATE SEQUENCE tries; CREATE FUNCTION deadlock() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN IF nextval(''tries'') <= 2 THEN RAISE EXCEPTION USING ERRCODE = ''40P01''; END IF; RETURN NULL; END';
         CREATE TRIGGER deadlock AFTER INSERT ON depot.cargo FOR EACH ROW WHEN (NEW.id = 15) EXECUTE FUNCTION deadlock()",
    )
    .await;
    for strategy in [ExecutionStrategy::Chunked, ExecutionStrategy::Parallel, ExecutionStrategy::Pipelined] {
        db.run("TRUNCATE depot.cargo; ALTER SEQUENCE tries RESTART").await;
        let call = operations.batch_insert(cargo(0..20)).strategy(strategy).batch_size(10).max_workers(1);
        assert_eq!(call.retry_delay(Duration::from_millis(1)).await.unwrap(), 20);
        let recorded = recorder.take();
        assert_eq!(recorded.tree(), "0 x10 [1], 1 x10 [1!Database/40P01 2!Database/40P01 3]", "{strategy:?}");
        let call = recorded.call();
        assert_eq!((call["batchkit.retries"].as_str(), call["batchkit.chunks"].as_str()), ("2", "2"), "{strategy:?}");
        assert!(!call.contains_key("otel.status_code"), "the call has no error");
        assert_eq!(recorded.events.len(), 2);
        for (event, attempt) in recorded.events.iter().zip(["1", "2"]) {
            let span = &recorded.spans[usize::try_from(event.span.unwrap()).unwrap()];
            assert_eq!((event.level, span.name), (Level::DEBUG, "batchkit.chunk"));
            let told = ["message", "chunk", "attempt", "answer"].map(|name| event.fields[name].as_str());
            assert_eq!(told, ["a try of a chunk failed", "1", attempt, "Again"]);
            assert!(event.fields["error"].contains("40P01"), "{event:?}");
        }
    }
}

#[tokio::test]
async fn a_call_that_fails_and_one_that_rejects() {
    let (_db, operations, recorder) = ready().await;
    let mut rows = cargo(0..20);
    rows[13].weight = 100;
    let error = operations.batch_insert(&rows).batch_size(10).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CheckViolation);
    let recorded = recorder.take();
    let failed = "1!CheckViolation/23514";
    assert_eq!(recorded.tree(), format!("0 x10 [1], {failed} x10 [{failed}]"));
    let call = recorded.call();
    let told = ["otel.status_code", "error.type", "db.response.status_code", "batchkit.rows", "batchkit.chunks"];
    assert_eq!(told.map(|name| call[name].as_str()), ["ERROR", "CheckViolation", "23514", "20", "1"]);
    assert_eq!(recorded.events.len(), 1);
    assert_eq!(recorded.events[0].fields["answer"], "Stop");

    // Turned away: the chunk is in, at its second try, and the call has no error.
    let call = operations.batch_insert(rows[10..].to_vec()).batch_size(10).on_row_error(OnRowError::Reject);
    assert_eq!(call.report().await.unwrap().rejected(), 1);
    let recorded = recorder.take();
    assert_eq!(recorded.tree(), format!("0 x10 [{failed} 1]"));
    let call = recorded.call();
    assert_eq!((call["batchkit.rejects"].as_str(), call["batchkit.chunks"].as_str()), ("1", "1"));
    assert!(!call.contains_key("error.type"));
    assert_eq!(recorded.events[0].fields["answer"], "FindBadRows");

    // What is refused before anything is sent has no chunk.
    let mut rows = cargo(30..33);
    rows[1].name.push('\0');
    operations.batch_insert(&rows).await.unwrap_err();
    operations.batch_insert(&rows).max_workers(0).await.unwrap_err();
    let recorded = recorder.take();
    assert_eq!(recorded.tree(), "");
    let kinds = recorded.spans.iter().map(|span| (span.fields["error.type"].as_str(), &*span.fields["batchkit.rows"]));
    assert_eq!(kinds.collect::<Vec<_>>(), [("InvalidRow", "3"), ("Config", "3")]);
}

/// A call that is dropped half-way is told when its chunk has ended.
#[tokio::test]
async fn a_dropped_call_has_its_numbers_too() {
    let (_db, operations, recorder) = ready().await;
    operations.check_schema().await.unwrap();
    let tracker = Tracker::new();
    let call = operations.batch_insert(cargo(0..20)).batch_size(10).track(&tracker);
    // The first chunk is on its way.
    assert!(poll_times(call.into_future(), 1).await.is_none());
    let report = tracker.settled().await.unwrap();
    drop(tracker);
    // The chunk's task gives its spans back when it has ended.
    while !recorder.recorded.lock().unwrap().by_id.is_empty() {
        tokio::task::yield_now().await;
    }
    let recorded = recorder.take();
    let call = recorded.call();
    let told = ["batchkit.rows", "batchkit.chunks"].map(|name| call[name].clone());
    assert_eq!(told, [report.total().to_string(), report.chunks().to_string()]);
    assert!(!call.contains_key("error.type"));
}

/// One line for each chunk that is in, at INFO, and only if it is asked for.
#[tokio::test]
async fn progress_is_logged_only_on_demand() {
    let (db, operations, recorder) = ready().await;
    for (strategy, size) in STRATEGIES {
        for log_progress in [true, false] {
            db.run("TRUNCATE depot.cargo").await;
            let mut rows = cargo(0..20);
            rows[3].weight = 100;
            let call = operations.batch_insert(rows).strategy(strategy).batch_size(size).log_progress(log_progress);
            let report = call.on_row_error(OnRowError::Reject).max_workers(2).report().await.unwrap();
            assert_eq!((report.inserted(), report.rejected()), (19, 1));
            let recorded = recorder.take();
            let lines: Vec<&Told> = recorded.events.iter().filter(|event| event.level <= Level::INFO).collect();
            assert_eq!(lines.len(), if log_progress { report.chunks() } else { 0 }, "{strategy:?}");
            let number = |line: &Told, name| line.fields[name].parse::<f64>().unwrap();
            let sum = |name| lines.iter().map(|line| number(line, name)).sum::<f64>();
            if log_progress {
                assert_eq!((sum("rows"), sum("rejected")), (20.0, 1.0), "{strategy:?}");
                assert_eq!(number(lines[lines.len() - 1], "done"), 20.0, "{strategy:?}");
            }
            for line in lines {
                assert_eq!((line.level, line.fields["message"].as_str()), (Level::INFO, "chunk is in"));
                assert!(number(line, "rows_per_second") > 0.0 && line.fields.contains_key("elapsed"), "{line:?}");
                assert!(number(line, "chunk") < 5.0);
            }
        }
    }
}
