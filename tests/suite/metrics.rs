//! The guide's numbers, of each call and of all together, against what the reports say.

use std::future::IntoFuture;
use std::time::Duration;

use batchkit::{
    BatchMetrics, BatchModel, BatchOperations, DuplicatePolicy, ErrorKind, ExecutionStrategy, OnRowError, Tracker,
};

use crate::common::{Db, STRATEGIES, database, poll_times};

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "visits")]
struct Visit {
    #[batch(key)]
    id: i32,
    pages: i32,
}

const TABLE: &str = "CREATE TABLE visits (id int4 PRIMARY KEY, pages int4 NOT NULL CONSTRAINT read CHECK (pages <> 0))";

fn visits(ids: std::ops::Range<i32>) -> Vec<Visit> {
    ids.map(|id| Visit { id, pages: 1 }).collect()
}

/// Total, processed, successful, failed; chunks, retries, errors, dropped.
fn numbers(of: &BatchMetrics) -> [u64; 8] {
    let rows = [of.total_records, of.processed_records, of.successful_records, of.failed_records];
    let [total, processed, successful, failed] = rows;
    [total, processed, successful, failed, of.chunks, of.retries, of.errors, of.dropped]
}

/// What the calls so far add up to, and what the last one was.
struct Expected<'a> {
    operations: &'a BatchOperations<Visit>,
    sum: [u64; 8],
    batches: u64,
}

impl Expected<'_> {
    fn next(&mut self, call: &str, numbers_of_it: [u64; 8]) {
        for (sum, more) in self.sum.iter_mut().zip(numbers_of_it) {
            *sum += more;
        }
        self.batches += 1;
        let metrics = self.operations.metrics();
        assert_eq!(numbers(&metrics.last_batch), numbers_of_it, "{call}");
        assert_eq!((numbers(&metrics.total), metrics.batches), (self.sum, self.batches), "{call}");
        assert!(metrics.total.elapsed >= metrics.last_batch.elapsed);
    }
}

async fn ready() -> (Db, BatchOperations<Visit>) {
    let db = database(TABLE).await;
    let operations = BatchOperations::<Visit>::new(db.pool.clone());
    (db, operations)
}

#[tokio::test]
async fn every_verb_and_outcome_is_counted() {
    for (strategy, size) in STRATEGIES {
        let (db, operations) = ready().await;
        let mut expected = Expected { operations: &operations, sum: [0; 8], batches: 0 };
        let is_one = size > 20 || matches!(strategy, ExecutionStrategy::SingleQuery | ExecutionStrategy::Optimistic);
        let chunks = |rows: u64| if is_one { 1 } else { rows.div_ceil(7) };
        macro_rules! call {
            ($call:expr) => {
                $call.strategy(strategy).batch_size(size).retry_delay(Duration::from_millis(1))
            };
        }
        call!(operations.batch_insert(visits(0..20))).await.unwrap();
        expected.next("an insert", [20, 20, 20, 0, chunks(20), 0, 0, 0]);
        call!(operations.batch_upsert(visits(10..30))).await.unwrap();
        expected.next("an upsert", [20, 20, 20, 0, chunks(20), 0, 0, 0]);
        call!(operations.batch_update(visits(20..40))).await.unwrap();
        expected.next("an update, half of it missing", [20, 20, 20, 0, chunks(20), 0, 0, 0]);
        call!(operations.batch_get(20..40)).await.unwrap();
        expected.next("a get, half of it missing", [20, 20, 20, 0, chunks(20), 0, 0, 0]);
        call!(operations.batch_delete(20..40)).await.unwrap();
        expected.next("a delete, half of it missing", [20, 20, 20, 0, chunks(20), 0, 0, 0]);
        call!(operations.batch_insert(visits(0..20)).ignore_conflicts()).await.unwrap();
        expected.next("an insert of what is there", [20, 20, 20, 0, chunks(20), 0, 0, 0]);

        // Rows that are not sent.
        let twice = [visits(0..6), visits(0..6)].concat();
        call!(operations.batch_upsert(twice)).duplicates(DuplicatePolicy::LastWins).await.unwrap();
        expected.next("duplicates", [12, 6, 6, 0, 1, 0, 0, 0]);
        let odd = operations.pre_process(|id: i32| {
            if id == 109 {
                return Err("refused");
            }
            Ok((id % 2 != 0).then_some(Visit { id, pages: 1 }))
        });
        let call = call!(odd.batch_insert(100..114)).on_row_error(OnRowError::Reject);
        let report = call.report().await.unwrap();
        let in_chunks = u64::try_from(report.chunks()).unwrap();
        assert_eq!((report.filtered(), report.rejected(), report.inserted()), (7, 1, 6));
        expected.next("filtered and failed beforehand", [14, 7, 6, 1, in_chunks, 0, 0, 0]);
        call!(operations.batch_insert(visits(0..0))).await.unwrap();
        expected.next("an empty one", [0; 8]);

        // Rows that are refused.
        db.run("TRUNCATE visits").await;
        let mut rows = visits(0..20);
        rows[17].pages = 0;
        let call = call!(operations.batch_insert(&rows)).on_row_error(OnRowError::Reject);
        let report = call.report().await.unwrap();
        let (in_chunks, retries) = (u64::try_from(report.chunks()).unwrap(), report.retries());
        expected.next("one is rejected", [20, 20, 19, 1, in_chunks, retries, 0, 0]);
        db.run("TRUNCATE visits").await;
        let error = call!(operations.batch_insert(&rows)).max_workers(1).await.unwrap_err();
        let report = error.report().unwrap();
        let good = if is_one && strategy != ExecutionStrategy::Optimistic { 0 } else { 14 };
        let failed = if good == 0 { 20 } else { 6 };
        assert_eq!((report.inserted(), report.failed()), (good, failed), "{strategy:?} {size}");
        let retries = report.retries();
        expected.next("one fails", [20, 20, good, failed, good / 7, retries, 1, 0]);
        // What comes behind a failure is not attempted.
        rows[2].pages = 0;
        db.run("TRUNCATE visits").await;
        let error = call!(operations.batch_insert(&rows)).max_workers(1).await.unwrap_err();
        let report = error.report().unwrap();
        let (attempted, retries) = (20 - report.not_attempted(), report.retries());
        assert_eq!(report.not_attempted() == 0, size > 20 || strategy == ExecutionStrategy::SingleQuery);
        expected.next("the rest is not attempted", [20, attempted, 0, attempted, 0, retries, 1, 0]);

        // Errors before the first row.
        call!(operations.batch_insert(visits(0..5))).max_workers(0).await.unwrap_err();
        expected.next("settings that make no sense", [5, 0, 0, 0, 0, 0, 1, 0]);
        db.run("ALTER TABLE visits DROP pages").await;
        operations.check_schema().await.unwrap_err();
        let error = call!(operations.batch_insert(visits(0..5))).await.unwrap_err();
        assert_eq!((error.kind(), error.report().unwrap().not_attempted()), (ErrorKind::Schema, 5));
        expected.next("a model that does not match", [5, 0, 0, 0, 0, 0, 1, 0]);
    }
}

