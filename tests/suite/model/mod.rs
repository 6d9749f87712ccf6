//! Generated calls on the real server do what a sequential model says: the same table, and the same outcome of
//! each row, whatever the strategy, the transport, the size of chunks and the number of workers.
//!
//! `PROPTEST_CASES` sets how many calls each test makes.

mod abort;
mod generate;
mod reference;
mod reject;

use std::collections::BTreeMap;

use batchkit::{BatchModel, BatchOperations, DuplicatePolicy, Error, ErrorKind, OnRowError, Outcome, Report};

use crate::common::{Db, database, generated};
use generate::{Case, Way, case};
use reference::{Part, Stored, TABLES, Table, Unsent, Verb};

/// Runs the call.
async fn call(operations: &BatchOperations<Part>, verb: Verb, way: Way, rows: &[Part]) -> Result<Report, Error> {
    macro_rules! report {
        ($call:expr) => {
            $call
                .strategy(way.strategy)
                .transport(way.transport)
                .batch_size(way.chunk)
                .max_workers(way.workers)
                .duplicates(way.duplicates)
                .on_row_error(way.on_row_error)
                .report()
                .await
        };
    }
    macro_rules! optional {
        ($call:ident, $fields:ident, $if_changed:ident) => {{
            let $call = match $fields {
                Some(fields) => $call.fields(fields.to_vec()),
                None => $call,
            };
            report!(if $if_changed { $call.if_changed() } else { $call })
        }};
    }
    let ids: Vec<_> = rows.iter().map(|part| part.id).collect();
    let codes: Vec<_> = rows.iter().map(|part| part.code.clone()).collect();
    match verb {
        Verb::Insert => report!(operations.batch_insert(rows)),
        Verb::InsertIgnoring => report!(operations.batch_insert(rows).ignore_conflicts()),
        Verb::Upsert { by_code, fields, if_changed } => {
            let call = operations.batch_upsert(rows).on([if by_code { "code" } else { "id" }]);
            optional!(call, fields, if_changed)
        }
        Verb::Update { fields, if_changed } => {
            let call = operations.batch_update(rows);
            optional!(call, fields, if_changed)
        }
        Verb::Delete { by_code: false } => report!(operations.batch_delete(ids)),
        Verb::Delete { by_code: true } => report!(operations.batch_delete_by(Part::KEYS.code, codes)),
        Verb::Get { by_code: false } => report!(operations.batch_get(ids)),
        Verb::Get { by_code: true } => report!(operations.batch_get_by(Part::KEYS.code, codes)),
    }
}

/// The server's table.
async fn stored(db: &Db) -> BTreeMap<i64, Stored> {
    let client = db.pool.get().await.unwrap();
    let sql = "SELECT (id * 100)::int8, code::text, kind, size, note::text, tag FROM parts";
    let rows = client.query(sql, &[]).await.unwrap();
    let row = |row: &tokio_postgres::Row| {
        let (code, kind, size, note, tag) = (row.get(1), row.get(2), row.get(3), row.get(4), row.get(5));
        (row.get(0), Stored { code, kind, size, note, tag })
    };
    rows.iter().map(row).collect()
}

/// Stores what the case has stored before, on the server and in the model.
async fn prepare(db: &Db, case: &Case) -> Table {
    let mut table = Table::default();
    let unsent = Unsent::new(Verb::Insert, &case.stored, DuplicatePolicy::Error);
    table.run(Verb::Insert, &case.stored, unsent.sent());
    table.referenced = table.rows.keys().copied().take(case.referenced).collect();
    let client = db.pool.get().await.unwrap();
    client.batch_execute("TRUNCATE parts, children").await.unwrap();
    let insert = "INSERT INTO parts VALUES ($1::int8 / 100.0, $2::text, $3, $4, $5::text, $6)";
    for (id, row) in &table.rows {
        let Stored { code, kind, size, note, tag } = row;
        client.execute(insert, &[id, code, kind, size, note, tag]).await.unwrap();
    }
    for id in &table.referenced {
        client.execute("INSERT INTO children VALUES ($1::int8 / 100.0)", &[id]).await.unwrap();
    }
    table
}

