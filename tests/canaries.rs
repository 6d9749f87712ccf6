//! No row value and no secret in a log line, a `Display` or a `Debug`: canaries are planted in all of them, and every
//! kind of error is provoked. A binary of its own, for a logger is the whole process's.
#![allow(clippy::unwrap_used, reason = "a test that fails here has failed")]

use std::fmt::Debug;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use batchkit::{
    BatchModel, BatchOperations, DuplicatePolicy, Error, ErrorKind, ExecutionStrategy, Filter, Keys, OnRowError,
    Reject, Report, Rows, Tracker, Transport,
};
use batchkit_testbed::server::{Database, Server};
use deadpool_postgres::Pool;
use tracing_subscriber::fmt::format::FmtSpan;

/// Is in every text.
const CANARY: &str = "canary";
/// Is in every number.
const NUMBER: i32 = 98_765_432;
/// Is in the password.
const SECRET: &str = "s3cr3t-bird";

/// All that was logged, and all that was printed of errors and reports.
#[derive(Debug, Clone, Default)]
struct Net(Arc<Mutex<Vec<u8>>>);

impl Net {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock()).into_owned()
    }
}

impl io::Write for Net {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log of this process at level TRACE: `tracing`'s spans and events, and the records of `log`.
fn net() -> &'static Net {
    static NET: OnceLock<Net> = OnceLock::new();
    NET.get_or_init(|| {
        let net = Net::default();
        let writer = net.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        net
    })
}

/// Fails if a canary is in the text, as it is or as bytes.
fn assert_no_canary(text: &str, context: &str) {
    let bytes = CANARY.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    for bird in [CANARY, SECRET, &NUMBER.to_string(), &bytes, &hex] {
        if let Some(at) = text.find(bird) {
            let around: String = text[..at].chars().rev().take(300).collect::<Vec<_>>().into_iter().rev().collect();
            let rest: String = text[at..].chars().take(200).collect();
            unreachable!("{context}: {bird} got out: {around}{rest}");
        }
    }
}

/// Fails if a value's `Debug` prints a canary.
fn assert_tells_nothing(value: &impl Debug, context: &str) {
    assert_no_canary(&format!("{value:?}\n{value:#?}"), context);
}

fn assert_error_tells_nothing(error: &Error, context: &str) {
    assert_no_canary(&error.to_string(), context);
    assert_tells_nothing(error, context);
    if let Some(report) = error.report() {
        assert_report_tells_nothing(report, context);
    }
}

fn assert_report_tells_nothing(report: &Report, context: &str) {
    assert_tells_nothing(report, context);
    report.rejects().iter().for_each(|reject| assert_tells_nothing(reject, context));
}

#[derive(Debug, Clone, BatchModel)]
#[batch(table = "birds")]
struct Bird {
    #[batch(key)]
    id: String,
    #[batch(unique)]
    code: String,
    number: i32,
    place: Option<String>,
    short: String,
    note: Option<String>,
}

const TABLES: &str = "
    CREATE TABLE places (id text PRIMARY KEY);
    CREATE TABLE birds (
        id text PRIMARY KEY, code text NOT NULL UNIQUE, number int4 NOT NULL CHECK (number <> 0),
        place text REFERENCES places, short varchar(20) NOT NULL, note text NOT NULL,
        EXCLUDE (short WITH =) WHERE (short LIKE '%alone'));
    CREATE TABLE nests (bird text REFERENCES birds);
    CREATE TABLE kept (LIKE birds);
    CREATE FUNCTION bird() RETURNS text LANGUAGE sql AS $$ SELECT 'can' || 'ary' $$;
    CREATE FUNCTION speak() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE bird birds := coalesce(NEW, OLD);
    BEGIN
        IF bird.note LIKE '%notice' THEN RAISE NOTICE '%', bird; RAISE WARNING '%', bird; END IF;
        IF bird.note LIKE '%raise%' THEN
            RAISE EXCEPTION '%', bird USING ERRCODE = right(bird.note, 5), DETAIL = bird, HINT = bird;
        END IF;
        IF bird.note LIKE '%cast' THEN PERFORM bird.note::int4; END IF;
        IF bird.note LIKE '%die' THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
        IF bird.note LIKE '%dawdle' THEN PERFORM pg_sleep(60); END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER speak AFTER INSERT OR UPDATE OR DELETE ON birds FOR EACH ROW EXECUTE FUNCTION speak()";

