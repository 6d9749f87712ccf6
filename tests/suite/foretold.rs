//! Rows that go by COPY and come back all the same, where what is asked of them is known before they are sent.

use batchkit::{BatchConfig, BatchModel, BatchOperations, ErrorKind, Filter, IsolationLevel, Transport};
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
        r"CREATE FUNCTION elsewhere() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.id = NEW.id + 1000; RETURN NEW; END';
          CREATE TRIGGER elsewhere BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION elsewhere()",
        "ALTER TABLE t ALTER id DROP IDENTITY, ALTER id SET DEFAULT (random() * 1e15)::int8",
        "ALTER TABLE t ALTER by TYPE varchar(9)",
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
    for (change, transport, keys_only) in ways(&changes) {
        let db = database(TABLE).await;
        let operations = operations(&db, transport);
        let context = format!("{transport:?}, keys only: {keys_only}, {change}");
        fine(operations.batch_insert(items()).returning().await, &context);
        fine(operations.batch_insert(items()).returning_keys().await, &context);
        db.run(r#"TRUNCATE "Back\slash's""#).await;
        db.run(&change.replace(" t ", r#" "Back\slash's" "#)).await;
        let call = operations.batch_insert(items());
        let failed = match keys_only {
            false => match call.returning().await {
                Ok(returned) => {
                    are_stored(&operations, &returned, &context).await;
                    None
                }
                Err(error) => Some(error),
            },
            true => match call.returning_keys().await {
                Ok(keys) => {
                    let stored = r#"SELECT array_agg(id ORDER BY substr(name, 6)::int4)::text FROM "Back\slash's""#;
                    assert_eq!(
                        db.text(stored).await,
                        format!("{{{}}}", keys.iter().map(i64::to_string).collect::<Vec<_>>().join(",")),
                        "{context}"
                    );
                    None
                }
                Err(error) => Some(error),
            },
        };
        // A column of another type, one that nobody can write any longer, or a key that is not known.
        if let Some(error) = failed {
            let stored = db.number(r#"SELECT count(*) FROM "Back\slash's""#).await;
            assert_eq!(stored, 0, "{context}: {error}");
        }
    }
}

fn ways<'c>(changes: &[&'c str]) -> impl Iterator<Item = (&'c str, Transport, bool)> {
    changes.iter().flat_map(|&change| {
        let both = [Transport::Auto, Transport::Copy].into_iter();
        both.flat_map(move |transport| [(change, transport, false), (change, transport, true)])
    })
}

/// Of a key nothing else has to be known: not what the server computes, rounds or writes otherwise.
#[tokio::test]
async fn keys_are_known_where_rows_are_not() {
    #[derive(Debug, Clone, PartialEq, BatchModel)]
    #[batch(table = "bills", new = "NewBill")]
    struct Bill {
        net: Decimal,
        #[batch(on_insert = "'on insert'")]
        by: String,
        #[batch(key, auto)]
        number: i32,
        document: Value,
        #[batch(key)]
        book: String,
        #[batch(computed)]
        gross: Decimal,
    }
    let db = database(
        "CREATE TABLE bills (book text NOT NULL, number serial, net numeric(20, 1) NOT NULL, by varchar(20) NOT NULL,
         document jsonb NOT NULL, gross numeric NOT NULL GENERATED ALWAYS AS (net * 2) STORED, PRIMARY KEY (number, book))",
    )
    .await;
    let bills = BatchOperations::<Bill>::new(db.pool.clone());
    let bill = |n: i64| NewBill {
        net: Decimal::new(n * 100 + 1, 2),
        document: serde_json::json!({ "b": n, "a": [1] }),
        book: format!("book {}", n % 3),
    };
    let new: Vec<NewBill> = (1..=300).map(bill).collect();
    let why = bills.batch_insert(&new).returning().explain().await.unwrap();
    assert_eq!(why.transport, Transport::UnnestColumns, "{why:?}");
    let why = bills.batch_insert(&new).returning_keys().explain().await.unwrap();
    assert_eq!((why.transport, why.sql.split(' ').next()), (Transport::Copy, Some("COPY")), "{why:?}");
    for rows in [300, 20, 1] {
        let keys: Vec<(i32, String)> = bills.batch_insert(&new[..rows]).returning_keys().await.unwrap();
        assert_eq!(keys.len(), rows);
        for (stored, new) in bills.batch_get(&keys).await.unwrap().iter().zip(&new) {
            assert_eq!((&stored.book, &stored.document, &*stored.by), (&new.book, &new.document, "on insert"));
            assert_eq!(stored.gross, new.net.round_dp(1) * Decimal::TWO);
        }
    }
    // No key was drawn for nothing.
    assert_eq!(db.number("SELECT last_value FROM bills_number_seq").await, 321);
    // What a trigger makes of the key the server tells.
    db.run(
        "CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.book = NEW.book || 2; RETURN NEW; END';
         CREATE TRIGGER other BEFORE INSERT ON bills FOR EACH ROW EXECUTE FUNCTION other()",
    )
    .await;
    let informed = BatchOperations::<Bill>::new(db.pool.clone());
    let keys = informed.batch_insert(&new).returning_keys().await.unwrap();
    assert!(keys.iter().zip(&new).all(|((_, book), new)| *book == format!("{}2", new.book)));
    // Who does not know of it yet finds out, and writes nothing that it cannot account for.
    let stored = db.number("SELECT count(*) FROM bills").await;
    match bills.batch_insert(&new).returning_keys().await {
        Ok(keys) => assert_eq!(bills.batch_get(&keys).await.unwrap().len(), 300),
        Err(_) => assert_eq!(db.number("SELECT count(*) FROM bills").await, stored),
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

/// Who may read nothing but the key is told that, whatever other unique key the rows give.
#[tokio::test]
async fn a_role_that_may_read_keys_only_is_told_them() {
    #[derive(Debug, Clone, PartialEq, BatchModel)]
    #[batch(table = "badges", new = "NewBadge")]
    struct Badge {
        #[batch(key, auto)]
        id: i64,
        #[batch(unique)]
        code: String,
    }
    let db =
        database("CREATE TABLE badges (id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code text NOT NULL UNIQUE)")
            .await;
    let role = format!("reader_of_badges_{}", std::process::id());
    db.run(&format!(
        "CREATE ROLE {role}; GRANT INSERT, SELECT (id) ON badges TO {role}; GRANT USAGE ON badges_id_seq TO {role}"
    ))
    .await;
    let badges = BatchOperations::<Badge>::new(db.pool_with(&format!("-c role={role}")));
    let codes = |of: &str, rows: usize| (0..rows).map(|n| NewBadge { code: format!("{of} {n}") }).collect::<Vec<_>>();
    for rows in [1, 20, 300] {
        let keys = badges.batch_insert(codes(&format!("keys of {rows}"), rows)).returning_keys().await.unwrap();
        let stored = format!(
            "SELECT array_agg(id ORDER BY split_part(code, ' ', 4)::int4)::text FROM badges WHERE code LIKE 'keys of {rows} %'"
        );
        let keys = keys.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        assert_eq!(db.text(&stored).await, format!("{{{keys}}}"));
        let report = badges.batch_insert(codes(&format!("report of {rows}"), rows)).report().await.unwrap();
        assert_eq!(report.inserted(), rows as u64);
    }
    // COPY is for such a role too, and finds out that the table has changed.
    let counted = |of: &str| badges.batch_insert(codes(of, 300));
    assert_eq!(counted("counted").explain().await.unwrap().transport, Transport::Copy);
    for (number, change) in ["SELECT 1", "ALTER TABLE badges ALTER code TYPE varchar(40)"].into_iter().enumerate() {
        db.run(change).await;
        assert_eq!(counted(&format!("counted behind {number}")).await.unwrap(), 300, "{change}");
    }
    db.run("ALTER TABLE badges ALTER code TYPE bytea USING code::bytea").await;
    let stored = db.number("SELECT count(*) FROM badges").await;
    for _ in 0..2 {
        assert_eq!(counted("of another type").await.unwrap_err().kind(), ErrorKind::Schema);
    }
    assert_eq!(db.number("SELECT count(*) FROM badges").await, stored);
    db.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

/// A trigger that is not known of drops the second of two rows: it is not taken for the first one.
#[tokio::test]
async fn a_row_that_an_unknown_trigger_drops_has_no_key() {
    #[derive(Debug, Clone, PartialEq, BatchModel)]
    #[batch(table = "words", new = "NewWord")]
    struct Word {
        #[batch(key, auto)]
        id: i64,
        #[batch(unique)]
        word: String,
    }
    let db =
        database("CREATE TABLE words (id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, word text NOT NULL UNIQUE)")
            .await;
    let words = BatchOperations::<Word>::new(db.pool.clone());
    let word = |word: &str| NewWord { word: word.to_owned() };
    words.batch_insert([word("known"), word("too")]).returning_keys().await.unwrap();
    db.run(
        "CREATE FUNCTION once() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN IF EXISTS (SELECT FROM words WHERE word = NEW.word) THEN RETURN NULL; END IF; RETURN NEW; END';
         CREATE TRIGGER once BEFORE INSERT ON words FOR EACH ROW EXECUTE FUNCTION once()",
    )
    .await;
    let error = words.batch_insert([word("a"), word("a"), word("b")]).returning_keys().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Accounting, "{error}");
    assert_eq!(db.number("SELECT count(*) FROM words").await, 2);
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
        assert_eq!(operations.batch_insert(items()).returning_keys().await.unwrap().len(), 300);
        let taken = round_trips.take();
        assert!(!is_warm || taken == 4, "{taken} round trips for keys");
    }
}
