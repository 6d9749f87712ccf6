//! Bad input: a typed error that names the thing, prints no value, and tells what was written.

use std::error::Error as _;
use std::time::Duration;

use batchkit::{BatchModel, BatchOperations, Error, ErrorKind, ExecutionStrategy, OnRowError, Outcome, Transport};

use crate::common::{Db, TRANSPORTS, database};

/// Appears in every value, and must appear in no message.
const CANARY: &str = "canary";

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "things")]
struct Thing {
    #[batch(key)]
    id: i64,
    #[batch(unique)]
    name: String,
    short: String,
    small: i32,
    parent: Option<i64>,
    note: Option<String>,
}

const TABLE: &str = "CREATE TABLE things (
    id int8 PRIMARY KEY,
    name text NOT NULL CONSTRAINT things_name_once UNIQUE,
    short varchar(20) NOT NULL,
    small int4 NOT NULL CONSTRAINT small_is_small CHECK (small < 100),
    parent int8 CONSTRAINT has_parent REFERENCES things,
    note text CONSTRAINT note_is_required CHECK (note IS NOT NULL)
)";

fn thing(id: i64) -> Thing {
    Thing {
        id,
        name: format!("{CANARY} {id}"),
        short: CANARY.to_owned(),
        small: 1,
        parent: None,
        note: Some(CANARY.to_owned()),
    }
}

/// Thirty rows, of which number 17 is spoilt.
fn spoilt(spoil: impl Fn(&mut Thing)) -> Vec<Thing> {
    let mut rows: Vec<Thing> = (0..30).map(thing).collect();
    spoil(&mut rows[17]);
    rows
}

/// What no message may contain, in no form.
fn assert_tells_no_value(error: &Error) {
    let texts = [error.to_string(), format!("{error:?}"), format!("{error:#?}")];
    assert!(texts.iter().all(|text| !text.contains(CANARY)), "{texts:?}");
    assert!(error.source().is_none());
}

async fn count(db: &Db) -> i64 {
    db.number("SELECT count(*) FROM things").await
}

#[tokio::test]
async fn a_value_that_the_server_refuses() {
    let db = database(TABLE).await;
    let operations = BatchOperations::<Thing>::new(db.pool.clone());
    type Spoil = fn(&mut Thing);
    let cases: [(Spoil, ErrorKind, &str, Option<&str>); 5] = [
        (|t| t.name = format!("{CANARY} 3"), ErrorKind::UniqueViolation, "23505", Some("things_name_once")),
        (|t| t.small = 100, ErrorKind::CheckViolation, "23514", Some("small_is_small")),
        (|t| t.parent = Some(-1), ErrorKind::ForeignKeyViolation, "23503", Some("has_parent")),
        (|t| t.note = None, ErrorKind::CheckViolation, "23514", Some("note_is_required")),
        (|t| t.short = CANARY.repeat(5), ErrorKind::Database, "22001", None),
    ];
    for transport in TRANSPORTS {
        for (spoil, kind, state, constraint) in &cases {
            let rows = spoilt(spoil);
            let context = format!("{transport:?} {state}");

            // In a single query nothing is written.
            db.run("TRUNCATE things").await;
            let single = operations.batch_insert(&rows).transport(transport).strategy(ExecutionStrategy::SingleQuery);
            let error = single.await.unwrap_err();
            assert_eq!((error.kind(), error.constraint()), (*kind, *constraint), "{context}: {error}");
            assert_eq!((error.sqlstate().unwrap().code(), error.table()), (*state, Some("things")), "{context}");
            assert_eq!((error.chunk(), error.rows()), (Some(0), [0..30].as_slice()), "{context}");
            assert!(error.to_string().contains("nothing was written"), "{error}");
            assert_eq!(error.report().unwrap().failed(), 30, "{context}");
            assert_tells_no_value(&error);
            assert_eq!(count(&db).await, 0, "{context}");

            // In chunks, whole chunks are, and the report tells which.
            db.run("TRUNCATE things").await;
            let chunked =
                operations.batch_insert(&rows).transport(transport).strategy(ExecutionStrategy::Chunked).batch_size(8);
            let error = chunked.await.unwrap_err();
            let report = error.report().unwrap();
            assert_eq!((error.chunk(), error.rows()), (Some(2), [16..24].as_slice()), "{context}");
            assert_eq!((report.committed(), report.chunks()), ([0..16].as_slice(), 2), "{context}");
            assert_eq!((report.inserted(), report.failed(), report.not_attempted()), (16, 8, 6), "{context}");
            assert_tells_no_value(&error);
            assert_eq!(count(&db).await, 16, "{context}");

            // The pool is as good as before.
            let open = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname = current_database()";
            assert_eq!(db.number(open).await, 0, "{context}");
        }
    }
}

