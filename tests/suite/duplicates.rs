//! Input rows of one key follow the declared policy, by the server's own equality, over all chunks.

use batchkit::{BatchModel, BatchOperations, DuplicatePolicy, ErrorKind, Filter, Outcome};

use crate::common::{Db, STRATEGIES, TRANSPORTS, database};

/// A key whose equality is not its bytes'.
#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "keyed")]
struct Keyed {
    #[batch(key)]
    id: String,
    amount: i64,
}

fn rows(ids: &[&str]) -> Vec<Keyed> {
    ids.iter().zip(1..).map(|(id, amount)| Keyed { id: (*id).to_owned(), amount }).collect()
}

/// Tables on which these spellings are one key.
const EQUALITIES: [(&str, [&str; 3]); 5] = [
    ("CREATE TABLE keyed (id text PRIMARY KEY, amount int8 NOT NULL)", ["a", "a", "a"]),
    ("CREATE EXTENSION citext; CREATE TABLE keyed (id citext PRIMARY KEY, amount int8 NOT NULL)", ["a", "A", "a"]),
    ("CREATE TABLE keyed (id char(3) PRIMARY KEY, amount int8 NOT NULL)", ["a", "a  ", "a "]),
    (
        "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
         CREATE TABLE keyed (id text COLLATE ci PRIMARY KEY, amount int8 NOT NULL)",
        ["a", "A", "a"],
    ),
    (
        "CREATE EXTENSION citext; CREATE DOMAIN label AS citext; CREATE TABLE keyed (id label PRIMARY KEY, amount int8 NOT NULL)",
        ["A", "a", "A"],
    ),
];

