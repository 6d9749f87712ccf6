//! Chunks whose COMMIT leaves with the work of the next one: what becomes of each where one of the two fails.

use std::convert::Infallible;

use batchkit::{BatchConfig, BatchModel, ErrorKind, ExecutionStrategy, Filter, Outcome, Tracker, Transport};
use futures_util::{StreamExt, stream};

use crate::common::{TRANSPORTS, at, database, quiet, until};
use crate::stock::{Stock, TABLE, config, operations_with, stock};

const STRATEGIES: [ExecutionStrategy; 2] = [ExecutionStrategy::Chunked, ExecutionStrategy::Pipelined];

/// At COMMIT, not before, rows with a negative amount are refused; and the row 7 the first time that it is seen.
const REFUSED_AT_COMMIT: &str = "
    CREATE SEQUENCE seen;
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.amount < 0 THEN RAISE EXCEPTION USING ERRCODE = 'check_violation'; END IF;
        IF NEW.id = 7 AND nextval('seen') = 1 THEN RAISE EXCEPTION USING ERRCODE = 'serialization_failure'; END IF;
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON stock DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION refuse()";

fn each_way() -> impl Iterator<Item = BatchConfig> {
    let transports = TRANSPORTS.into_iter().filter(|transport| *transport != Transport::Single);
    transports.flat_map(|transport| {
        STRATEGIES.map(|execution_strategy| BatchConfig { transport, execution_strategy, ..config() })
    })
}

#[tokio::test]
async fn a_chunk_that_is_refused_at_its_commit_takes_the_next_one_back() {
    let db = database(&format!("{TABLE}; {REFUSED_AT_COMMIT}; SELECT nextval('seen')")).await;
    for config in each_way() {
        let context = format!("{:?} {:?}", config.transport, config.execution_strategy);
        db.run("TRUNCATE stock").await;
        let operations = operations_with(&db.pool, config);
        let mut rows = stock(0..50, 1);
        rows[25].amount = -1;
        let error = operations.batch_insert(&rows).report().await.unwrap_err();
        assert_eq!(error.sqlstate().map(|state| state.code().to_owned()).as_deref(), Some("23514"), "{context}");
        assert_eq!(error.rows(), [20..30], "{context}");
        let report = error.report().unwrap();
        for (row, outcome) in report.outcomes().unwrap().iter().enumerate() {
            let expected = match row {
                ..20 => Outcome::Inserted,
                20..30 => Outcome::Failed,
                _ => Outcome::NotAttempted,
            };
            assert_eq!(*outcome, expected, "{context}: row {row}");
        }
        assert_eq!(report.committed(), std::slice::from_ref(&(0..20)), "{context}");
        assert_eq!(operations.list(Filter::all()).order_by(Stock::FIELDS.id.asc()).await.unwrap(), rows[..20]);
    }
}

#[tokio::test]
async fn a_chunk_that_is_repeated_after_its_commit_goes_before_the_next_one() {
    let db = database(&format!("{TABLE}; {REFUSED_AT_COMMIT}")).await;
    for config in each_way() {
        let context = format!("{:?} {:?}", config.transport, config.execution_strategy);
        db.run("TRUNCATE stock; ALTER SEQUENCE seen RESTART").await;
        let operations = operations_with(&db.pool, config);
        let rows = stock(0..50, 1);
        let report = operations.batch_insert(&rows).report().await.unwrap();
        assert_eq!((report.inserted(), report.retries(), report.chunks()), (50, 1, 5), "{context}");
        assert_eq!(operations.list(Filter::all()).order_by(Stock::FIELDS.id.asc()).await.unwrap(), rows, "{context}");
        // Transactions take their numbers in the order in which they wrote.
        let disorder = "SELECT count(*) FROM (SELECT xmin, lag(xmin::text::int8) OVER (ORDER BY id) AS before FROM stock) \
                        AS s WHERE before > xmin::text::int8";
        assert_eq!(db.number(disorder).await, 0, "{context}");
    }
}

#[tokio::test]
async fn a_chunk_that_fails_leaves_the_one_whose_commit_left_with_it() {
    let db = database(&format!("{TABLE}; ALTER TABLE stock ADD CHECK (amount < 10)")).await;
    for config in each_way() {
        let context = format!("{:?} {:?}", config.transport, config.execution_strategy);
        db.run("TRUNCATE stock").await;
        let operations = operations_with(&db.pool, config);
        let mut rows = stock(0..50, 1);
        rows[25].amount = 10;
        let error = operations.batch_insert(&rows).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CheckViolation, "{context}");
        assert_eq!(error.report().unwrap().committed(), std::slice::from_ref(&(0..20)), "{context}");
        assert_eq!(operations.count(Filter::all()).await.unwrap(), 20, "{context}");
    }
}

/// Rows that come only when those before them are seen in the table: a COMMIT does not wait for what is not ready.
#[tokio::test]
async fn a_commit_does_not_wait_for_rows_that_are_not_ready() {
    let db = database(TABLE).await;
    for config in each_way() {
        db.run("TRUNCATE stock").await;
        let operations = operations_with(&db.pool, config);
        let db = &db;
        let rows = stream::iter(stock(0..50, 1)).then(|row| async move {
            while db.number("SELECT count(*) FROM stock").await < i64::from(row.id / 10 * 10) {}
            Ok::<_, Infallible>(row)
        });
        assert_eq!(operations.batch_insert_stream(rows).await.unwrap(), 50);
    }
}

/// The runtime stops while a chunk waits for a lock, and the one before it, whose COMMIT left with its work, is in.
#[test]
fn a_runtime_that_stops_under_the_next_chunk_leaves_true_books() {
    let outer = tokio::runtime::Runtime::new().unwrap();
    let db = outer.block_on(database(TABLE));
    for config in each_way() {
        let context = format!("{:?} {:?}", config.transport, config.execution_strategy);
        outer.block_on(db.run("TRUNCATE stock"));
        let mut rival = outer.block_on(db.pool.get()).unwrap();
        let held = outer.block_on(rival.transaction()).unwrap();
        outer.block_on(held.batch_execute("INSERT INTO stock (id, amount) VALUES (25, 0)")).unwrap();
        let inner = tokio::runtime::Runtime::new().unwrap();
        let (operations, tracker) = (operations_with(&db.pool_with(""), config), Tracker::new());
        let call = operations.batch_insert(stock(0..50, 1)).report().track(&tracker);
        let call = inner.spawn(async move { call.await });
        outer.block_on(async {
            let waits = "SELECT count(*) FROM pg_stat_activity \
                         WHERE datname = current_database() AND wait_event_type = 'Lock'";
            while db.number(waits).await == 0 {}
            // It waits before anybody has seen the answer to the COMMIT in front of it.
            let booked = || tracker.report().filter(|report| report.inserted() == 20);
            until(&context, async || booked()).await;
        });
        drop(inner);
        assert!(outer.block_on(call).unwrap_err().is_cancelled(), "{context}");
        let report = tracker.report().unwrap();
        assert_eq!(report.committed(), std::slice::from_ref(&(0..20)), "{context}");
        assert_eq!(at(&report, Outcome::Inserted), (0..20).collect::<Vec<_>>(), "{context}");
        assert_eq!(at(&report, Outcome::Unknown), (20..30).collect::<Vec<_>>(), "{context}");
        outer.block_on(async {
            held.rollback().await.unwrap();
            quiet(&db, &context).await;
            // Nobody was left to send its COMMIT.
            assert_eq!(db.number("SELECT count(*) FROM stock").await, 20, "{context}");
        });
    }
}
