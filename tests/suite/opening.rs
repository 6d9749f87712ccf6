//! How transactions are opened: settings that hold for them alone, and connections that know by name what opens one, or
//! do not.

use std::time::Duration;

use batchkit::{BatchConfig, DatabaseSettings, ErrorAnswer, ErrorKind, Filter, IsolationLevel, SynchronousCommit};

use crate::common::{Answers, TRANSPORTS, database, nothing_is_open, pool_through};
use crate::proxy::{Harm, Proxy, Trap, Way};
use crate::stock::{TABLE, TRACES, Verb, config, operations_with, stock};

/// All settings hold in each transaction, at the first one of a connection and later, and in no other.
#[tokio::test]
async fn settings_hold_for_their_transaction() {
    let db = database(TABLE).await;
    let of = |settings: &str| {
        format!(
            "SELECT string_agg(name || '=' || current_setting(name), ' ' ORDER BY name) FROM unnest('{{{settings}}}'::text[]) name"
        )
    };
    let settings = of("client_min_messages,idle_in_transaction_session_timeout,lock_timeout,maintenance_work_mem,\
        statement_timeout,synchronous_commit,transaction_isolation,work_mem");
    db.run(&format!(
        "CREATE TABLE seen (settings text); CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN INSERT INTO seen {settings}; RETURN NULL; END $$;
         CREATE TRIGGER look AFTER INSERT OR DELETE ON stock EXECUTE FUNCTION look()"
    ))
    .await;
    let own = DatabaseSettings {
        isolation_level: Some(IsolationLevel::RepeatableRead),
        statement_timeout: Some(Duration::from_secs(50)),
        lock_timeout: Some(Duration::from_secs(40)),
        idle_in_transaction_timeout: Some(Duration::from_secs(30)),
        work_mem: Some("7MB".to_owned()),
        maintenance_work_mem: Some("70MB".to_owned()),
        synchronous_commit: Some(SynchronousCommit::Local),
    };
    let usual = "client_min_messages=error idle_in_transaction_session_timeout=1min lock_timeout=0 \
        maintenance_work_mem=64MB statement_timeout=0 synchronous_commit=on transaction_isolation=read committed \
        work_mem=4MB";
    let set = "client_min_messages=error idle_in_transaction_session_timeout=30s lock_timeout=40s \
        maintenance_work_mem=70MB statement_timeout=50s synchronous_commit=local transaction_isolation=repeatable read \
        work_mem=7MB";
    let no_more = "client_min_messages=notice idle_in_transaction_session_timeout=0 lock_timeout=0 \
        maintenance_work_mem=64MB statement_timeout=0 synchronous_commit=on transaction_isolation=read committed \
        work_mem=4MB";
    for (database, expected) in [(DatabaseSettings::default(), usual), (own, set)] {
        for transport in TRANSPORTS {
            let pool = db.database.pool(1).unwrap();
            let config = BatchConfig { database: database.clone(), transport, ..config() };
            let operations = operations_with(&pool, config);
            for _ in 0..3 {
                db.run("TRUNCATE seen").await;
                assert_eq!(operations.batch_insert(stock(0..5, 1)).await.unwrap(), 5);
                assert_eq!(operations.batch_delete(0..5).await.unwrap(), 5);
                assert_eq!(db.text("SELECT string_agg(DISTINCT settings, '; ') FROM seen").await, expected);
                let client = pool.get().await.unwrap();
                let left: String = client.query_one(&settings, &[]).await.unwrap().get(0);
                assert_eq!(left, no_more, "{transport:?}");
            }
        }
    }
}

/// The value of a setting is a text, whatever is in it: at the first transaction of a connection and later.
#[tokio::test]
async fn a_settings_value_is_no_sql() {
    let db = database(TABLE).await;
    db.run(TRACES).await;
    let pool = db.database.pool(1).unwrap();
    let values = [
        "",
        "'",
        "''",
        "\\",
        "\\'",
        "$1",
        "4MB'; DROP TABLE stock; --",
        "4MB\\'; DROP TABLE stock; --",
        "4MB', true) IS NOT NULL; DROP TABLE stock; --",
        "4MB'); DROP TABLE stock; --",
        "\u{2019}; DROP TABLE stock",
    ];
    for value in values {
        let database = DatabaseSettings { work_mem: Some(value.to_owned()), ..DatabaseSettings::default() };
        let operations = operations_with(&pool, BatchConfig { database, ..config() });
        for _ in 0..3 {
            let error = operations.batch_insert(stock(0..5, 1)).await.unwrap_err();
            assert_eq!(error.sqlstate().map(|state| state.code()), Some("22023"), "{value:?}: {error}");
            let error = operations.batch_get(0..5).await.unwrap_err();
            assert_eq!(error.sqlstate().map(|state| state.code()), Some("22023"), "{value:?}: {error}");
            assert!(!error.to_string().contains("DROP"), "{value:?}: {error}");
            // What the connection has prepared by now serves other values, too.
            let database = DatabaseSettings { work_mem: Some("5MB".to_owned()), ..DatabaseSettings::default() };
            let operations = operations_with(&pool, BatchConfig { database, ..config() });
            assert_eq!(operations.batch_upsert(stock(0..5, 1)).await.unwrap().inserted, 5, "{value:?}");
            assert_eq!(operations.batch_delete(0..5).await.unwrap(), 5, "{value:?}");
        }
    }
    // No message can carry NUL.
    let database = DatabaseSettings { work_mem: Some("5MB\0".to_owned()), ..DatabaseSettings::default() };
    let operations = operations_with(&pool, config());
    let error = operations.batch_insert(stock(0..5, 1)).database(database).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(operations.count(Filter::all()).await.unwrap(), 0);
    nothing_is_open(&db).await;
}

