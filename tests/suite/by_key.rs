//! Gets by key, whose answers find their keys by ordinal or by the key's bytes: every kind of key, in any order, found
//! or not, once or twice; and values that the struct cannot hold.

use std::fmt::Debug;

use batchkit::{BatchConfig, BatchModel, BatchOperations, ErrorKind, Filter, KeyFor, Transport};
use uuid::Uuid;

use crate::common::{Db, TRANSPORTS, database, pool_through};

macro_rules! keyed {
    ($($name:ident, $table:literal: $key:ty;)*) => {$(
        #[derive(Debug, Clone, PartialEq, BatchModel)]
        #[batch(table = $table)]
        struct $name {
            value: String,
            #[batch(key)]
            key: $key,
        }

        impl Keyed for $name {
            type Of = $key;

            fn new(key: $key) -> Self {
                $name { value: format!("value of {key:?}"), key }
            }
        }
    )*};
}

trait Keyed: Debug + Clone + PartialEq {
    type Of;

    fn new(key: Self::Of) -> Self;
}

keyed! {
    ByInt8, "by_int8": i64;
    ByInt4, "by_int4": i32;
    ByText, "by_text": String;
    ByName, "by_name": String;
    ByUuid, "by_uuid": Uuid;
    ByNumeric, "by_numeric": rust_decimal::Decimal;
}

/// Names are equal whatever their case: there, only the server can tell which row is whose.
const TABLES: &str = "
    CREATE EXTENSION citext;
    CREATE TABLE by_int8 (value text NOT NULL, key int8 PRIMARY KEY);
    CREATE TABLE by_int4 (value text NOT NULL, key int4 PRIMARY KEY);
    CREATE TABLE by_text (value text NOT NULL, key text PRIMARY KEY);
    CREATE TABLE by_name (value text NOT NULL, key citext PRIMARY KEY);
    CREATE TABLE by_uuid (value text NOT NULL, key uuid PRIMARY KEY);
    CREATE TABLE by_numeric (value text NOT NULL, key numeric PRIMARY KEY)";

/// Twelve keys are stored, and two are not; they are asked for in orders of their own.
async fn keys_find_their_rows<M>(db: &Db, keys: [M::Of; 14])
where
    M: BatchModel + Keyed + batchkit::InsertRow<M> + batchkit::ReadRow + Send + 'static,
    M::Of: Clone + KeyFor<<M as BatchModel>::Key> + Send + Sync,
{
    let operations = BatchOperations::<M>::new(db.pool.clone());
    let row = |key: &M::Of| M::new(key.clone());
    operations.batch_insert(keys[..12].iter().map(row).collect::<Vec<_>>()).await.unwrap();
    let orders: [&[usize]; 8] = [
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
        &[5, 12, 3, 0],
        &[12, 13],
        &[2, 2],
        &[7, 12, 7, 3, 12, 7],
        &[4],
        &[],
    ];
    for transport in TRANSPORTS {
        for order in orders {
            let asked: Vec<M::Of> = order.iter().map(|&at| keys[at].clone()).collect();
            let expected: Vec<Option<M>> =
                order.iter().map(|&at| (at < 12).then(|| M::new(keys[at].clone()))).collect();
            let slots = operations.batch_get(asked.clone()).transport(transport).aligned().await.unwrap();
            assert_eq!(slots, expected, "{transport:?} {order:?}");
            let rows = operations.batch_get(asked.clone()).transport(transport).await.unwrap();
            assert_eq!(rows, expected.iter().flatten().cloned().collect::<Vec<_>>(), "{transport:?} {order:?}");
            let report = operations.batch_get(asked).transport(transport).report().await.unwrap();
            let found = u64::try_from(expected.iter().flatten().count()).unwrap();
            assert_eq!((report.found(), report.total()), (found, u64::try_from(order.len()).unwrap()), "{transport:?}");
        }
    }
}

#[tokio::test]
async fn every_kind_of_key_finds_its_row() {
    let db = database(TABLES).await;
    let numbers = [3, -4, 0, 250, i32::MIN, i32::MAX, 7, 1, -1, 256, 65_536, 12, 5, -2];
    keys_find_their_rows::<ByInt4>(&db, numbers).await;
    keys_find_their_rows::<ByInt8>(&db, numbers.map(i64::from)).await;
    let texts = ["b", "", "a", "ab", "é", "z", "B", "%", "a b", "'", "\"", "aa", "none", "no"];
    keys_find_their_rows::<ByText>(&db, texts.map(str::to_owned)).await;
    let names = ["b", "", "a", "ab", "é", "z", "c", "%", "a b", "'", "\"", "aa", "none", "no"];
    keys_find_their_rows::<ByName>(&db, names.map(str::to_owned)).await;
    let uuid = |n: i32| Uuid::from_u64_pair(u64::try_from(i64::from(n) + (1 << 32)).unwrap(), 7 << 40);
    keys_find_their_rows::<ByUuid>(&db, numbers.map(uuid)).await;
    keys_find_their_rows::<ByNumeric>(&db, numbers.map(rust_decimal::Decimal::from)).await;
}

