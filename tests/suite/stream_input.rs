//! Rows that a stream gives: the same as from memory, and never more of them at once than the chunks under way have.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use batchkit::{
    BatchModel, BatchOperations, DuplicatePolicy, ErrorKind, ExecutionStrategy, Filter, OnRowError, Outcome, Transport,
};
use futures_util::{Stream, StreamExt, stream};

use crate::common::{Db, database, poll_times};

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "lines")]
struct Line {
    #[batch(key)]
    id: i32,
    text: String,
}

const TABLES: &str = "CREATE TABLE lines (id int4 PRIMARY KEY, text text NOT NULL)";

const STRATEGIES: [ExecutionStrategy; 5] = [
    ExecutionStrategy::SingleQuery,
    ExecutionStrategy::Chunked,
    ExecutionStrategy::Parallel,
    ExecutionStrategy::Pipelined,
    ExecutionStrategy::Optimistic,
];

fn line(id: i32, text: &str) -> Line {
    Line { id, text: text.to_owned() }
}

/// Rows that are ready, each after the runtime had something else to do.
fn slowly(rows: Vec<Line>) -> impl Stream<Item = Result<Line, Infallible>> + Send {
    stream::iter(rows).then(|row| async {
        tokio::task::yield_now().await;
        Ok(row)
    })
}

async fn stored(db: &Db) -> Vec<Line> {
    let lines = BatchOperations::<Line>::new(db.pool.clone());
    lines.list(Filter::all()).order_by(Line::FIELDS.id.asc()).await.unwrap()
}

#[tokio::test]
async fn a_stream_is_written_as_the_same_rows_in_memory_are() {
    let db = database(TABLES).await;
    let lines = BatchOperations::<Line>::new(db.pool.clone());
    let rows: Vec<Line> = (0..95).map(|id| line(id, "new")).collect();
    let newer: Vec<Line> = (50..145).rev().map(|id| line(id, "newer")).collect();
    for strategy in STRATEGIES {
        for transport in [Transport::Auto, Transport::Copy, Transport::UnnestRows, Transport::UnnestColumns] {
            db.run("TRUNCATE lines").await;
            let context = format!("{strategy:?} {transport:?}");
            let call = lines.batch_insert_stream(slowly(rows.clone())).strategy(strategy).transport(transport);
            assert_eq!(call.batch_size(10).await.unwrap(), 95, "{context}");
            assert_eq!(stored(&db).await, rows, "{context}");
            let call = lines.batch_upsert_stream(slowly(newer.clone())).strategy(strategy).transport(transport);
            let report = call.batch_size(10).report().await.unwrap();
            let outcome = |position: usize| if position < 50 { Outcome::Inserted } else { Outcome::Updated };
            assert!((0..95).all(|position| report.outcomes().unwrap()[position] == outcome(position)), "{context}");
            let texts = stored(&db).await.into_iter().map(|line| (line.id, line.text));
            assert!(texts.eq((0..145).map(|id| (id, if id < 50 { "new" } else { "newer" }.to_owned()))), "{context}");
        }
    }
}

#[tokio::test]
async fn a_stream_without_rows_asks_no_server() {
    let db = database("").await;
    let lines = BatchOperations::<Line>::new(db.pool.clone());
    assert_eq!(lines.batch_insert_stream(slowly(Vec::new())).await.unwrap(), 0);
    assert_eq!(lines.batch_upsert_stream(slowly(Vec::new())).await.unwrap().inserted, 0);
}

#[tokio::test]
async fn no_more_rows_are_taken_than_chunks_need() {
    let db = database(TABLES).await;
    db.run("INSERT INTO lines VALUES (15, 'in the way')").await;
    let lines = BatchOperations::<Line>::new(db.pool.clone());
    for upserts in [false, true] {
        for (strategy, chunks) in
            [(ExecutionStrategy::Chunked, 1), (ExecutionStrategy::Pipelined, 3), (ExecutionStrategy::Parallel, 2)]
        {
            db.run("DELETE FROM lines WHERE id <> 15; ALTER TABLE lines DROP CONSTRAINT IF EXISTS small").await;
            db.run("ALTER TABLE lines ADD CONSTRAINT small CHECK (id < 15 OR text = 'in the way')").await;
            let taken = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&taken);
            let rows = stream::iter(0_i32..).map(move |id| {
                count.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(line(id, "new"))
            });
            let failed = match upserts {
                false => lines.batch_insert_stream(rows).strategy(strategy).max_workers(2).batch_size(10).await.err(),
                true => lines.batch_upsert_stream(rows).strategy(strategy).max_workers(2).batch_size(10).await.err(),
            };
            let error = failed.unwrap();
            let context = format!("{strategy:?}, upserts: {upserts}: {error}");
            // The second chunk fails; those that were being made ready behind it were taken too.
            assert!(taken.load(Ordering::Relaxed) <= 20 + 10 * chunks, "{context}: {taken:?}");
            assert!(matches!(error.kind(), ErrorKind::UniqueViolation | ErrorKind::CheckViolation), "{context}");
            let report = error.report().unwrap();
            assert_eq!(report.inserted(), 10, "{context}");
            assert_eq!(stored(&db).await.len(), 11, "{context}");
        }
    }
}

