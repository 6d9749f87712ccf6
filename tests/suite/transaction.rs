//! Inside of the caller's transaction: nothing is committed or set behind the caller's back.

use std::future::IntoFuture;

use batchkit::{BatchModel, BatchOperations, ErrorKind, ExecutionStrategy, Filter, Transport};

use crate::common::{TRANSPORTS, database, quiet};

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "accounts")]
struct Account {
    #[batch(key)]
    id: i64,
    balance: i64,
}

const TABLE: &str = "CREATE TABLE accounts (id int8 PRIMARY KEY, balance int8 NOT NULL CHECK (balance >= 0))";

fn accounts(ids: std::ops::Range<i64>) -> Vec<Account> {
    ids.map(|id| Account { id, balance: id }).collect()
}

#[tokio::test]
async fn all_verbs_share_the_callers_transaction() {
    let db = database(TABLE).await;
    for transport in TRANSPORTS {
        let operations = BatchOperations::<Account>::new(db.pool.clone());
        db.run("TRUNCATE accounts").await;
        let mut client = db.pool.get().await.unwrap();
        let mut transaction = client.transaction().await.unwrap();
        let rows = accounts(0..20);
        let inserted = operations.batch_insert(&rows).transport(transport).batch_size(6).within(&mut transaction).await;
        assert_eq!(inserted.unwrap(), 20, "{transport:?}");
        let richer: Vec<Account> = rows.iter().map(|row| Account { balance: row.balance + 1, ..*row }).collect();
        assert_eq!(operations.batch_update(&richer).transport(transport).within(&mut transaction).await.unwrap(), 20);
        let upserted =
            operations.batch_upsert(accounts(15..25)).transport(transport).within(&mut transaction).await.unwrap();
        assert_eq!((upserted.inserted, upserted.updated), (5, 5));
        let got = operations.batch_get(0..3).transport(transport).within(&mut transaction).await.unwrap();
        assert_eq!(got, richer[..3]);
        assert_eq!(operations.batch_delete([0i64, 1]).transport(transport).within(&mut transaction).await.unwrap(), 2);
        assert_eq!(operations.list(Filter::all()).within(&mut transaction).await.unwrap().len(), 23);
        // Outside, nothing of it is to be seen.
        assert_eq!(operations.count(Filter::all()).await.unwrap(), 0);
        transaction.commit().await.unwrap();
        drop(client);
        assert_eq!(operations.count(Filter::all()).await.unwrap(), 23, "{transport:?}");
    }
}

#[tokio::test]
async fn a_failed_call_leaves_the_transaction_usable_and_settings_alone() {
    let db = database(TABLE).await;
    let operations = BatchOperations::<Account>::new(db.pool.clone());
    for transport in TRANSPORTS {
        db.run("TRUNCATE accounts").await;
        let mut client = db.pool.get().await.unwrap();
        let mut transaction = client.transaction().await.unwrap();
        assert_eq!(operations.batch_insert(accounts(0..4)).within(&mut transaction).await.unwrap(), 4);
        let mut bad = accounts(4..14);
        bad[7].balance = -1;
        let chunked = operations.batch_insert(&bad).strategy(ExecutionStrategy::Chunked).batch_size(4);
        let error = chunked.transport(transport).within(&mut transaction).await.unwrap_err();
        assert_eq!((error.kind(), error.rows()), (ErrorKind::CheckViolation, [4..8].as_slice()), "{transport:?}");
        let mode: String = transaction.query_one("SHOW plan_cache_mode", &[]).await.unwrap().get(0);
        assert_eq!(mode, "auto");
        transaction.commit().await.unwrap();
        drop(client);
        // The first call's rows and the first chunk of the second call's.
        assert_eq!(db.number("SELECT count(*) FROM accounts").await, 8, "{transport:?}");
    }
}