#[tokio::test]
async fn the_report_of_a_stopped_run_tells_each_rows_fate() {
    let db = database(TABLE).await;
    let operations = BatchOperations::<Thing>::new(db.pool.clone());
    let rows = spoilt(|t| t.small = 100);
    let chunked = operations.batch_insert(&rows).strategy(ExecutionStrategy::Chunked).batch_size(8);
    let error = chunked.report().await.unwrap_err();
    let outcomes = error.report().unwrap().outcomes().unwrap();
    assert!(outcomes[..16].iter().all(|outcome| *outcome == Outcome::Inserted));
    assert!(outcomes[16..24].iter().all(|outcome| *outcome == Outcome::Failed));
    assert!(outcomes[24..].iter().all(|outcome| *outcome == Outcome::NotAttempted));
    assert_eq!(outcomes.len(), 30);
}

/// Rows that were turned away, or that found nothing to change, are not told as written because their chunk was committed.
#[tokio::test]
async fn a_message_tells_as_written_what_was_written() {
    let db = database(TABLE).await;
    let operations = BatchOperations::<Thing>::new(db.pool.clone());
    let bad = || Thing { small: 100, ..thing(1) };
    let insert = async |rows: Vec<Thing>| {
        let call = operations.batch_insert(rows).on_row_error(OnRowError::Reject);
        call.await.unwrap_err().to_string()
    };
    let nothing = insert(vec![bad()]).await;
    assert!(nothing.contains("nothing was written") && !nothing.contains("written before"), "{nothing}");
    let one_of_them = insert(vec![thing(2), bad()]).await;
    assert!(one_of_them.contains("written before: 1 rows in 1 chunks"), "{one_of_them}");
    // None of the first chunk's keys is stored, and the second one fails.
    let rows = [8, 9].map(thing).into_iter().chain([Thing { small: 100, ..thing(2) }]);
    let update = operations.batch_update(rows.collect::<Vec<_>>()).batch_size(2).await.unwrap_err();
    assert!(update.to_string().contains("nothing was written"), "{update}");
}

#[tokio::test]
async fn a_row_without_a_form_is_refused_before_it_is_sent() {
    let db = database(TABLE).await;
    let operations = BatchOperations::<Thing>::new(db.pool.clone());
    let rows = spoilt(|t| t.name = format!("{CANARY}\0"));
    for transport in TRANSPORTS {
        let single = operations.batch_insert(&rows).transport(transport).strategy(ExecutionStrategy::SingleQuery);
        let error = single.await.unwrap_err();
        assert_eq!(
            (error.kind(), error.column(), error.rows()),
            (ErrorKind::InvalidRow, Some("name"), [17..18].as_slice())
        );
        assert!(error.sqlstate().is_none(), "the server was not asked");
        assert_eq!(error.report().unwrap().not_attempted(), 30);
        assert_tells_no_value(&error);
        assert_eq!(count(&db).await, 0);
    }
    let chunked = operations.batch_insert(&rows).strategy(ExecutionStrategy::Chunked).batch_size(8);
    let error = chunked.await.unwrap_err();
    let report = error.report().unwrap();
    assert_eq!((report.inserted(), report.not_attempted()), (16, 14));
    assert_eq!((error.rows(), count(&db).await), ([17..18].as_slice(), 16));
    // A key is a value, too.
    let error = operations.batch_get_by(Thing::KEYS.name, ["a", "canary\0"]).await.unwrap_err();
    assert_eq!((error.kind(), error.rows()), (ErrorKind::InvalidRow, [1..2].as_slice()));
    assert_tells_no_value(&error);
}

