//! Pre- and post-processing: the caller's own code before and behind the write, each row of it accounted for.

use std::future::IntoFuture;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use batchkit::{
    BatchConfig, BatchModel, BatchOperations, BatchSize, ErrorKind, ExecutionStrategy, OnRowError, Outcome, Transport,
};
use futures_util::FutureExt;

use crate::common::{Db, STRATEGIES, TRANSPORTS, database, quiet};

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "readings")]
struct Reading {
    #[batch(key)]
    id: i32,
    value: i32,
}

const TABLE: &str = "CREATE TABLE readings (id int4 PRIMARY KEY, value int4 NOT NULL CHECK (value < 1000))";

/// Forty lines, some of them no readings.
fn lines() -> Vec<String> {
    let mut lines: Vec<String> = (0..40).map(|id| format!("{id},{}", id * 10)).collect();
    lines[3] = "# a comment".to_owned();
    lines[8] = "eight,80".to_owned();
    lines[21] = "# another".to_owned();
    lines[30] = "30,5000".to_owned();
    lines
}

fn parse(line: String) -> Result<Option<Reading>, String> {
    if line.starts_with('#') {
        return Ok(None);
    }
    let (id, value) = line.split_once(',').ok_or("no comma")?;
    let number = |text: &str| text.parse().map_err(|_| format!("column {} is no number", line.len() - text.len()));
    Ok(Some(Reading { id: number(id)?, value: number(value)? }))
}

fn operations(db: &Db, transport: Transport, strategy: ExecutionStrategy, size: usize) -> BatchOperations<Reading> {
    let config = BatchConfig {
        transport,
        execution_strategy: strategy,
        batch_size: BatchSize::Rows(size),
        ..BatchConfig::default()
    };
    BatchOperations::builder(db.pool.clone()).config(config).build().unwrap()
}

#[tokio::test]
async fn every_way_accounts_for_what_pre_processing_drops_and_fails_at() {
    let db = database(TABLE).await;
    for transport in TRANSPORTS {
        for (strategy, size) in STRATEGIES {
            let context = format!("{transport:?} {strategy:?} {size}");
            db.run("TRUNCATE readings").await;
            let readings = operations(&db, transport, strategy, size).pre_process(parse);
            for stored_before in [false, true] {
                let report = if stored_before {
                    readings.batch_upsert(lines()).on_row_error(OnRowError::Reject).report().await.unwrap()
                } else {
                    readings.batch_insert(lines()).on_row_error(OnRowError::Reject).report().await.unwrap()
                };
                let done = if stored_before { report.updated() } else { report.inserted() };
                assert_eq!((done, report.filtered(), report.rejected()), (36, 2, 2), "{context}");
                assert_eq!(report.positions(Outcome::Filtered).collect::<Vec<_>>(), [3, 21], "{context}");
                let rejects: Vec<_> =
                    report.rejects().iter().map(|r| (r.position, r.kind, r.reason.as_deref())).collect();
                let failed = (8, ErrorKind::PreProcess, Some("column 3 is no number"));
                assert_eq!(rejects, [failed, (30, ErrorKind::CheckViolation, None)], "{context}");
            }
            assert_eq!(db.number("SELECT count(*) FROM readings").await, 36, "{context}");
            let patches: Vec<String> = (0..9).map(|id| format!("{id},7")).chain(["#".to_owned()]).collect();
            let report = readings.batch_update(patches).report().await.unwrap();
            assert_eq!((report.updated(), report.missing(), report.filtered()), (7, 2, 1), "{context}");
        }
    }
}

#[tokio::test]
async fn a_row_that_pre_processing_fails_at_stops_a_call_that_aborts() {
    let db = database(TABLE).await;
    for (strategy, size) in STRATEGIES {
        db.run("TRUNCATE readings").await;
        let readings = operations(&db, Transport::Auto, strategy, size).pre_process(parse);
        let error = readings.batch_insert(lines()).max_workers(1).report().await.unwrap_err();
        assert_eq!((error.kind(), error.rows()), (ErrorKind::PreProcess, [8..9].as_slice()), "{strategy:?} {size}");
        assert_eq!(error.reason(), Some("column 3 is no number"));
        let report = error.report().unwrap();
        assert_eq!(report.total(), 40, "{strategy:?} {size}");
        assert_eq!(db.number("SELECT count(*) FROM readings").await, i64::try_from(report.inserted()).unwrap());
        assert_eq!(report.inserted() + report.filtered() + report.not_attempted(), 40, "{:?}", report.counts());
    }
}

#[tokio::test]
async fn every_way_tells_what_post_processing_dropped_and_failed_at() {
    let db = database(TABLE).await;
    let rows: Vec<Reading> = (0..30).map(|id| Reading { id, value: id }).collect();
    let work_up = |row: Reading| match row.id % 10 {
        4 => Ok(None),
        7 => Err(format!("{} is unlucky", row.id)),
        _ => Ok(Some(row.id * 2)),
    };
    for transport in TRANSPORTS {
        for (strategy, size) in STRATEGIES {
            let context = format!("{transport:?} {strategy:?} {size}");
            db.run("TRUNCATE readings").await;
            let readings = operations(&db, transport, strategy, size);
            let call = readings.batch_insert(&rows).returning().post_process(work_up);
            let (made, report) = call.report().await.unwrap();
            let expected: Vec<_> = rows.iter().map(|row| work_up(row.clone()).unwrap_or_default()).collect();
            assert_eq!(made, expected, "{context}");
            assert_eq!((report.inserted(), report.post_dropped()), (30, 3), "{context}");
            let failures: Vec<_> = report.post_failures().iter().map(|f| (f.position, f.reason.as_str())).collect();
            assert_eq!(failures, [(7, "7 is unlucky"), (17, "17 is unlucky"), (27, "27 is unlucky")], "{context}");
            // The plain answer is an error that says so; what is stored is stored.
            let error = readings.batch_update(&rows).returning().post_process(work_up).await.unwrap_err();
            assert_eq!((error.kind(), error.rows()), (ErrorKind::PostProcess, [7..8, 17..18, 27..28].as_slice()));
            assert_eq!(error.report().unwrap().updated(), 30, "{context}");
            let read = readings.batch_get([5, 99, 1]).post_process(work_up).await.unwrap();
            assert_eq!(read, [10, 2], "{context}");
        }
    }
}