fn bird(n: i32) -> Bird {
    Bird {
        id: format!("{CANARY} {n}"),
        code: format!("{CANARY} code {n}"),
        number: NUMBER,
        place: None,
        short: CANARY.to_owned(),
        note: Some(CANARY.to_owned()),
    }
}

/// Twelve birds, some of them made bad.
fn birds(spoil: impl Fn(&mut [Bird])) -> Vec<Bird> {
    let mut birds: Vec<Bird> = (0..12).map(bird).collect();
    spoil(&mut birds);
    birds
}

/// Every way in which a row is bad.
fn spoilt() -> Vec<(String, Vec<Bird>)> {
    let note = |what: &'static str| birds(move |rows| rows[5].note = Some(format!("{CANARY} {what}")));
    let mut all = vec![
        ("nothing".to_owned(), birds(|_| {})),
        ("primary key".to_owned(), birds(|rows| rows[5].id = rows[2].id.clone())),
        ("unique".to_owned(), birds(|rows| rows[5].code = rows[2].code.clone())),
        ("reference".to_owned(), birds(|rows| rows[5].place = Some(format!("{CANARY} nowhere")))),
        ("check".to_owned(), birds(|rows| rows[5].number = 0)),
        ("NULL".to_owned(), birds(|rows| rows[5].note = None)),
        ("too long".to_owned(), birds(|rows| rows[5].short = format!("{CANARY} is far too long"))),
        ("NUL".to_owned(), birds(|rows| rows[5].code = format!("{CANARY}\0"))),
        (
            "exclusion".to_owned(),
            birds(|rows| rows[4..6].iter_mut().for_each(|row| row.short = format!("{CANARY} alone"))),
        ),
        ("notice".to_owned(), note("notice")),
        ("cast".to_owned(), note("cast")),
        ("killed".to_owned(), note("die")),
    ];
    // What a trigger raises: a code of each class that is answered in another way, or whose texts are told.
    for code in ["P0001", "22023", "42501", "57014", "55000", "40001", "XX000"] {
        let rows = birds(move |rows| rows[5].note = Some(format!("{CANARY} raise {code}")));
        all.push((format!("raised {code}"), rows));
    }
    all
}

async fn database() -> (Database, Pool) {
    let database = Server::shared().await.unwrap().create_database("canaries").await.unwrap();
    let mut config = database.config().clone();
    config.password(SECRET);
    let pool =
        Pool::builder(deadpool_postgres::Manager::new(config, tokio_postgres::NoTls)).max_size(3).build().unwrap();
    pool.get().await.unwrap().batch_execute(TABLES).await.unwrap();
    (database, pool)
}

/// Awaits a call under each transport: one that counts and stops, and one that reports and turns away.
macro_rules! provoke {
    ($context:expr, $prepare:expr, $call:expr) => {
        for transport in [Transport::Copy, Transport::UnnestRows, Transport::UnnestColumns, Transport::Single] {
            let context = format!("{} {transport:?}", $context);
            let tracker = Tracker::new();
            let call = |on_row_error| {
                let context = context.clone();
                let callback = move |error: &Error, told: &batchkit::ErrorContext| {
                    assert_error_tells_nothing(error, &context);
                    assert_tells_nothing(told, &context);
                };
                let call = $call.transport(transport).on_row_error(on_row_error).error_callback(callback);
                let call = call.strategy(ExecutionStrategy::Chunked).batch_size(8).track(&tracker);
                call.retry_count(1).retry_delay(Duration::from_millis(1))
            };
            $prepare.await;
            if let Err(error) = call(OnRowError::Abort).await {
                assert_error_tells_nothing(&error, &context);
            }
            $prepare.await;
            match call(OnRowError::Reject).report().await {
                Ok(report) => assert_report_tells_nothing(&report, &context),
                Err(error) => assert_error_tells_nothing(&error, &context),
            }
            assert_tells_nothing(&tracker, &context);
        }
    };
}