#[tokio::test]
async fn retries_are_counted() {
    let (db, operations) = ready().await;
    db.run(
        "CREATE SEQUENCE tries; CREATE FUNCTION deadlock() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN IF nextval(''tries'') <= 5 THEN RAISE EXCEPTION USING ERRCODE = ''40P01''; END IF; RETURN NULL; END';
         CREATE TRIGGER deadlock AFTER INSERT ON visits FOR EACH STATEMENT EXECUTE FUNCTION deadlock()",
    )
    .await;
    let mut expected = Expected { operations: &operations, sum: [0; 8], batches: 0 };
    let call = || operations.batch_insert(visits(0..20)).batch_size(10).retry_delay(Duration::from_millis(1));
    call().await.unwrap_err();
    expected.next("three retries are not enough", [20, 10, 0, 10, 0, 3, 1, 0]);
    call().await.unwrap();
    expected.next("one is enough", [20, 20, 20, 0, 2, 1, 0, 0]);
}

#[tokio::test]
async fn calls_at_the_same_time_add_up() {
    let (_db, operations) = ready().await;
    let call = |n: i32| {
        let operations = operations.clone();
        async move {
            let rows = visits(n * 10..n * 10 + 10);
            operations.batch_insert(rows).strategy(ExecutionStrategy::Parallel).batch_size(5).await
        }
    };
    let tasks: Vec<_> = (0..16).map(|n| tokio::spawn(call(n))).collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), 10);
    }
    let metrics = operations.metrics();
    assert_eq!((numbers(&metrics.total), metrics.batches), ([160, 160, 160, 0, 32, 0, 0, 0], 16));
    assert_eq!(numbers(&metrics.last_batch), [10, 10, 10, 0, 2, 0, 0, 0]);
    assert!(metrics.last_batch.records_per_second() > 0.0);
}

#[tokio::test]
async fn what_is_not_to_be_counted_is_not() {
    let (db, operations) = ready().await;
    operations.batch_insert(visits(0..3)).await.unwrap();
    let before = operations.metrics();
    operations.batch_insert(visits(3..6)).collect_metrics(false).await.unwrap();
    operations.batch_insert(visits(3..6)).collect_metrics(false).await.unwrap_err();
    drop(poll_times(operations.batch_insert(visits(6..9)).collect_metrics(false).into_future(), 2).await);
    assert_eq!(operations.metrics(), before);
    // Those of another table, or another value, are others.
    assert_eq!(BatchOperations::<Visit>::new(db.pool.clone()).metrics().batches, 0);
}

/// A dropped call is counted once, as dropped, with what became of the rows of its last chunk.
#[tokio::test]
async fn a_dropped_call_is_counted_when_its_last_chunk_has_ended() {
    let (db, operations) = ready().await;
    for strategy in [ExecutionStrategy::SingleQuery, ExecutionStrategy::Chunked, ExecutionStrategy::Parallel] {
        for polls in 1.. {
            db.run("TRUNCATE visits").await;
            // Each a value of its own: the first poll also asks for the table.
            let operations = BatchOperations::<Visit>::new(db.pool.clone());
            let tracker = Tracker::new();
            let call = operations.batch_insert(visits(0..20)).strategy(strategy).batch_size(5).track(&tracker);
            let finished = poll_times(call.into_future(), polls).await.is_some();
            let report = tracker.settled().await.unwrap_or_default();
            let metrics = operations.metrics();
            let context = format!("{strategy:?} dropped after {polls} polls");
            let last = metrics.last_batch;
            assert_eq!((metrics.batches, metrics.total), (1, last), "{context}");
            assert_eq!((last.dropped, last.errors), (u64::from(!finished), 0), "{context}");
            assert_eq!((last.total_records, last.successful_records), (report.total(), report.inserted()), "{context}");
            let stored = u64::try_from(db.number("SELECT count(*) FROM visits").await).unwrap();
            assert_eq!((last.successful_records, last.failed_records), (stored, 0), "{context}");
            if finished {
                assert_eq!(numbers(&last)[..4], [20, 20, 20, 0]);
                break;
            }
        }
    }
    // One that was never polled was no call.
    drop(operations.batch_insert(visits(0..3)));
    assert_eq!(operations.metrics().batches, 0);
}