/// Chunk 0 is worked up while chunk 2 is still being written: it waits for just that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stages_of_a_pipeline_overlap() {
    let db = database(TABLE).await;
    db.run(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NULL; END';
         CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON readings FOR EACH ROW WHEN (NEW.id = 25) EXECUTE FUNCTION wait()",
    )
    .await;
    let lock = db.pool.get().await.unwrap();
    lock.batch_execute("SELECT pg_advisory_lock(7)").await.unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let prepared = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&prepared);
    let readings = operations(&db, Transport::UnnestRows, ExecutionStrategy::Pipelined, 10);
    let call = readings
        .pre_process(move |id: i32| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok::<_, String>(Some(Reading { id, value: 0 }))
        })
        .batch_insert(0..1_000)
        .returning()
        .post_process(move |row: Reading| {
            tell.send(row.id).unwrap();
            Ok::<_, String>(Some(row.id))
        });
    let call = tokio::spawn(call.into_future());
    for id in 0..10 {
        assert_eq!(told.recv().await, Some(id));
    }
    assert_eq!(db.number("SELECT count(*) FROM readings WHERE id = 25").await, 0, "chunk 2 is under way");
    // No further than the bounds of the stages: the source is not read to its end.
    let ahead = prepared.load(Ordering::SeqCst);
    assert!((20..=200).contains(&ahead), "{ahead} rows were made ready");
    lock.batch_execute("SELECT pg_advisory_unlock(7)").await.unwrap();
    assert_eq!(call.await.unwrap().unwrap(), (0..1_000).collect::<Vec<_>>());
}

/// Where the caller's code is behind, no transaction is open meanwhile: it would hold its locks, and its connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn post_processing_that_is_behind_is_waited_for_without_a_transaction() {
    let db = database(TABLE).await;
    let pool = db.database.pool(1).unwrap();
    let config = BatchConfig {
        execution_strategy: ExecutionStrategy::Pipelined,
        batch_size: BatchSize::Rows(10),
        ..BatchConfig::default()
    };
    let readings = BatchOperations::<Reading>::builder(pool.clone()).config(config).build().unwrap();
    let (go_on, wait) = std::sync::mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let call = readings
        .batch_insert((0..200).map(|id| Reading { id, value: 0 }).collect::<Vec<_>>())
        .returning()
        .post_process(move |row: Reading| {
            if row.id == 0 {
                wait.lock().unwrap().recv().unwrap();
            }
            Ok::<_, String>(Some(row.id))
        });
    let call = tokio::spawn(call.into_future());
    // One chunk is worked up, one waits for that, and the next one is in.
    while db.number("SELECT count(*) FROM readings").await < 30 {
        tokio::task::yield_now().await;
    }
    let client = tokio::time::timeout(Duration::from_secs(60), pool.get()).await.expect("it is given back").unwrap();
    assert_eq!(client.query_one("SELECT count(*) FROM readings", &[]).await.unwrap().get::<_, i64>(0), 30);
    drop(client);
    go_on.send(()).unwrap();
    assert_eq!(call.await.unwrap().unwrap(), (0..200).collect::<Vec<_>>());
}

/// Two rows of different jobs meet in pre-processing, or the call never ends.
#[tokio::test]
async fn pre_processing_uses_several_cores() {
    let db = database(TABLE).await;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let meeting = Arc::new(Barrier::new(cores.min(2)));
    let readings = operations(&db, Transport::Auto, ExecutionStrategy::Pipelined, 2);
    let meet = move |id: i32| {
        // The first two jobs of one row each.
        if id < 2 {
            meeting.wait();
        }
        Ok::<_, String>(Some(Reading { id, value: 0 }))
    };
    assert_eq!(readings.pre_process(meet).batch_insert(0..20).await.unwrap(), 20);
}

/// The caller's panic is the caller's, and nothing is left open.
#[tokio::test]
async fn a_panic_goes_to_the_caller() {
    let db = database(TABLE).await;
    for (strategy, size) in STRATEGIES {
        db.run("TRUNCATE readings").await;
        let readings = operations(&db, Transport::Auto, strategy, size);
        let make = |id: i32| {
            assert!(id != 15, "a bug of the caller's");
            Ok::<_, String>(Some(Reading { id, value: 0 }))
        };
        let call = readings.pre_process(make).batch_insert(0..30).into_future();
        assert!(AssertUnwindSafe(call).catch_unwind().await.is_err(), "{strategy:?}");
        let work_up = |row: Reading| {
            assert!(row.id != 15, "a bug of the caller's");
            Ok::<_, String>(Some(row.id))
        };
        let rows = (100..110).chain([15]).map(|id| Reading { id, value: 0 });
        let call = readings.batch_upsert(rows).returning().post_process(work_up).into_future();
        assert!(AssertUnwindSafe(call).catch_unwind().await.is_err(), "{strategy:?}");
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(db.pool.get().await.unwrap());
        }
        drop(clients);
        quiet(&db, "").await;
    }
}
