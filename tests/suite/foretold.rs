//! Rows that go by COPY and come back all the same, where all that will be stored is known before they are sent.

use batchkit::{BatchConfig, BatchModel, BatchOperations, Filter, IsolationLevel, Transport};
use chrono::{DateTime, Utc};
use postgres_types::{FromSql, ToSql};
use rust_decimal::Decimal;
use serde_json::Value;
use uuid::Uuid;

use crate::common::{Db, database, fine};

#[derive(Debug, Clone, Copy, PartialEq, ToSql, FromSql)]
#[postgres(name = "state", rename_all = "lowercase")]
enum State {
    Open,
    Closed,
}

/// What the server sets lies between what the rows give.
#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "Back\\slash's", new = "NewItem")]
struct Item {
    name: String,
    #[batch(key, auto)]
    id: i64,
    price: Decimal,
    ratio: f64,
    states: Vec<State>,
    #[batch(auto)]
    made: DateTime<Utc>,
    #[batch(on_insert = "'on insert'")]
    by: String,
    document: Value,
    #[batch(auto)]
    note: Option<String>,
    #[batch(auto)]
    token: Uuid,
    #[batch(auto)]
    kind: i32,
    tags: Option<Vec<Option<String>>>,
    bytes: Vec<u8>,
}

const TABLE: &str = r#"
    CREATE TYPE state AS ENUM ('open', 'closed');
    CREATE TABLE "Back\slash's" (
        id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, unknown_to_the_model int4 DEFAULT 3, name text NOT NULL,
        price numeric NOT NULL, ratio float8 NOT NULL, states state[] NOT NULL,
        made timestamptz NOT NULL DEFAULT clock_timestamp(), by text NOT NULL, document json NOT NULL, note text,
        token uuid NOT NULL DEFAULT gen_random_uuid(), kind int4 NOT NULL DEFAULT 7, tags text[],
        bytes bytea NOT NULL)"#;

fn item(n: i64) -> NewItem {
    NewItem {
        name: format!("item {n}"),
        // Also with zeros that are no digits of the value.
        price: Decimal::new(n * 1_000, u32::try_from(n % 9).unwrap()),
        ratio: if n == 3 { -0.0 } else { 1.0 / (n as f64) },
        states: vec![State::Open; usize::try_from(n % 3).unwrap()],
        document: serde_json::json!({ "z": n, "a": [null, 1.0] }),
        tags: (n % 2 == 0).then(|| vec![None, Some(String::new())]),
        bytes: n.to_be_bytes().to_vec(),
    }
}

fn items() -> Vec<NewItem> {
    (1..=300).map(item).collect()
}

fn operations(db: &Db, transport: Transport) -> BatchOperations<Item> {
    let config = BatchConfig { transport, ..BatchConfig::default() };
    BatchOperations::builder(db.pool.clone()).config(config).build().unwrap()
}

/// What came back is what is stored, in the order of the input.
async fn are_stored(operations: &BatchOperations<Item>, returned: &[Item], context: &str) {
    let mut stored = operations.list(Filter::all()).await.unwrap();
    stored.sort_by_key(|item| item.name[5..].parse::<i64>().unwrap());
    assert_eq!(returned, stored, "{context}");
    assert_eq!(stored.len(), items().len(), "{context}");
}