#[tokio::test]
async fn jsonb_with_an_escaped_nul_and_numbers_out_of_range() {
    #[derive(Debug, BatchModel)]
    #[batch(table = "documents")]
    struct Document {
        #[batch(key, as = "i64")]
        id: u64,
        document: serde_json::Value,
        names: Vec<String>,
    }
    let db =
        database("CREATE TABLE documents (id int8 PRIMARY KEY, document jsonb NOT NULL, names text[] NOT NULL)").await;
    let operations = BatchOperations::<Document>::new(db.pool.clone());
    let row = |id, text: &str, name: &str| Document {
        id,
        document: serde_json::json!({ "x": text }),
        names: vec!["a".to_owned(), name.to_owned()],
    };
    let cases = [(row(1, "\0", "b"), "document"), (row(1, "b", "\0"), "names"), (row(u64::MAX, "b", "c"), "id")];
    for (bad, column) in cases {
        let error = operations.batch_insert([row(7, "fine \\u0000", "x"), bad]).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.column(), error.rows()),
            (ErrorKind::InvalidRow, Some(column), [1..2].as_slice())
        );
    }
    assert_eq!(operations.batch_insert([row(7, "fine \\u0000", "x")]).await.unwrap(), 1);
    assert_eq!(operations.batch_get([7u64]).await.unwrap()[0].document, serde_json::json!({ "x": "fine \\u0000" }));
}

#[tokio::test]
async fn names_that_the_model_does_not_have() {
    let db = database(TABLE).await;
    let operations = BatchOperations::<Thing>::new(db.pool.clone());
    let rows = [thing(1)];
    let error = operations.batch_update(&rows).fields(["nmae"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownField);
    assert!(error.to_string().contains("id, name, short, small, parent, note"), "{error}");
    let error = operations.batch_update(&rows).fields(Thing::FIELDS.id).await.unwrap_err();
    assert_eq!((error.kind(), error.column()), (ErrorKind::UnknownField, Some("id")));
    let error = operations.batch_upsert(&rows).on(["name", "small"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownKey);
    assert!(error.to_string().contains("(id), (name)"), "{error}");
    let error = operations.batch_insert(&rows).batch_size(0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_pool_that_cannot_connect() {
    let mut config = tokio_postgres::Config::new();
    config.host("/nowhere/at/all").user("nobody").password("secret-canary").dbname("nothing");
    let manager = deadpool_postgres::Manager::new(config, tokio_postgres::NoTls);
    let pool = deadpool_postgres::Pool::builder(manager).max_size(1).build().unwrap();
    let operations = BatchOperations::<Thing>::new(pool);
    let call = operations.batch_insert([thing(1)]).retry_delay(Duration::from_millis(1));
    let error = call.await.unwrap_err();
    assert_eq!((error.kind(), error.table()), (ErrorKind::Pool, Some("things")));
    assert_tells_no_value(&error);
}

#[tokio::test]
async fn a_connection_that_is_killed_is_not_given_back() {
    let db = database(TABLE).await;
    db.run("CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END';
            CREATE TRIGGER die AFTER INSERT ON things EXECUTE FUNCTION die()").await;
    let operations = BatchOperations::<Thing>::new(db.pool.clone());
    for transport in TRANSPORTS {
        let call = operations.batch_insert([thing(1)]).transport(transport).retry_delay(Duration::from_millis(1));
        let error = call.await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Database | ErrorKind::Connection), "{error:?}");
        assert_eq!(error.report().unwrap().failed(), 1);
    }
    db.run("DROP TRIGGER die ON things").await;
    assert_eq!(operations.batch_insert([thing(1)]).transport(Transport::Copy).await.unwrap(), 1);
}

/// A text that no message can carry is its row's own fault, told before anything is sent.
#[tokio::test]
async fn a_row_that_is_too_large_for_a_message_is_refused() {
    #[derive(Debug, BatchModel)]
    #[batch(table = "texts", write_only)]
    struct Text<'t> {
        text: &'t str,
    }
    let db = database("CREATE TABLE texts (text text NOT NULL)").await;
    let operations = BatchOperations::<Text<'_>>::new(db.pool.clone());
    let giant = "x".repeat(1 << 30);
    let error = operations.batch_insert([Text { text: "small" }, Text { text: &giant }]).await.unwrap_err();
    assert_eq!((error.kind(), error.rows()), (ErrorKind::InvalidRow, [1..2].as_slice()));
    assert!(error.to_string().contains("1 GB"), "{error}");
    assert_eq!(db.number("SELECT count(*) FROM texts").await, 0);
}