/// What connections have prepared may be gone, of one or of all of them: it is noticed once, and nothing is done twice.
#[tokio::test]
async fn connections_may_forget_their_statements() {
    const CONNECTIONS: usize = 4;
    let db = database(TABLE).await;
    db.run(TRACES).await;
    let proxy = Proxy::new(db.server_folder());
    let mut round = 0;
    for forget in ["DEALLOCATE ALL", "DISCARD ALL"] {
        for transport in TRANSPORTS {
            let pool = pool_through(&db, proxy.folder(), CONNECTIONS);
            // What is lost is given up: in each round the settings, and so the names, are others.
            round += 1;
            let has = |bit: u32| round & (1 << bit) != 0;
            let database = DatabaseSettings {
                lock_timeout: has(0).then_some(Duration::from_secs(50)),
                statement_timeout: has(1).then_some(Duration::from_secs(50)),
                work_mem: has(2).then(|| "5MB".to_owned()),
                maintenance_work_mem: has(3).then(|| "50MB".to_owned()),
                idle_in_transaction_timeout: None,
                ..DatabaseSettings::default()
            };
            let operations = operations_with(&pool, BatchConfig { transport, database, ..config() });
            let all = async |sql: Option<&str>| {
                let mut clients = Vec::new();
                for _ in 0..CONNECTIONS {
                    clients.push(pool.get().await.unwrap());
                }
                for client in clients {
                    client.batch_execute(sql.unwrap_or("SELECT 1")).await.unwrap();
                }
            };
            let mut noticed = 0;
            for verb in Verb::ALL {
                let context = format!("{forget} {transport:?} {verb:?}");
                let mut told = Vec::new();
                for call in 0..3 * CONNECTIONS {
                    let forgets = call == CONNECTIONS;
                    verb.prepare(&db, 15).await;
                    all(forgets.then_some(forget)).await;
                    assert!(call > CONNECTIONS || told.is_empty(), "{context}: {told:?}");
                    let answers = Answers::default();
                    let report = verb.run(&operations, stock(0..15, 1), &answers).await.unwrap();
                    verb.check(&db, &stock(0..15, 1), &report, &context).await;
                    told.extend(answers.told());
                }
                // By the first call that comes to a connection with something to lose.
                assert!(told.len() <= 1, "{context}: {told:?}");
                assert!(told.iter().all(|(_, answer)| *answer == ErrorAnswer::ClearCaches), "{context}: {told:?}");
                noticed += told.len();
            }
            assert!(noticed > 0, "{forget} {transport:?}");
            db.run("TRUNCATE stock; INSERT INTO stock SELECT n, 1 FROM generate_series(0, 4) n").await;
            for round in 0..3 * CONNECTIONS {
                let forget = (round == CONNECTIONS).then_some(forget);
                all(forget).await;
                assert_eq!(operations.batch_get(0..5).await.unwrap(), stock(0..5, 1), "{transport:?}");
                all(forget).await;
                assert_eq!(operations.list(Filter::all()).await.unwrap().len(), 5);
                all(forget).await;
                assert_eq!(operations.count(Filter::all()).await.unwrap(), 5);
            }
        }
    }
    nothing_is_open(&db).await;
}

/// Where the server gives no names to statements, as behind some poolers, transactions are opened without.
#[tokio::test]
async fn a_server_may_refuse_names() {
    let db = database(TABLE).await;
    db.run(TRACES).await;
    let proxy = Proxy::new(db.server_folder());
    for transport in TRANSPORTS {
        for verb in Verb::ALL {
            for at in 0..12 {
                let context = format!("{transport:?} {verb:?} at {at}");
                let pool = pool_through(&db, proxy.folder(), 1);
                let operations = operations_with(&pool, BatchConfig { transport, ..config() });
                proxy.set([Trap { way: Way::ToServer, at, harm: Harm::Refuse("PREPARE") }]);
                for _ in 0..3 {
                    verb.prepare(&db, 15).await;
                    let answers = Answers::default();
                    let report = verb.run(&operations, stock(0..15, 1), &answers).await.unwrap();
                    verb.check(&db, &stock(0..15, 1), &report, &context).await;
                    assert!(answers.told().is_empty(), "{context}: {:?}", answers.told());
                    assert_eq!(
                        operations.count(Filter::all()).await.unwrap(),
                        u64::try_from(db.number("SELECT count(*) FROM stock").await).unwrap(),
                        "{context}"
                    );
                }
                proxy.set([]);
            }
        }
    }
    nothing_is_open(&db).await;
}
