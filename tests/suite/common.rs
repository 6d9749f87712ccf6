//! What every test needs: a database of its own, and the ways to run a call.

use batchkit::{ExecutionStrategy, Transport};
use batchkit_testbed::server::{Database, Server};
use deadpool_postgres::Pool;

/// A database of the test's own, with tables. It lives as long as this value.
pub(crate) struct Db {
    pub(crate) pool: Pool,
    _database: Database,
}

impl Db {
    /// Runs statements.
    pub(crate) async fn run(&self, sql: &str) {
        self.pool.get().await.unwrap().batch_execute(sql).await.unwrap();
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
    let db = Db { pool, _database: database };
    db.run(tables).await;
    db
}

/// Every way in which rows can travel.
pub(crate) const TRANSPORTS: [Transport; 5] =
    [Transport::Auto, Transport::Copy, Transport::UnnestRows, Transport::UnnestColumns, Transport::Single];

/// Every strategy, with a batch size that makes several chunks of a hundred rows.
pub(crate) const STRATEGIES: [(ExecutionStrategy, usize); 3] =
    [(ExecutionStrategy::SingleQuery, 7), (ExecutionStrategy::Chunked, 7), (ExecutionStrategy::Chunked, 1_000)];