/// What is true whatever happened: each row has one outcome, and the table has just what they say was written.
async fn assert_true_books(db: &Db, case: &Case, before: &Table, report: &Report) {
    let outcomes = report.outcomes().unwrap();
    assert_eq!((outcomes.len(), report.total()), (case.rows.len(), u64::try_from(case.rows.len()).unwrap()));
    for (outcome, count) in report.counts().iter() {
        assert_eq!(
            outcomes.iter().filter(|is| **is == outcome).count(),
            usize::try_from(count).unwrap(),
            "{outcome:?}"
        );
    }
    let rejects: Vec<usize> = report.rejects().iter().map(|reject| reject.position).collect();
    assert_eq!(rejects, report.positions(Outcome::Rejected).collect::<Vec<_>>());
    let mut table = before.clone();
    let written = |outcome: &Outcome| matches!(outcome, Outcome::Inserted | Outcome::Updated | Outcome::Deleted);
    for (part, _) in case.rows.iter().zip(outcomes).filter(|(_, outcome)| written(outcome)) {
        table.write(case.verb, part);
    }
    assert_eq!(stored(db).await, table.rows, "the table has what the outcomes say was written: {outcomes:?}");
}

/// Runs a generated case against the server and the model.
async fn check(db: &Db, operations: &BatchOperations<Part>, case: &Case) {
    let before = prepare(db, case).await;
    let result = call(operations, case.verb, case.way, &case.rows).await;
    let report = match &result {
        Ok(report) => report,
        Err(error) => error.report().unwrap(),
    };
    assert_true_books(db, case, &before, report).await;
    let unsent = Unsent::new(case.verb, &case.rows, case.way.duplicates);
    let policy_refuses = case.way.duplicates == DuplicatePolicy::Error
        && !matches!(case.verb, Verb::Delete { .. })
        && !unsent.paired.is_empty();
    match case.way.on_row_error {
        // A row without a form ends an aborting call before rows are compared.
        OnRowError::Reject if policy_refuses => {
            let error = result.unwrap_err();
            let named: Vec<usize> = error.rows().iter().cloned().flatten().collect();
            assert_eq!((error.kind(), named), (ErrorKind::DuplicateKey, unsent.paired));
            assert_eq!(stored(db).await, before.rows, "nothing was written");
        }
        OnRowError::Reject => reject::check(operations, case, &before, &unsent, &result.unwrap()).await,
        OnRowError::Abort => abort::check(case, &before, &unsent, policy_refuses, result),
    }
}

/// A test of each verb.
macro_rules! verbs {
    ($($test:ident: |$fields:ident, $one:ident, $two:ident| $verb:expr;)*) => {$(
        #[test]
        fn $test() {
            generated(96, case(|$fields, $one, $two| $verb), database(TABLES), async |db, case| {
                check(db, &BatchOperations::new(db.pool.clone()), &case).await;
            });
        }
    )*};
}

verbs! {
    an_insert_is_the_models: |_fields, _one, _two| Verb::Insert;
    an_insert_that_ignores_conflicts_is_the_models: |_fields, _one, _two| Verb::InsertIgnoring;
    an_upsert_by_the_primary_key_is_the_models: |fields, if_changed, _two| Verb::Upsert { by_code: false, fields, if_changed };
    an_upsert_by_another_key_is_the_models: |fields, if_changed, _two| Verb::Upsert { by_code: true, fields, if_changed };
    an_update_is_the_models: |fields, if_changed, _two| Verb::Update { fields, if_changed };
    a_delete_is_the_models: |_fields, by_code, _two| Verb::Delete { by_code };
    a_get_is_the_models: |_fields, by_code, _two| Verb::Get { by_code };
}