#[tokio::test]
async fn nothing_gets_out_of_any_error() {
    let net = net();
    let (_database, pool) = database().await;
    let operations = BatchOperations::<Bird>::new(pool.clone());
    let run = async |sql: &str| pool.get().await.unwrap().batch_execute(sql).await.unwrap();
    // Stored without the trigger's say.
    let stored = "SET session_replication_role = replica; TRUNCATE birds, nests;
                  INSERT INTO birds SELECT * FROM kept; INSERT INTO nests SELECT id FROM kept WHERE id LIKE '% 3';
                  RESET session_replication_role";
    for (what, rows) in spoilt() {
        provoke!(format!("insert, {what}"), run("TRUNCATE birds, nests"), operations.batch_insert(&rows));
        provoke!(
            format!("ignoring insert, {what}"),
            run("TRUNCATE birds, nests"),
            operations.batch_insert(&rows).ignore_conflicts()
        );
        run("TRUNCATE kept").await;
        // Rows like those that are written, but good. The driver logs this text, so the server makes the bird.
        run("INSERT INTO kept SELECT bird() || ' ' || n, bird() || ' code ' || n, 98765431 + 1, NULL, bird(), bird()
             FROM generate_series(0, 11) n")
        .await;
        let last = |call: batchkit::Call<'static, Bird, _, _>| call.duplicates(DuplicatePolicy::LastWins);
        let owned = rows.clone();
        provoke!(format!("upsert, {what}"), run(stored), last(operations.batch_upsert(owned.clone())));
        let update = |call: batchkit::Call<'static, Bird, _, _>| call.duplicates(DuplicatePolicy::LastWins);
        provoke!(format!("update, {what}"), run(stored), update(operations.batch_update(owned.clone())));
        // Now the stored ones are as bad as can be; one is referenced.
        if let Some(note) = rows[5].note.clone().filter(|note| !note.contains('\0')) {
            let note = note.replace(CANARY, "' || bird() || '");
            run(&format!("UPDATE kept SET note = '{note}' WHERE id LIKE '% 5'")).await;
        }
        let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        provoke!(format!("delete, {what}"), run(stored), operations.batch_delete(&ids));
        let codes: Vec<String> = rows.iter().map(|row| row.code.clone()).collect();
        provoke!(format!("delete by code, {what}"), run(stored), operations.batch_delete_by(Bird::KEYS.code, &codes));
        provoke!(format!("get, {what}"), run(stored), operations.batch_get_by(Bird::KEYS.code, &codes).count());
        // The caller's transaction takes another way. What it is told of is the caller's setting.
        run("TRUNCATE birds, nests").await;
        for on_row_error in [OnRowError::Abort, OnRowError::Reject] {
            let mut client = pool.get().await.unwrap();
            let mut transaction = client.transaction().await.unwrap();
            transaction.batch_execute("SET LOCAL client_min_messages = error").await.unwrap();
            let call = operations.batch_insert(&rows).within(&mut transaction).on_row_error(on_row_error);
            match call.report().await {
                Ok(report) => assert_report_tells_nothing(&report, &what),
                Err(error) => assert_error_tells_nothing(&error, &what),
            }
            // After a killed backend it cannot be rolled back.
            let _ = transaction.rollback().await;
        }
    }
    let log = net.text();
    // What would have been seen was seen.
    for part in ["batchkit.call", "batchkit.attempt", "tokio_postgres", "executing statement", "error.type"] {
        assert!(log.contains(part), "{part} is in the log");
    }
    assert_no_canary(&log, "the log");
}

#[tokio::test]
async fn nothing_gets_out_of_timeouts_and_of_connections_that_fail() {
    let net = net();
    let (database, pool) = database().await;
    let operations = BatchOperations::<Bird>::new(pool.clone());
    let rows = birds(|rows| rows[5].note = Some(format!("{CANARY} dawdle")));
    for transport in [Transport::Copy, Transport::UnnestRows, Transport::UnnestColumns, Transport::Single] {
        let call = operations.batch_insert(&rows).transport(transport).timeout(Duration::from_millis(100));
        let error = call.report().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_error_tells_nothing(&error, "timeout");
    }
    for config in [
        "host=/nowhere/at/all user=nobody",
        "host=localhost port=1 user=nobody connect_timeout=1",
        "host=localhost hostaddr=127.0.0.1 port=1 user=nobody sslmode=require",
    ] {
        let mut config: tokio_postgres::Config = config.parse().unwrap();
        config.password(SECRET).dbname("nothing");
        assert_tells_nothing(&config, "the configuration");
        let manager = deadpool_postgres::Manager::new(config, tokio_postgres::NoTls);
        let pool = Pool::builder(manager).max_size(1).build().unwrap();
        let operations = BatchOperations::<Bird>::new(pool);
        assert_tells_nothing(&operations, "operations");
        let call = operations.batch_insert(&rows).retry_delay(Duration::from_millis(1));
        let error = call.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Pool);
        assert_error_tells_nothing(&error, "no connection");
    }
    // A server that refuses the login.
    let mut config = database.config().clone();
    config.password(SECRET).dbname("there_is_no_such_database");
    let manager = deadpool_postgres::Manager::new(config, tokio_postgres::NoTls);
    let pool = Pool::builder(manager).max_size(1).build().unwrap();
    let error = BatchOperations::<Bird>::new(pool).batch_insert(&rows).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Pool);
    assert_error_tells_nothing(&error, "no database");
    assert_no_canary(&net.text(), "the log");
}