#[tokio::test]
async fn an_error_of_the_stream_ends_the_call_and_tells_what_was_written() {
    let db = database(TABLES).await;
    let lines = BatchOperations::<Line>::new(db.pool.clone());
    for on_row_error in [OnRowError::Abort, OnRowError::Reject] {
        for (strategy, before) in [
            (ExecutionStrategy::Chunked, 20),
            (ExecutionStrategy::Parallel, 20),
            (ExecutionStrategy::Pipelined, 20),
            (ExecutionStrategy::SingleQuery, 0),
        ] {
            db.run("TRUNCATE lines").await;
            let rows = (0..25).map(|id| Ok(line(id, "new"))).chain([Err("the file ends in the middle of a row")]);
            // Nothing behind the error is taken.
            let rows = stream::iter(rows).chain(stream::once(async { std::process::abort() }));
            let call = lines.batch_insert_stream(rows).strategy(strategy).batch_size(10).on_row_error(on_row_error);
            let error = call.await.unwrap_err();
            let context = format!("{strategy:?} {on_row_error:?}: {error}");
            assert_eq!((error.kind(), error.rows()), (ErrorKind::Input, &[25..26][..]), "{context}");
            assert!(error.to_string().contains("the stream of rows gave an error"), "{context}");
            // Rows that are compared with each other are not sent before all that run at once have come.
            let is_round = (strategy, on_row_error) == (ExecutionStrategy::Parallel, OnRowError::Reject);
            let before = if is_round { 0 } else { before };
            let report = error.report().unwrap();
            assert_eq!(report.inserted(), before, "{context}");
            assert_eq!(report.counts().total(), 26, "{context}");
            assert_eq!(stored(&db).await.len() as u64, before, "{context}");
        }
    }
}

/// Within a chunk, and those that run beside it, the policy decides; a later chunk's row updates again.
#[tokio::test]
async fn rows_of_one_key_are_told_apart_as_far_as_they_are_held() {
    let db = database(TABLES).await;
    let lines = BatchOperations::<Line>::new(db.pool.clone());
    let upsert = |ids: &[i32], policy, strategy| {
        let rows: Vec<Line> = ids.iter().enumerate().map(|(n, id)| line(*id, &format!("{n}"))).collect();
        let call = lines.batch_upsert_stream(slowly(rows)).duplicates(policy).strategy(strategy);
        call.batch_size(4).max_workers(2).report()
    };
    for strategy in [ExecutionStrategy::Chunked, ExecutionStrategy::Pipelined, ExecutionStrategy::Parallel] {
        db.run("TRUNCATE lines").await;
        let context = format!("{strategy:?}");
        let error = upsert(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 9], DuplicatePolicy::Error, strategy).await.unwrap_err();
        assert_eq!((error.kind(), error.rows()), (ErrorKind::DuplicateKey, &[8..9, 10..11][..]), "{context}");
        assert_eq!(error.report().unwrap().inserted(), 8, "{context}");

        db.run("TRUNCATE lines").await;
        // 1 comes twice in the first chunk, and again in each round.
        let ids = [1, 2, 1, 3, 4, 5, 6, 7, 1, 8, 9, 10, 11, 12, 13, 14, 1];
        let report = upsert(&ids, DuplicatePolicy::LastWins, strategy).await.unwrap();
        assert_eq!((report.inserted(), report.updated()), (14, 2), "{context}");
        assert_eq!(report.outcomes().unwrap()[0], Outcome::Duplicate, "{context}");
        let last = |id: i32| ids.iter().rposition(|of| *of == id).unwrap();
        let expected: Vec<Line> = (1..=14).map(|id| line(id, &last(id).to_string())).collect();
        assert_eq!(stored(&db).await, expected, "{context}");

        let error = upsert(&[1], DuplicatePolicy::FirstWins, strategy).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{context}");
    }
}