#[tokio::test]
async fn what_comes_back_is_what_is_stored() {
    let db = database(TABLE).await;
    for transport in [Transport::Auto, Transport::Copy] {
        let operations = operations(&db, transport);
        let why = operations.batch_insert(items()).returning().explain().await.unwrap();
        assert_eq!((why.transport, why.sql.split(' ').next()), (Transport::Copy, Some("COPY")), "{why:?}");
        db.run(r#"TRUNCATE "Back\slash's""#).await;
        let returned = fine(operations.batch_insert(items()).returning().await, "the call");
        are_stored(&operations, &returned, &format!("{transport:?}")).await;
        assert!(returned.iter().all(|item| item.by == "on insert" && item.note.is_none() && item.kind == 7));
        // Whole rows leave nothing to be drawn.
        db.run(r#"TRUNCATE "Back\slash's""#).await;
        assert_eq!(operations.batch_insert(&returned).returning().await.unwrap(), returned, "{transport:?}");
        are_stored(&operations, &returned, &format!("{transport:?}, whole")).await;
        assert_eq!(db.number(r#"SELECT count(*) FROM "Back\slash's" WHERE unknown_to_the_model = 3"#).await, 300);
    }
}

/// The table is another one than it was known to be: whatever was changed, no row comes back otherwise than it is
/// stored.
#[tokio::test]
async fn a_table_that_was_changed_is_not_taken_for_the_old_one() {
    let changes = [
        r"CREATE FUNCTION louder() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.bytes = ''\x00''; RETURN NEW; END';
          CREATE TRIGGER louder BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION louder()",
        "ALTER TABLE t ALTER price TYPE numeric(20, 1)",
        "ALTER TABLE t ALTER kind SET DEFAULT 8",
        "ALTER TABLE t ALTER note SET DEFAULT NULL",
        "ALTER TABLE t ALTER kind DROP DEFAULT, ALTER kind ADD GENERATED ALWAYS AS IDENTITY",
        "ALTER TABLE t ALTER note SET DEFAULT 'a note'",
        "ALTER TABLE t DROP note; ALTER TABLE t ADD note text GENERATED ALWAYS AS (name || ' noted') STORED",
        "ALTER TABLE t ALTER document TYPE jsonb",
        "ALTER TABLE t RENAME TO old; CREATE TABLE t (LIKE old INCLUDING ALL) PARTITION BY RANGE (id);
         CREATE TABLE part PARTITION OF t DEFAULT;
         CREATE FUNCTION louder() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.ratio = 0; RETURN NEW; END';
         CREATE TRIGGER louder BEFORE INSERT ON part FOR EACH ROW EXECUTE FUNCTION louder()",
    ];
    for change in changes {
        for transport in [Transport::Auto, Transport::Copy] {
            let db = database(TABLE).await;
            let operations = operations(&db, transport);
            fine(operations.batch_insert(items()).returning().await, change);
            db.run(r#"TRUNCATE "Back\slash's""#).await;
            db.run(&change.replace(" t ", r#" "Back\slash's" "#)).await;
            match operations.batch_insert(items()).returning().await {
                Ok(returned) => are_stored(&operations, &returned, &format!("{transport:?}, {change}")).await,
                // A column of another type, or one that nobody can write any longer.
                Err(error) => {
                    let stored = db.number(r#"SELECT count(*) FROM "Back\slash's""#).await;
                    assert_eq!(stored, 0, "{transport:?}, {change}: {error}");
                }
            }
        }
    }
}

/// A snapshot may be older than what the table is by now: there the server tells what it has stored.
#[tokio::test]
async fn under_a_snapshot_the_server_is_asked() {
    let db = database(TABLE).await;
    let operations = operations(&db, Transport::Auto);
    let mut client = db.pool.get().await.unwrap();
    for isolation in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        db.run(r#"TRUNCATE "Back\slash's""#).await;
        let mut transaction = client.transaction().await.unwrap();
        transaction.batch_execute(&format!("SET TRANSACTION ISOLATION LEVEL {isolation}")).await.unwrap();
        let returned = operations.batch_insert(items()).returning().within(&mut transaction).await;
        let returned = fine(returned, isolation);
        transaction.commit().await.unwrap();
        are_stored(&operations, &returned, isolation).await;
    }
    db.run(r#"TRUNCATE "Back\slash's""#).await;
    let mut config = BatchConfig::default();
    config.database.isolation_level = Some(IsolationLevel::Serializable);
    let serializable = BatchOperations::<Item>::builder(db.pool.clone()).config(config).build().unwrap();
    are_stored(&serializable, &serializable.batch_insert(items()).returning().await.unwrap(), "by the settings").await;
}

/// Settings, lock and drawing leave together; COPY, its rows, and COMMIT.
#[tokio::test]
async fn it_is_four_round_trips() {
    let db = database(TABLE).await;
    let (pool, round_trips) = db.database.counted_pool(1).unwrap();
    let operations = BatchOperations::<Item>::new(pool);
    for is_warm in [false, true] {
        let _ = round_trips.take();
        assert_eq!(operations.batch_insert(items()).returning().await.unwrap().len(), 300);
        let taken = round_trips.take();
        assert!(!is_warm || taken == 4, "{taken} round trips");
    }
}
