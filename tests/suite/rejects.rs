//! Bad rows are turned away with their reason, by every strategy and transport; the others go in.

use std::sync::{Arc, Mutex};

use batchkit::{
    BatchConfig, BatchModel, BatchOperations, BatchSize, DuplicatePolicy, ErrorKind, ExecutionStrategy, OnRowError,
    Outcome, Reject, Transport,
};

use crate::common::{Db, STRATEGIES, TRANSPORTS, database};

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "parts")]
struct Part {
    #[batch(key)]
    id: i32,
    #[batch(unique)]
    code: Option<String>,
    kind: Option<i32>,
    size: i32,
    note: String,
}

const TABLE: &str = "
    CREATE TABLE kinds (id int4 PRIMARY KEY);
    INSERT INTO kinds VALUES (1), (2);
    CREATE TABLE parts (
        id int4 CONSTRAINT parts_id PRIMARY KEY,
        code text CONSTRAINT parts_code UNIQUE,
        kind int4 CONSTRAINT parts_kind REFERENCES kinds DEFERRABLE INITIALLY DEFERRED,
        size int4 NOT NULL CONSTRAINT parts_size CHECK (size > 0 AND id >= 0),
        note varchar(10) NOT NULL);
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN IF NEW.note = ''refuse'' THEN RAISE EXCEPTION ''refused''; END IF; RETURN NEW; END';
    CREATE TRIGGER refuse AFTER INSERT OR UPDATE ON parts FOR EACH ROW EXECUTE FUNCTION refuse()";

fn part(id: i32) -> Part {
    Part { id, code: Some(format!("code {id}")), kind: (id % 3 != 0).then_some(id % 3), size: 1, note: String::new() }
}

/// Where a row is, and what it is turned away for: kind, SQLSTATE, constraint.
type Fact<'a> = (usize, ErrorKind, Option<&'a str>, Option<&'a str>);

/// Forty rows, every kind of bad one among them, and what each is turned away for.
fn mixture() -> (Vec<Part>, Vec<Fact<'static>>) {
    let mut rows: Vec<Part> = (0..40).map(part).collect();
    rows[3].kind = Some(77);
    rows[4].kind = Some(78);
    rows[9].size = 0;
    rows[11].note = "refuse".to_owned();
    rows[17].note = "far too long a note".to_owned();
    rows[18].code = Some("nul \0".to_owned());
    rows[25].code = Some("code 2".to_owned());
    rows[31].kind = Some(77);
    rows[39].size = -1;
    let fk = (ErrorKind::ForeignKeyViolation, Some("23503"), Some("parts_kind"));
    let check = (ErrorKind::CheckViolation, Some("23514"), Some("parts_size"));
    let bad = vec![
        (3, fk),
        (4, fk),
        (9, check),
        (11, (ErrorKind::Database, Some("P0001"), None)),
        (17, (ErrorKind::Database, Some("22001"), None)),
        (18, (ErrorKind::InvalidRow, None, None)),
        (25, (ErrorKind::UniqueViolation, Some("23505"), Some("parts_code"))),
        (31, fk),
        (39, check),
    ];
    (rows, bad.into_iter().map(|(at, (kind, code, constraint))| (at, kind, code, constraint)).collect())
}

fn facts(rejects: &[Reject]) -> Vec<Fact<'_>> {
    rejects.iter().map(|r| (r.position, r.kind, r.sqlstate.as_deref(), r.constraint.as_deref())).collect()
}

async fn stored(db: &Db) -> String {
    db.text("SELECT coalesce(string_agg(id::text, ',' ORDER BY id), '') FROM parts").await
}