#[tokio::test]
async fn bad_rows_of_a_stream_are_turned_away() {
    let db = database(TABLES).await;
    db.run("ALTER TABLE lines ADD CHECK (id % 10 <> 3)").await;
    let lines = BatchOperations::<Line>::new(db.pool.clone());
    for strategy in [ExecutionStrategy::Chunked, ExecutionStrategy::Pipelined, ExecutionStrategy::Parallel] {
        for upserts in [false, true] {
            db.run("TRUNCATE lines").await;
            let rows = slowly((0..200).map(|id| line(id, if id == 77 { "a NUL: \0" } else { "fine" })).collect());
            let report = match upserts {
                false => lines.batch_insert_stream(rows).strategy(strategy).on_row_error(OnRowError::Reject).report(),
                true => {
                    let rejecting = lines.batch_upsert_stream(rows).on_row_error(OnRowError::Reject);
                    let report = rejecting.strategy(strategy).batch_size(16).report().await.unwrap();
                    assert_eq!((report.inserted(), report.rejected()), (179, 21), "{strategy:?}");
                    continue;
                }
            };
            let report = report.batch_size(16).await.unwrap();
            assert_eq!((report.inserted(), report.rejected()), (179, 21), "{strategy:?}");
            assert!(
                report.rejects().iter().all(|reject| reject.position == 77 || reject.position % 10 == 3),
                "{strategy:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_table_streams_into_another_one_and_into_a_callers_transaction() {
    let db = database(TABLES).await;
    let copies = database(TABLES).await;
    let rows: Vec<Line> = (0..3_000).map(|id| line(id, "original")).collect();
    let (here, there) =
        (BatchOperations::<Line>::new(db.pool.clone()), BatchOperations::<Line>::new(copies.pool.clone()));
    here.batch_insert(&rows).await.unwrap();
    let mut client = copies.pool.get().await.unwrap();
    for commits in [false, true] {
        let mut transaction = client.transaction().await.unwrap();
        let stream = here.list(Filter::all()).order_by(Line::FIELDS.id.asc()).stream();
        let copied = there.batch_insert_stream(stream).batch_size(700).within(&mut transaction).await.unwrap();
        assert_eq!(copied, 3_000);
        let stream = here.list(Filter::all()).stream();
        let again = there.batch_upsert_stream(stream).batch_size(700).within(&mut transaction).await.unwrap();
        assert_eq!((again.inserted, again.updated), (0, 3_000));
        match commits {
            true => transaction.commit().await.unwrap(),
            false => transaction.rollback().await.unwrap(),
        }
        assert_eq!(stored(&copies).await, if commits { rows.clone() } else { Vec::new() });
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_while_it_waits_for_rows_keeps_what_is_in() {
    let db = database(TABLES).await;
    let lines = BatchOperations::<Line>::new(db.pool.clone());
    // It has no more rows for now.
    let waited_for = Arc::new(AtomicUsize::new(0));
    let waited = Arc::clone(&waited_for);
    let nothing = stream::poll_fn(move |_| {
        waited.store(1, Ordering::Relaxed);
        Poll::Pending
    });
    let rows = stream::iter((0..25).map(|id| Ok::<_, Infallible>(line(id, "new")))).chain(nothing);
    let tracker = batchkit::Tracker::default();
    let mut call = Box::pin(lines.batch_insert_stream(rows).batch_size(10).track(&tracker).into_future());
    while waited_for.load(Ordering::Relaxed) == 0 {
        assert!(poll_times(&mut call, 1).await.is_none());
        tokio::task::yield_now().await;
    }
    drop(call);
    // The second chunk may be under way.
    let report = tracker.settled().await.unwrap();
    assert_eq!((report.inserted(), report.counts().of(Outcome::NotAttempted)), (20, 5));
    assert_eq!(stored(&db).await.len(), 20);
}

/// No chunk is full when the rows stop coming: nothing is sent, and nothing waits for ever.
#[tokio::test]
async fn a_stream_that_falls_silent_is_waited_for_until_the_deadline() {
    let db = database(TABLES).await;
    let lines = BatchOperations::<Line>::new(db.pool.clone());
    for (strategy, upserts, rows) in [
        (ExecutionStrategy::Chunked, false, 7),
        (ExecutionStrategy::Parallel, false, 7),
        (ExecutionStrategy::Pipelined, false, 7),
        (ExecutionStrategy::SingleQuery, false, 7),
        (ExecutionStrategy::Chunked, true, 7),
        (ExecutionStrategy::Chunked, true, 0),
    ] {
        db.run("TRUNCATE lines").await;
        let rows = stream::iter((0..rows).map(|id| Ok::<_, Infallible>(line(id, "new")))).chain(stream::pending());
        let timeout = Duration::from_millis(300);
        let error = match upserts {
            false => lines.batch_insert_stream(rows).strategy(strategy).batch_size(10).timeout(timeout).await.err(),
            true => lines.batch_upsert_stream(rows).strategy(strategy).batch_size(10).timeout(timeout).await.err(),
        };
        let error = error.unwrap();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{strategy:?}: {error}");
        assert_eq!(error.report().unwrap().inserted(), 0, "{strategy:?}: {error}");
        assert!(stored(&db).await.is_empty(), "{strategy:?}: {error}");
    }
}

#[tokio::test]
async fn a_stream_is_explained_as_many_rows() {
    let db = database(TABLES).await;
    let lines = BatchOperations::<Line>::new(db.pool.clone());
    let explained = lines.batch_insert_stream(slowly(vec![line(1, "one")])).explain().await.unwrap();
    assert_eq!(explained.transport, Transport::Copy);
}