/// Also where the server refuses it before it has seen a row, however the rows were to travel.
#[tokio::test]
async fn a_refused_call_leaves_the_transaction_usable() {
    let db = database("CREATE TABLE notes (id int4)").await;
    let role = format!("batchkit_reader_{}", std::process::id());
    db.run(&format!("CREATE ROLE {role}; GRANT ALL ON notes TO {role}")).await;
    // What is done in the transaction, and by somebody else meanwhile.
    let refusals = [
        ("SET LOCAL lock_timeout = 20", Some("LOCK TABLE accounts")),
        ("SET TRANSACTION READ ONLY", None),
        ("ALTER TABLE accounts ALTER balance TYPE float8", None),
        ("ALTER TABLE accounts DROP balance", None),
        ("ALTER TABLE accounts RENAME TO others", None),
        ("ALTER TABLE accounts RENAME TO others; CREATE VIEW accounts AS SELECT * FROM others LIMIT 1", None),
        ("ALTER TABLE accounts ENABLE ROW LEVEL SECURITY; SET LOCAL ROLE reader", None),
        ("GRANT SELECT ON accounts TO reader; SET LOCAL ROLE reader", None),
        ("GRANT SELECT, INSERT (id) ON accounts TO reader; SET LOCAL ROLE reader", None),
    ];
    for transport in [Transport::Auto, Transport::Copy, Transport::UnnestRows, Transport::UnnestColumns] {
        for (done, beside) in refusals {
            let context = format!("{transport:?}: {done}");
            db.run(&format!("DROP TABLE IF EXISTS accounts; {TABLE}; TRUNCATE notes")).await;
            let operations = BatchOperations::<Account>::new(db.pool.clone());
            assert_eq!(operations.batch_insert(accounts(0..300)).await.unwrap(), 300, "{context}");
            let mut rival = db.pool.get().await.unwrap();
            let held = rival.transaction().await.unwrap();
            if let Some(beside) = beside {
                held.batch_execute(beside).await.unwrap();
            }
            let mut client = db.pool.get().await.unwrap();
            let mut transaction = client.transaction().await.unwrap();
            transaction.batch_execute("INSERT INTO notes VALUES (1); SAVEPOINT here").await.unwrap();
            transaction.batch_execute(&done.replace("reader", &role)).await.unwrap();
            let call = operations.batch_insert(accounts(300..600)).transport(transport);
            let called = call.within(&mut transaction).await;
            // A statement that was prepared for the new type casts its arrays of the old one.
            assert!(called.is_err() || done.contains("TYPE"), "{context}");
            for number in 0..3 {
                let answer = transaction.query_one("SELECT $1::int4", &[&number]).await;
                assert_eq!(answer.unwrap().get::<_, i32>(0), number, "{context}: {called:?}");
            }
            transaction.batch_execute("ROLLBACK TO SAVEPOINT here").await.unwrap();
            transaction.commit().await.unwrap();
            held.rollback().await.unwrap();
            drop((client, rival));
            assert_eq!(db.number("SELECT count(*) FROM notes").await, 1, "{context}");
            assert_eq!(db.number("SELECT count(*) FROM accounts").await, 300, "{context}");
        }
    }
    db.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn a_model_that_does_not_match_leaves_the_transaction_usable() {
    let db = database("CREATE TABLE other (id int8)").await;
    let operations = BatchOperations::<Account>::new(db.pool.clone());
    let mut client = db.pool.get().await.unwrap();
    let mut transaction = client.transaction().await.unwrap();
    let error = operations.batch_insert(accounts(0..1)).within(&mut transaction).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    transaction.execute("INSERT INTO other VALUES (1)", &[]).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(db.number("SELECT count(*) FROM other").await, 1);
}

#[tokio::test]
async fn a_dropped_call_leaves_nothing_open() {
    let db = database(TABLE).await;
    let operations = BatchOperations::<Account>::new(db.pool.clone());
    operations.check_schema().await.unwrap();
    // The call is dropped at its first wait, when its chunk has just started.
    let dropped = async {
        tokio::select! {
            biased;
            _ = operations.batch_insert(accounts(0..1_000)).into_future() => false,
            () = std::future::ready(()) => true,
        }
    };
    assert!(dropped.await);
    // The chunk ends by itself, wholly in or out, and its connection comes back clean: all four are lent at once.
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(db.pool.get().await.unwrap());
    }
    for client in &clients {
        client.batch_execute("SELECT 1").await.unwrap();
    }
    drop(clients);
    quiet(&db, "").await;
    let rows = db.number("SELECT count(*) FROM accounts").await;
    assert!(rows == 0 || rows == 1_000, "{rows}");
}