#[tokio::test]
async fn nothing_gets_out_of_values_that_are_printed() {
    let net = net();
    let (_database, pool) = database().await;
    let operations = BatchOperations::<Bird>::new(pool.clone());
    let rows = birds(|_| {});
    assert_tells_nothing(&Rows::insertable(&rows), "rows");
    assert_tells_nothing(&Keys::<Bird>::primary([CANARY]), "keys");
    let f = Bird::FIELDS;
    let filter = f.id.eq(CANARY) & f.number.gt(NUMBER) & f.code.is_in([CANARY]);
    assert_tells_nothing(&filter, "a filter");
    assert!(operations.list(filter).limit(3).await.unwrap().is_empty());
    assert_eq!(operations.count(Filter::all() & f.id.ne(CANARY)).await.unwrap(), 0);

    // What the caller's own code says of a row may well quote it.
    let rejects = Arc::new(Mutex::new(Vec::<Reject>::new()));
    let sink = Arc::clone(&rejects);
    let process = |row: Bird| match row.id.ends_with('5') {
        true => Err(format!("{} is a {CANARY}", row.id)),
        false => Ok(Some(row)),
    };
    for on_row_error in [OnRowError::Abort, OnRowError::Reject] {
        let sink = Arc::clone(&sink);
        let processed = operations.pre_process(process);
        assert_tells_nothing(&processed, "pre-processing");
        let call = processed.batch_insert(rows.clone()).on_row_error(on_row_error);
        match call.reject_sink(move |reject| sink.lock().unwrap().push(reject.clone())).report().await {
            Ok(report) => {
                assert!(report.rejects()[0].reason.as_deref().unwrap().contains(CANARY), "it is told to those who ask");
                assert_report_tells_nothing(&report, "pre-processing");
            }
            Err(error) => assert_error_tells_nothing(&error, "pre-processing"),
        }
    }
    for reject in rejects.lock().unwrap().iter() {
        assert_tells_nothing(reject, "a reject");
    }
    assert_eq!(rejects.lock().unwrap().len(), 1);
    let mut bad = rows.clone();
    bad[3].number = 0;
    let report = operations.batch_upsert(bad).on_row_error(OnRowError::Reject).report().await.unwrap();
    assert!(report.rejects()[0].key.as_ref().unwrap().get::<String>("id").unwrap().contains(CANARY));
    assert_report_tells_nothing(&report, "a reject with a key");
    let stored = operations.batch_upsert(rows.clone()).returning();
    let call = stored.post_process(|row: Bird| match row.id.ends_with('7') {
        true => Err(format!("{} is a {CANARY}", row.id)),
        false => Ok(Some(row)),
    });
    assert_tells_nothing(&call, "post-processing");
    let error = call.await.unwrap_err();
    assert!(error.report().unwrap().post_failures()[0].reason.contains(CANARY), "it is told to those who ask");
    assert_error_tells_nothing(&error, "post-processing");
    assert_no_canary(&net.text(), "the log");
}