async fn stored(db: &Db) -> Vec<i64> {
    let client = db.pool.get().await.unwrap();
    client.query("SELECT amount FROM keyed ORDER BY id", &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn the_policy_decides_by_the_servers_equality() {
    for (table, [one, two, three]) in EQUALITIES {
        let db = database("").await;
        let icu = db.number("SELECT count(*) FROM pg_collation WHERE collname = 'und-x-icu'").await > 0;
        if table.contains("icu") && !icu {
            eprintln!("SKIPPED: this server is built without ICU");
            continue;
        }
        db.run(table).await;
        let operations = BatchOperations::<Keyed>::new(db.pool.clone());
        // The spellings lie in different chunks when a chunk has two rows.
        let input = rows(&[one, "b", "c", two, "d", three]);
        for transport in TRANSPORTS {
            for (strategy, _) in STRATEGIES {
                let context = format!("{table} {transport:?} {strategy:?}");
                db.run("TRUNCATE keyed").await;
                let upsert = |policy| {
                    operations
                        .batch_upsert(&input)
                        .transport(transport)
                        .strategy(strategy)
                        .batch_size(2)
                        .duplicates(policy)
                };
                let update = |policy| {
                    operations
                        .batch_update(&input)
                        .transport(transport)
                        .strategy(strategy)
                        .batch_size(2)
                        .duplicates(policy)
                };

                let error = upsert(DuplicatePolicy::Error).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::DuplicateKey, "{context}");
                assert_eq!(error.rows(), [0..1, 3..4, 5..6], "{context}");
                assert!(stored(&db).await.is_empty(), "{context}: nothing was written");
                assert_eq!(error.report().unwrap().not_attempted(), 6, "{context}");

                let report = upsert(DuplicatePolicy::FirstWins).report().await.unwrap();
                assert_eq!(report.positions(Outcome::Duplicate).collect::<Vec<_>>(), [3, 5], "{context}");
                assert_eq!(stored(&db).await, [1, 2, 3, 5], "{context}");

                let report = update(DuplicatePolicy::LastWins).report().await.unwrap();
                assert_eq!(report.positions(Outcome::Duplicate).collect::<Vec<_>>(), [0, 3], "{context}");
                assert_eq!((report.updated(), report.total()), (4, 6), "{context}");
                assert_eq!(stored(&db).await, [6, 2, 3, 5], "{context}");

                assert_eq!(
                    update(DuplicatePolicy::Error).await.unwrap_err().kind(),
                    ErrorKind::DuplicateKey,
                    "{context}"
                );
                let deleted = operations
                    .batch_delete([one, two, "b", "no"])
                    .transport(transport)
                    .strategy(strategy)
                    .batch_size(1)
                    .report()
                    .await
                    .unwrap();
                assert_eq!(
                    deleted.outcomes().unwrap(),
                    [Outcome::Deleted, Outcome::Duplicate, Outcome::Deleted, Outcome::Missing],
                    "{context}"
                );
            }
        }
    }
}

#[tokio::test]
async fn values_that_the_column_rounds_into_one_are_duplicates() {
    #[derive(Debug, Clone, BatchModel)]
    #[batch(table = "rounded")]
    struct Rounded {
        #[batch(key)]
        price: rust_decimal::Decimal,
        amount: i64,
    }
    let db = database("CREATE TABLE rounded (price numeric(10, 2) PRIMARY KEY, amount int8 NOT NULL)").await;
    let operations = BatchOperations::<Rounded>::new(db.pool.clone());
    let row = |thousandths, amount| Rounded { price: rust_decimal::Decimal::new(thousandths, 3), amount };
    for transport in TRANSPORTS {
        db.run("TRUNCATE rounded").await;
        let input = [row(1_001, 1), row(2_000, 2), row(1_004, 3)];
        let report = operations
            .batch_upsert(&input)
            .transport(transport)
            .duplicates(DuplicatePolicy::LastWins)
            .report()
            .await
            .unwrap();
        assert_eq!(
            report.outcomes().unwrap(),
            [Outcome::Duplicate, Outcome::Inserted, Outcome::Inserted],
            "{transport:?}"
        );
        assert_eq!(db.number("SELECT sum(amount)::int8 FROM rounded").await, 5);
    }
}

#[tokio::test]
async fn a_null_in_the_conflict_key_is_refused() {
    #[derive(Debug, Clone, BatchModel)]
    #[batch(table = "nullable")]
    struct Nullable {
        #[batch(key)]
        id: i64,
        #[batch(unique)]
        code: Option<String>,
    }
    let db = database("CREATE TABLE nullable (id int8 PRIMARY KEY, code text UNIQUE)").await;
    let operations = BatchOperations::<Nullable>::new(db.pool.clone());
    let input = [Nullable { id: 1, code: Some("a".to_owned()) }, Nullable { id: 2, code: None }];
    let error = operations.batch_upsert(&input).on(Nullable::FIELDS.code).await.unwrap_err();
    assert_eq!((error.kind(), error.column(), error.rows()), (ErrorKind::InvalidRow, Some("code"), [1..2].as_slice()));
    assert_eq!(db.number("SELECT count(*) FROM nullable").await, 0);
    // By the primary key it is no matter.
    assert_eq!(operations.batch_upsert(&input).await.unwrap().inserted, 2);
}

/// How rows are encoded follows the width of a chunk's first ones: that of one key may have been encoded before that was
/// known, and the other behind it.
#[tokio::test]
async fn rows_of_one_key_are_found_whatever_their_width() {
    #[derive(Debug, Clone, BatchModel)]
    #[batch(table = "noted")]
    struct Noted {
        #[batch(key)]
        id: i64,
        // An array has no place in an array of its column: it goes in whole rows.
        tags: Vec<i32>,
        position: i64,
        note: String,
    }
    const COUNT: i64 = 30_000;
    let db = database(
        "CREATE TABLE noted (id int8 PRIMARY KEY, tags int4[] NOT NULL, position int8 NOT NULL, note text NOT NULL)",
    )
    .await;
    let operations = BatchOperations::<Noted>::new(db.pool.clone());
    // The last row has the first one's key, and the one in front of it that of its neighbour.
    let key = |position: i64| match position {
        position if position == COUNT - 1 => 0,
        position if position == COUNT - 2 => position - 1,
        position => position,
    };
    // The second half is narrower than it seems by the first rows.
    let row = |position: i64| Noted {
        id: key(position),
        tags: vec![7; 2],
        position,
        note: "n".repeat(if position < COUNT / 2 { 400 } else { 10 }),
    };
    let rows: Vec<Noted> = (0..COUNT).map(row).collect();
    for (strategy, _) in STRATEGIES {
        db.run("TRUNCATE noted").await;
        let upsert = |policy| operations.batch_upsert(&rows).strategy(strategy).duplicates(policy);

        let error = upsert(DuplicatePolicy::Error).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DuplicateKey, "{strategy:?}");
        assert_eq!(error.rows(), [0..1, 29_997..30_000], "{strategy:?}");
        assert_eq!(db.number("SELECT count(*) FROM noted").await, 0, "{strategy:?}");

        for (policy, duplicates) in
            [(DuplicatePolicy::FirstWins, [29_998, 29_999]), (DuplicatePolicy::LastWins, [0, 29_997])]
        {
            let report = upsert(policy).report().await.unwrap();
            assert_eq!(report.positions(Outcome::Duplicate).collect::<Vec<_>>(), duplicates, "{strategy:?}");
            let mut stored = operations.list(Filter::all()).await.unwrap();
            stored.sort_by_key(|row| row.position);
            let told = |row: &Noted| (row.id, row.position, row.note.len(), row.tags.clone());
            let kept = rows.iter().zip(0..).filter(|(_, position)| !duplicates.contains(position)).map(|(row, _)| row);
            assert!(stored.iter().map(told).eq(kept.map(told)), "{strategy:?} {policy:?}");
        }
    }
}
