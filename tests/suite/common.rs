//! What every test needs: a database of its own, and the ways to run a call.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::task::Poll;

use batchkit::{BatchConfig, BatchModel, BatchOperations, BatchSize, ExecutionStrategy, Outcome, Report, Transport};
use batchkit_testbed::server::{Database, Server};
use deadpool_postgres::Pool;

/// A database of the test's own, with tables. It lives as long as this value.
pub(crate) struct Db {
    pub(crate) pool: Pool,
    pub(crate) database: Database,
}

impl Db {
    /// Runs statements.
    pub(crate) async fn run(&self, sql: &str) {
        self.pool.get().await.unwrap().batch_execute(sql).await.unwrap();
    }

    /// A pool of connections with these options.
    pub(crate) fn pool_with(&self, options: &str) -> Pool {
        let mut config = self.database.config().clone();
        config.options(options);
        let manager = deadpool_postgres::Manager::new(config, tokio_postgres::NoTls);
        Pool::builder(manager).max_size(4).build().unwrap()
    }

    /// The folder of the server's socket.
    pub(crate) fn server_folder(&self) -> &Path {
        let hosts = self.database.config().get_hosts();
        let socket = hosts.iter().find_map(|host| match host {
            tokio_postgres::config::Host::Unix(folder) => Some(folder),
            tokio_postgres::config::Host::Tcp(_) => None,
        });
        // The proxy speaks to sockets only.
        socket.unwrap()
    }

    /// The one number that a query answers.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.pool.get().await.unwrap().query_one(sql, &[]).await.unwrap().get(0)
    }

    /// The one text that a query answers.
    pub(crate) async fn text(&self, sql: &str) -> String {
        self.pool.get().await.unwrap().query_one(sql, &[]).await.unwrap().get(0)
    }
}

/// A fresh database with these tables in it.
pub(crate) async fn database(tables: &str) -> Db {
    let server = Server::shared().await.unwrap();
    let database = server.create_database("suite").await.unwrap();
    let pool = database.pool(4).unwrap();
    let db = Db { pool, database };
    db.run(tables).await;
    db
}

/// A pool of connections to the test's database through a proxy's socket.
pub(crate) fn pool_through(db: &Db, folder: &Path, max_size: usize) -> Pool {
    let mut config = tokio_postgres::Config::new();
    config.host_path(folder).port(5432).user("postgres").dbname(db.database.name());
    let manager = deadpool_postgres::Manager::new(config, tokio_postgres::NoTls);
    Pool::builder(manager).max_size(max_size).build().unwrap()
}

/// Polls a future so many times, whenever it asks for it; its answer, if it had one by then.
pub(crate) async fn poll_times<F: Future + Unpin>(mut future: F, times: usize) -> Option<F::Output> {
    let mut polls = 0;
    std::future::poll_fn(move |context| {
        if polls == times {
            return Poll::Ready(None);
        }
        polls += 1;
        match Pin::new(&mut future).poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            // The last poll was in vain: nobody waits for the next.
            Poll::Pending if polls == times => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Every way in which rows can travel.
pub(crate) const TRANSPORTS: [Transport; 5] =
    [Transport::Auto, Transport::Copy, Transport::UnnestRows, Transport::UnnestColumns, Transport::Single];

/// Every strategy, with a batch size that makes several chunks of a hundred rows.
pub(crate) const STRATEGIES: [(ExecutionStrategy, usize); 6] = [
    (ExecutionStrategy::SingleQuery, 7),
    (ExecutionStrategy::Chunked, 7),
    (ExecutionStrategy::Chunked, 1_000),
    (ExecutionStrategy::Parallel, 7),
    (ExecutionStrategy::Pipelined, 7),
    (ExecutionStrategy::Optimistic, 7),
];

/// Every transport with every strategy, and its name.
pub(crate) fn ways() -> impl Iterator<Item = (String, BatchConfig)> {
    TRANSPORTS.into_iter().flat_map(|transport| {
        STRATEGIES.into_iter().map(move |(execution_strategy, rows)| {
            let config = BatchConfig {
                transport,
                execution_strategy,
                batch_size: BatchSize::Rows(rows),
                ..BatchConfig::default()
            };
            (format!("{transport:?} {execution_strategy:?} {rows}"), config)
        })
    })
}

pub(crate) fn operations<M: BatchModel>(db: &Db, config: BatchConfig) -> BatchOperations<M> {
    BatchOperations::builder(db.pool.clone()).config(config).build().unwrap()
}

/// The positions of the rows with this outcome.
pub(crate) fn at(report: &Report, outcome: Outcome) -> Vec<usize> {
    report.positions(outcome).collect()
}
