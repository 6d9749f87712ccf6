//! What every test needs: a database of its own, and the ways to run a call.

use std::fmt::Display;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use batchkit::{
    BatchConfig, BatchModel, BatchOperations, BatchSize, Error, ErrorAnswer, ErrorContext, ExecutionStrategy, Outcome,
    Report, Transport,
};
use batchkit_testbed::server::{Database, Server};
use deadpool_postgres::Pool;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

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

/// What was answered; an error fails the test and tells where.
pub(crate) fn fine<T, E: Display>(result: Result<T, E>, context: &str) -> T {
    result.map_err(|error| format!("{context}: {error}")).unwrap()
}

/// Waits until nothing is left behind: no backend of the test's database works or has a transaction open, and no
/// lock is held. (The one that asks looks away from itself.) A backend whose connection was cut takes a moment to
/// notice; one that never ends fails the test.
pub(crate) async fn quiet(db: &Db, context: &str) {
    const LEFT: &str = "SELECT coalesce(string_agg(concat_ws(' ', a.pid, a.state, a.query, \
        (SELECT string_agg(l.locktype || ' ' || l.mode, ', ') FROM pg_locks l WHERE l.pid = a.pid)), '; '), '') \
        FROM pg_stat_activity a WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() \
        AND a.backend_type = 'client backend' \
        AND (a.state <> 'idle' OR EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid))";
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let left = db.text(LEFT).await;
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{context}: left behind: {left}");
        tokio::task::yield_now().await;
    }
}

/// A pool of connections to the test's database through a proxy's socket, known as batchkit's.
pub(crate) fn pool_through(db: &Db, folder: &Path, max_size: usize) -> Pool {
    let mut config = tokio_postgres::Config::new();
    config.host_path(folder).port(5432).user("postgres").dbname(db.database.name()).application_name("batchkit");
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

/// Runs `check` with so many generated values, the same ones each time, on the database that `start` makes.
/// `PROPTEST_CASES` sets another number of them.
pub(crate) fn generated<T: std::fmt::Debug>(
    cases: u32,
    values: impl Strategy<Value = T>,
    start: impl Future<Output = Db>,
    check: impl AsyncFn(&Db, T),
) {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 1_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let db = runtime.block_on(start);
    let result = runner.run(&values, |value| {
        runtime.block_on(check(&db, value));
        Ok(())
    });
    // The message has the smallest value that fails.
    result.map_err(|error| error.to_string()).unwrap();
}

/// What was answered to each error of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers {
    told: Arc<Mutex<Vec<Told>>>,
    until: Arc<Mutex<Option<Receiver<()>>>>,
}

/// An error's SQLSTATE, and what was answered to it.
pub(crate) type Told = (Option<String>, ErrorAnswer);

impl Answers {
    /// Answers of a call that does not go on behind its first error until it is told to.
    pub(crate) fn that_wait() -> (Self, Sender<()>) {
        let (go_on, until) = std::sync::mpsc::channel();
        (Answers { until: Arc::new(Mutex::new(Some(until))), ..Answers::default() }, go_on)
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    /// How many of the errors have this SQLSTATE.
    pub(crate) fn count(&self, code: &str) -> usize {
        self.told().iter().filter(|(seen, _)| seen.as_deref() == Some(code)).count()
    }
}

/// An error callback that takes down what is answered.
pub(crate) fn record(answers: &Answers) -> impl Fn(&Error, &ErrorContext) + Send + Sync + 'static {
    let answers = answers.clone();
    move |error, context| {
        let code = error.sqlstate().map(|state| state.code().to_owned());
        answers.told.lock().unwrap().push((code, context.answer));
        if let Some(until) = answers.until.lock().unwrap().take() {
            // A test that has failed does not tell any more. The thread's other tasks go on elsewhere meanwhile.
            let _ = tokio::task::block_in_place(|| until.recv());
        }
    }
}

/// No connection of the database has a transaction that nobody goes on with.
pub(crate) async fn nothing_is_open(db: &Db) {
    let open = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname = current_database()";
    assert_eq!(db.number(open).await, 0);
}

/// Looks again and again until there is something to see; a test that waits in vain fails.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            // Not to be right, but to leave the processor to those that are waited for.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(60), looking).await;
    assert!(seen.is_ok(), "waited in vain for {what}");
    seen.unwrap()
}

/// Numbered gates, which are advisory locks: whoever wants to pass one waits until it is opened.
pub(crate) struct Gate(tokio_postgres::Client);

impl Gate {
    /// Closes the gates with these numbers.
    pub(crate) async fn close(db: &Db, numbers: std::ops::RangeInclusive<i32>) -> Self {
        let client = db.database.connect().await.unwrap();
        let sql = format!("SELECT pg_advisory_lock(n) FROM generate_series({}, {}) n", numbers.start(), numbers.end());
        client.batch_execute(&sql).await.unwrap();
        Gate(client)
    }

    /// Waits until so many wait at a gate; the process id of one of them.
    pub(crate) async fn reached_by(&self, waiting: i64, number: i32) -> u32 {
        let sql = format!(
            "SELECT count(*), max(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = {number} AND NOT granted \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        );
        let pid = until("somebody at the gate", async || {
            let row = self.0.query_one(&sql, &[]).await.unwrap();
            (row.get::<_, i64>(0) >= waiting).then(|| row.get::<_, i32>(1))
        });
        u32::try_from(pid.await).unwrap()
    }

    /// Waits until somebody waits at a gate; its process id.
    pub(crate) async fn reached(&self, number: i32) -> u32 {
        self.reached_by(1, number).await
    }

    /// Opens a gate.
    pub(crate) async fn open(&self, number: i32) {
        let row = self.0.query_one(&format!("SELECT pg_advisory_unlock({number})"), &[]).await.unwrap();
        assert!(row.get::<_, bool>(0), "the gate was closed");
    }
}

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