/// The same key in other letters is the same key where the server says so.
#[tokio::test]
async fn a_key_that_is_equal_in_other_bytes_finds_its_row() {
    let db = database(TABLES).await;
    let operations = BatchOperations::<ByName>::new(db.pool.clone());
    operations.batch_insert([ByName::new("Blue".to_owned())]).await.unwrap();
    for transport in TRANSPORTS {
        let found = operations.batch_get(["BLUE", "blue", "green"]).transport(transport).aligned().await.unwrap();
        let blue = Some(ByName::new("Blue".to_owned()));
        assert_eq!(found, [blue.clone(), blue, None], "{transport:?}");
    }
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "counters")]
struct Counter {
    #[batch(key)]
    id: i32,
    #[batch(as = "i64")]
    count: u32,
}

#[tokio::test]
async fn a_value_that_the_struct_cannot_hold_is_told_by_every_read() {
    let db = database("CREATE TABLE counters (id int4 PRIMARY KEY, count int8 NOT NULL)").await;
    db.run(
        "INSERT INTO counters SELECT n, n FROM generate_series(1, 5) n; UPDATE counters SET count = -1 WHERE id = 4",
    )
    .await;
    let operations = BatchOperations::<Counter>::new(db.pool.clone());
    for transport in [Transport::Auto, Transport::UnnestRows, Transport::UnnestColumns] {
        let error = operations.batch_get(1..=5).transport(transport).await.unwrap_err();
        assert_eq!((error.kind(), error.column()), (ErrorKind::Decode, Some("count")), "{transport:?}");
        assert_eq!(error.rows(), std::slice::from_ref(&(3..4)), "{transport:?}");
        assert!(!error.to_string().contains("-1"), "{error}");
        // Asked for twice, it is read twice.
        let error = operations.batch_get([4, 2, 4]).transport(transport).await.unwrap_err();
        assert_eq!((error.kind(), error.rows()), (ErrorKind::Decode, std::slice::from_ref(&(0..1))), "{transport:?}");
    }
    let error = operations.list(Filter::all()).await.unwrap_err();
    assert_eq!((error.kind(), error.column()), (ErrorKind::Decode, Some("count")));
}

/// Whether the server planned a statement for the number of its keys is known to the connection that has prepared it.
#[tokio::test]
async fn many_keys_are_planned_for_only_where_they_may_be_much_of_their_table() {
    let table = "CREATE TABLE by_int8 (value text NOT NULL, key int8 PRIMARY KEY) WITH (autovacuum_enabled = false)";
    let db = database(table).await;
    if db.number("SELECT current_setting('server_version_num')::int8").await < 140_000 {
        eprintln!("SKIPPED: the plans of statements are counted since PostgreSQL 14");
        return;
    }
    let pool = pool_through(&db, db.server_folder(), 1);
    let plans = async |what: &str| -> (i64, i64) {
        let sql = "SELECT sum(generic_plans)::int8, sum(custom_plans)::int8 FROM pg_prepared_statements \
                   WHERE statement LIKE $1 || '% AS t WHERE t.\"key\" = ANY%' AND statement NOT LIKE '%plans%'";
        let row = pool.get().await.unwrap().query_one(sql, &[&what]).await.unwrap();
        (row.get(0), row.get(1))
    };
    db.run("INSERT INTO by_int8 SELECT 'some', n FROM generate_series(1, 20000) n").await;
    let keys: Vec<i64> = (1..=3_000).collect();
    let config = BatchConfig { max_workers: 1, ..BatchConfig::default() };
    let operations = || BatchOperations::<ByInt8>::builder(pool.clone()).config(config.clone()).build().unwrap();
    // How large the table is is not known yet.
    let before = operations();
    assert_eq!(before.batch_get(&keys[..1_000]).await.unwrap().len(), 1_000);
    assert_eq!(plans("SELECT").await, (0, 1));
    assert_eq!(before.batch_get(&keys[..500]).await.unwrap().len(), 500);
    assert_eq!(plans("SELECT").await, (1, 1));
    db.run("ANALYZE by_int8").await;
    let after = operations();
    assert_eq!(after.batch_get(&keys[..1_000]).await.unwrap().len(), 1_000);
    assert_eq!(plans("SELECT").await, (2, 1), "a twentieth of the table is looked up");
    assert_eq!(after.batch_get(&keys).await.unwrap().len(), 3_000);
    assert_eq!(plans("SELECT").await, (2, 2), "of a seventh the server decides");
    assert_eq!(after.batch_delete(&keys[..1_000]).await.unwrap(), 1_000);
    assert_eq!(plans("DELETE").await, (1, 0));
    assert_eq!(after.batch_delete(&keys).await.unwrap(), 2_000);
    assert_eq!(plans("DELETE").await, (1, 1));
}
