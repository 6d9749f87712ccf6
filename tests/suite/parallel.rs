//! Parallel and Optimistic: what is theirs alone.

use std::time::Duration;

use batchkit::{BatchModel, BatchOperations, ErrorKind, ExecutionStrategy, Outcome};

use crate::common::database;

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "things")]
struct Thing {
    #[batch(key)]
    id: i32,
    value: i32,
}

const TABLE: &str = "CREATE TABLE things (id int4 PRIMARY KEY, value int4 NOT NULL CHECK (value < 1000))";

fn things(ids: std::ops::Range<i32>) -> Vec<Thing> {
    ids.map(|id| Thing { id, value: 0 }).collect()
}

#[tokio::test]
async fn a_parallel_run_that_fails_tells_the_fate_of_every_row() {
    let db = database(TABLE).await;
    let operations = BatchOperations::<Thing>::new(db.pool.clone());
    for bad in [0, 45, 99] {
        db.run("TRUNCATE things").await;
        let mut rows = things(0..100);
        rows[bad].value = 1_000;
        let call = operations.batch_insert(&rows).strategy(ExecutionStrategy::Parallel).max_workers(3).batch_size(10);
        let error = call.report().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CheckViolation);
        let report = error.report().unwrap();
        let outcomes = report.outcomes().unwrap();
        assert_eq!(outcomes.len(), 100);
        let client = db.pool.get().await.unwrap();
        for (id, outcome) in (0..100i32).zip(outcomes) {
            let there = client.query_opt("SELECT FROM things WHERE id = $1", &[&id]).await.unwrap().is_some();
            assert_eq!(there, *outcome == Outcome::Inserted, "{id} {outcome:?}");
        }
        assert_eq!(outcomes[bad], Outcome::Failed);
        assert_eq!(report.failed(), 10);
        assert_eq!(report.inserted() + report.failed() + report.not_attempted(), 100);
        let committed: usize = report.committed().iter().map(ExactSizeIterator::len).sum();
        assert_eq!(u64::try_from(committed).unwrap(), report.inserted());
    }
}

#[tokio::test]
async fn parallel_needs_connections_of_its_own() {
    let db = database(TABLE).await;
    let operations = BatchOperations::<Thing>::new(db.pool.clone());
    let mut client = db.pool.get().await.unwrap();
    let mut transaction = client.transaction().await.unwrap();
    let call = operations.batch_insert(things(0..10)).strategy(ExecutionStrategy::Parallel);
    let error = call.within(&mut transaction).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn parallel_runs_at_once_on_as_many_connections_as_workers() {
    let db = database(TABLE).await;
    // Three chunks meet, or none of them goes on.
    db.run(
        "CREATE FUNCTION meet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM pg_advisory_lock_shared(1);
            WHILE (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) < 3
            LOOP PERFORM pg_sleep(0.001); END LOOP;
            RETURN NULL;
         END $$; CREATE TRIGGER meet AFTER INSERT ON things EXECUTE FUNCTION meet()",
    )
    .await;
    let operations = BatchOperations::<Thing>::new(db.pool.clone());
    let call =
        operations.batch_insert(things(0..30)).strategy(ExecutionStrategy::Parallel).max_workers(3).batch_size(10);
    assert_eq!(call.timeout(Duration::from_secs(30)).await.unwrap(), 30);
}

#[tokio::test]
async fn optimistic_saves_the_good_chunks_before_the_bad_one() {
    let db = database(TABLE).await;
    let operations = BatchOperations::<Thing>::new(db.pool.clone());
    let mut rows = things(0..50);
    let optimistic = |rows: &Vec<Thing>| rows.clone();
    let call = operations.batch_insert(optimistic(&rows)).strategy(ExecutionStrategy::Optimistic).batch_size(10);
    let report = call.report().await.unwrap();
    assert_eq!((report.inserted(), report.chunks()), (50, 1), "one transaction was enough");
    db.run("TRUNCATE things").await;
    rows[25].value = 1_000;
    let call = operations.batch_insert(optimistic(&rows)).strategy(ExecutionStrategy::Optimistic).batch_size(10);
    let error = call.report().await.unwrap_err();
    let report = error.report().unwrap();
    assert_eq!((report.inserted(), report.failed(), report.not_attempted()), (20, 10, 20));
    assert_eq!(report.committed(), [0..20]);
    assert_eq!(db.number("SELECT count(*) FROM things").await, 20);
}
