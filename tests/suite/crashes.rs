//! Row 5 of the fault table: the postmaster, or one backend, is killed again and again while rows go in.

use std::time::Duration;

use batchkit::{BatchConfig, BatchModel, BatchOperations, BatchSize, ErrorKind, ExecutionStrategy, Outcome, Report};
use batchkit_testbed::server::{Database, Server};

use crate::common::until;

#[derive(Debug, Clone, BatchModel)]
#[batch(table = "lines")]
struct Line {
    n: i32,
}

const ROWS: i32 = 3_000;

/// Every row that the report says is in is there once, every other one is not; what cannot be told is one
/// chunk, and is told so.
async fn compare(database: &Database, report: &Report, context: &str) {
    let rows = ask(database, "SELECT n, count(*) FROM lines GROUP BY n").await;
    let stored: std::collections::HashMap<i32, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    for (n, outcome) in (0..).zip(report.outcomes().unwrap()) {
        let times = stored.get(&n).copied().unwrap_or(0);
        match outcome {
            Outcome::Inserted => assert_eq!(times, 1, "{context}: row {n}"),
            Outcome::Unknown => assert!(times <= 1, "{context}: row {n}"),
            _ => assert_eq!(times, 0, "{context}: row {n}"),
        }
    }
    assert_eq!(report.total(), u64::try_from(ROWS).unwrap(), "{context}");
}

/// What a server answers that may be about to recover: asked until it does.
async fn ask(database: &Database, sql: &str) -> Vec<tokio_postgres::Row> {
    until("the server to recover", async || database.connect().await.ok()?.query(sql, &[]).await.ok()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_chunks_are_there_after_every_crash() {
    let mut server = Server::start().await.unwrap();
    let database = server.create_database("crashes").await.unwrap();
    let pool = database.pool(4).unwrap();
    database.connect().await.unwrap().batch_execute("CREATE TABLE lines (n int4 NOT NULL)").await.unwrap();
    let config = BatchConfig {
        batch_size: BatchSize::Rows(10),
        retry_count: 12,
        retry_delay: Duration::from_millis(50),
        execution_strategy: ExecutionStrategy::Parallel,
        max_workers: 2,
        ..BatchConfig::default()
    };
    let operations = BatchOperations::<Line>::builder(pool.clone()).config(config).build().unwrap();
    operations.check_schema().await.unwrap();
    for round in 0..6 {
        let postmaster = round % 2 == 0;
        let context = format!("round {round}, the {} is killed", if postmaster { "postmaster" } else { "backend" });
        // The server may notice late that a backend of the round before has crashed, and end all others.
        ask(&database, "TRUNCATE lines").await;
        let running = operations.clone();
        let call = tokio::spawn(async move { running.batch_insert((0..ROWS).map(|n| Line { n })).report().await });
        // Some chunks are in, others are on their way.
        let victim = loop {
            let sql = "SELECT (SELECT count(*) FROM lines), (SELECT max(pid) FROM pg_stat_activity \
                       WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend')";
            let row = &ask(&database, sql).await[0];
            if let (100.., Some(pid)) = (row.get::<_, i64>(0), row.get::<_, Option<i32>>(1)) {
                break u32::try_from(pid).unwrap();
            }
        };
        if postmaster {
            server.kill(server.pid().unwrap()).unwrap();
            server.start_again().unwrap();
        } else {
            // It may have ended by itself; then nothing has crashed.
            let _ = server.kill(victim);
        }
        let result = call.await.unwrap();
        let report = match &result {
            Ok(report) => {
                assert_eq!(report.unknown(), 0, "{context}");
                report
            }
            Err(error) => {
                let report = error.report().unwrap();
                assert!(error.kind() != ErrorKind::CommitUnknown || report.unknown() > 0, "{context}: {error}");
                report
            }
        };
        compare(&database, report, &context).await;
    }
}