fn good(bad: &[usize], rows: std::ops::Range<usize>) -> String {
    rows.filter(|row| !bad.contains(row)).map(|row| row.to_string()).collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn every_way_turns_the_same_rows_away() {
    let db = database(TABLE).await;
    let (rows, expected) = mixture();
    let bad: Vec<usize> = expected.iter().map(|(at, ..)| *at).collect();
    for transport in TRANSPORTS {
        for (execution_strategy, size) in STRATEGIES {
            let context = format!("{transport:?} {execution_strategy:?} {size}");
            let config = BatchConfig {
                transport,
                execution_strategy,
                batch_size: BatchSize::Rows(size),
                on_row_error: OnRowError::Reject,
                max_workers: 1,
                ..BatchConfig::default()
            };
            let operations = BatchOperations::<Part>::builder(db.pool.clone()).config(config).build().unwrap();
            db.run("TRUNCATE parts").await;
            let seen = Arc::new(Mutex::new(Vec::new()));
            let sink = Arc::clone(&seen);
            let call =
                operations.batch_insert(&rows).reject_sink(move |reject| sink.lock().unwrap().push(reject.position));
            let report = call.report().await.unwrap();
            assert_eq!(facts(report.rejects()), expected, "{context}");
            assert_eq!((report.inserted(), report.rejected(), report.total()), (31, 9, 40), "{context}");
            assert_eq!(report.positions(Outcome::Rejected).collect::<Vec<_>>(), bad, "{context}");
            assert_eq!(stored(&db).await, good(&bad, 0..40), "{context}");
            let mut seen = seen.lock().unwrap().clone();
            seen.sort_unstable();
            assert_eq!(seen, bad, "{context}: each reject is handed over once");

            // A plain call says so, and holds the report.
            db.run("TRUNCATE parts").await;
            let error = operations.batch_insert(&rows).await.unwrap_err();
            assert_eq!(
                (error.kind(), facts(error.report().unwrap().rejects())),
                (ErrorKind::Rejected, expected.clone()),
                "{context}"
            );
            let error = operations.batch_insert(&rows[..8]).ignore_conflicts().returning().await.unwrap_err();
            assert_eq!((error.kind(), error.rows()), (ErrorKind::Rejected, [3..5].as_slice()), "{context}");
            assert_eq!(stored(&db).await, good(&bad, 0..40), "{context}");

            // The upsert meets the stored rows; the update too.
            let report = operations.batch_upsert(&rows).report().await.unwrap();
            let without_own = |rejects: &[Reject]| facts(rejects).iter().map(|(at, ..)| *at).collect::<Vec<_>>();
            assert_eq!(without_own(report.rejects()), bad, "{context}");
            assert_eq!((report.updated(), report.rejected()), (31, 9), "{context}");
            let mut changed: Vec<Part> =
                rows.iter().filter(|row| !bad.contains(&usize::try_from(row.id).unwrap())).cloned().collect();
            changed[5].kind = Some(79);
            changed[6].size = -5;
            let report = operations.batch_update(&changed).report().await.unwrap();
            assert_eq!((without_own(report.rejects()), report.updated()), (vec![5, 6], 29), "{context}");
            // Nothing is wrong with a delete of rows that nobody references.
            assert_eq!(operations.batch_delete(0..40).await.unwrap(), 31, "{context}");
        }
    }
}

#[tokio::test]
async fn rows_that_are_in_come_back_beside_those_that_are_not() {
    let db = database(TABLE).await;
    let operations = BatchOperations::<Part>::new(db.pool.clone());
    let (rows, expected) = mixture();
    let call = operations.batch_insert(&rows).on_row_error(OnRowError::Reject).batch_size(7);
    let error = call.returning().aligned().await.unwrap_err();
    assert_eq!(facts(error.report().unwrap().rejects()), expected);
    // NULL in the key of an upsert is one row's matter, too; so are rows of one key by the policy.
    let mut some: Vec<Part> = (100..106).map(part).collect();
    some[1].code = None;
    some[4].code = some[2].code.clone();
    let call = operations.batch_upsert(&some).on("code").on_row_error(OnRowError::Reject);
    let report = call.duplicates(DuplicatePolicy::FirstWins).report().await.unwrap();
    assert_eq!((report.inserted(), report.duplicates(), report.rejected()), (4, 1, 1));
    assert_eq!((report.rejects()[0].position, report.rejects()[0].column.as_deref()), (1, Some("code")));
}

/// Which of two rows with one key goes in is settled in input order, also where the first is bad for another
/// reason, and where a row shares one key with the first and another one with a third.
#[tokio::test]
async fn of_rows_with_one_key_the_first_good_one_goes_in() {
    let db = database(TABLE).await;
    let with = |id, code: &str, size| Part { code: Some(code.to_owned()), size, ..part(id) };
    let rows = [
        with(1, "a", 0),
        with(2, "a", 1),
        with(3, "a", 1),
        with(2, "b", 1),
        with(4, "b", 1),
        with(4, "c", 0),
        with(5, "c", 1),
        with(1, "d", 1),
    ];
    for transport in TRANSPORTS {
        for (execution_strategy, size) in STRATEGIES {
            for seen_before in [false, true] {
                let context = format!("{transport:?} {execution_strategy:?} {size}");
                let operations = BatchOperations::<Part>::new(db.pool.clone());
                let call = operations.batch_insert(&rows).transport(transport).strategy(execution_strategy);
                let call = call.batch_size(size).max_workers(2).on_row_error(OnRowError::Reject);
                db.run("TRUNCATE parts").await;
                let expected = if seen_before {
                    db.run("INSERT INTO parts VALUES (9, 'd', NULL, 1, '')").await;
                    vec![0, 2, 3, 5, 7]
                } else {
                    vec![0, 2, 3, 5]
                };
                let report = call.report().await.unwrap();
                assert_eq!(report.positions(Outcome::Rejected).collect::<Vec<_>>(), expected, "{context}");
                let stored = db.text("SELECT string_agg(id || code, ',' ORDER BY id) FROM parts").await;
                assert_eq!(stored, if seen_before { "2a,4b,5c,9d" } else { "1d,2a,4b,5c" }, "{context}");
            }
        }
    }
}

/// A reject tells its row's key: the primary key if that is given, else the first unique one; never in `Debug`.
#[tokio::test]
async fn a_reject_tells_its_key_to_those_who_ask() {
    let db = database(TABLE).await;
    let operations = BatchOperations::<Part>::new(db.pool.clone());
    let (rows, expected) = mixture();
    for strategy in [ExecutionStrategy::Chunked, ExecutionStrategy::Parallel] {
        db.run("TRUNCATE parts").await;
        let call = operations.batch_insert(&rows).strategy(strategy).batch_size(9).on_row_error(OnRowError::Reject);
        let report = call.report().await.unwrap();
        for (reject, (position, ..)) in report.rejects().iter().zip(&expected) {
            let key = reject.key.as_ref().unwrap();
            assert_eq!(key.columns().collect::<Vec<_>>(), ["id"], "{strategy:?}");
            assert_eq!(key.get::<i32>("id"), i32::try_from(*position).ok(), "{strategy:?}");
            assert_eq!((key.get::<i64>("id"), key.get::<i32>("code")), (None, None), "another type, another column");
            assert_eq!(format!("{key:?}"), r#"RejectKey(["id"])"#);
        }
        // An upsert's key is the one that it goes by.
        let call = operations.batch_upsert(&rows[9..10]).on("code").on_row_error(OnRowError::Reject);
        let report = call.report().await.unwrap();
        let key = report.rejects()[0].key.as_ref().unwrap();
        assert_eq!(key.get::<String>("code").as_deref(), Some("code 9"));
    }
}

#[tokio::test]
async fn too_many_rejects_stop_the_run() {
    let db = database(TABLE).await;
    let operations = BatchOperations::<Part>::new(db.pool.clone());
    let mut rows: Vec<Part> = (0..100).map(part).collect();
    for row in rows.iter_mut().skip(20) {
        row.kind = Some(99);
    }
    for strategy in [ExecutionStrategy::Chunked, ExecutionStrategy::Parallel] {
        db.run("TRUNCATE parts").await;
        let call = operations.batch_insert(&rows).strategy(strategy).batch_size(10).on_row_error(OnRowError::Reject);
        let error = call.max_workers(2).max_rejects(15).report().await.unwrap_err();
        let report = error.report().unwrap();
        assert_eq!((error.kind(), report.inserted()), (ErrorKind::TooManyRejects, 20));
        assert!((16..=40).contains(&report.rejected()) && report.not_attempted() >= 40, "{:?}", report.counts());
        assert_eq!(report.total(), 100);
    }
}

#[tokio::test]
async fn too_large_a_share_of_rejects_stops_the_run() {
    let db = database(TABLE).await;
    let operations = BatchOperations::<Part>::new(db.pool.clone());
    let mut rows: Vec<Part> = (0..3_000).map(part).collect();
    for row in rows.iter_mut().step_by(4) {
        row.size = 0;
    }
    let call = |percent| {
        let call = operations.batch_insert(&rows).batch_size(500).on_row_error(OnRowError::Reject);
        call.max_reject_percent(percent).report()
    };
    assert_eq!(call(25).await.unwrap().rejected(), 750);
    db.run("TRUNCATE parts").await;
    let error = call(24).await.unwrap_err();
    let report = error.report().unwrap();
    assert_eq!((error.kind(), report.total()), (ErrorKind::TooManyRejects, 3_000));
    let settled = report.inserted() + report.rejected();
    assert!((1_000..1_500).contains(&settled), "{:?}", report.counts());
}

#[tokio::test]
async fn savepoints_find_bad_rows_in_the_callers_transaction() {
    let db = database(TABLE).await;
    let operations = BatchOperations::<Part>::new(db.pool.clone());
    let (mut rows, _) = mixture();
    // The deferred foreign key is the caller's matter at its commit.
    for row in &mut rows {
        row.kind = None;
    }
    for transport in [Transport::Auto, Transport::Copy, Transport::UnnestRows] {
        db.run("TRUNCATE parts").await;
        let mut client = db.pool.get().await.unwrap();
        let mut transaction = client.transaction().await.unwrap();
        let call = operations.batch_insert(&rows).transport(transport).on_row_error(OnRowError::Reject).batch_size(8);
        let report = call.within(&mut transaction).report().await.unwrap();
        assert_eq!(report.positions(Outcome::Rejected).collect::<Vec<_>>(), [9, 11, 17, 18, 25, 39], "{transport:?}");
        transaction.commit().await.unwrap();
        drop(client);
        assert_eq!(stored(&db).await, good(&[9, 11, 17, 18, 25, 39], 0..40), "{transport:?}");
    }
}

/// What the constraint's query may not see is found by halving.
#[tokio::test]
async fn a_reference_to_the_own_table_and_to_one_that_is_hidden() {
    #[derive(Debug, Clone, BatchModel)]
    #[batch(table = "tree")]
    struct Node {
        #[batch(key)]
        id: i32,
        parent: Option<i32>,
    }
    let db =
        database("CREATE TABLE tree (id int4 PRIMARY KEY, parent int4 CONSTRAINT tree_parent REFERENCES tree)").await;
    let operations = BatchOperations::<Node>::new(db.pool.clone());
    let node = |id, parent| Node { id, parent };
    let rows = [node(1, None), node(2, Some(1)), node(3, Some(99)), node(4, Some(2)), node(5, Some(98))];
    let report = operations.batch_insert(&rows).on_row_error(OnRowError::Reject).report().await.unwrap();
    assert_eq!(report.positions(Outcome::Rejected).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(report.rejects()[0].constraint.as_deref(), Some("tree_parent"));
}

/// What a row would break as it is given says nothing where a trigger changes it on its way in.
#[tokio::test]
async fn a_row_that_a_trigger_mends_is_not_turned_away_beside_one_that_is_bad() {
    #[derive(Debug, Clone, BatchModel)]
    #[batch(table = "mended")]
    struct Mended {
        #[batch(key)]
        id: i32,
        size: i32,
    }
    let db = database(
        "CREATE TABLE mended (id int4 PRIMARY KEY, size int4 NOT NULL CHECK (size > 0));
         CREATE FUNCTION mend() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN IF NEW.size = -1 THEN NEW.size = 1; END IF; IF NEW.id = 1000 THEN NEW.id = 1001; END IF; RETURN NEW; END';
         CREATE TRIGGER mend BEFORE INSERT OR UPDATE ON mended FOR EACH ROW EXECUTE FUNCTION mend()",
    )
    .await;
    let operations = BatchOperations::<Mended>::new(db.pool.clone());
    let mut rows: Vec<Mended> = (0..30).map(|id| Mended { id, size: 5 }).collect();
    // Mended, mended, and bad; and the same in a later chunk.
    (rows[3].size, rows[4].id, rows[6].size) = (-1, 1000, -5);
    (rows[23].size, rows[24].id, rows[26].size) = (-1, 2000, -5);
    for transport in TRANSPORTS {
        for (strategy, _) in STRATEGIES {
            for update in [false, true] {
                let context = format!("{transport:?} {strategy:?} update: {update}");
                db.run("TRUNCATE mended; INSERT INTO mended VALUES (2000, 1)").await;
                let bad: &[usize] = if update {
                    db.run("INSERT INTO mended SELECT n, 5 FROM generate_series(0, 30) AS n").await;
                    &[6, 26]
                } else {
                    &[6, 24, 26]
                };
                macro_rules! rejected {
                    ($call:expr) => {{
                        let call = $call.transport(transport).strategy(strategy).batch_size(10);
                        // Counted only: which row became of which is not to be told behind such a trigger.
                        let error = call.on_row_error(OnRowError::Reject).await.unwrap_err();
                        error.report().unwrap().rejects().iter().map(|reject| reject.position).collect::<Vec<_>>()
                    }};
                }
                let rejected = match update {
                    true => rejected!(operations.batch_update(&rows)),
                    false => rejected!(operations.batch_insert(&rows)),
                };
                assert_eq!(rejected, bad, "{context}");
            }
        }
    }
}
