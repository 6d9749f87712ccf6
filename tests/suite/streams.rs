//! Streams: few rows are held, whatever ends early ends with an error, and nothing stays behind at the server.

use std::time::Duration;

use batchkit::{
    BatchConfig, BatchModel, BatchOperations, DatabaseSettings, ErrorKind, Filter, IsolationLevel, RowStream,
};
use deadpool_postgres::Pool;
use futures_util::{StreamExt, TryStreamExt};

use crate::common::{Db, database, poll_times, pool_through};
use crate::proxy::{Harm, Proxy, Trap, Way};

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "lines")]
struct Line {
    #[batch(key)]
    id: i32,
    text: String,
}

/// A view whose every row leaves a trace where others see it: an advisory lock, until the transaction ends.
#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "traced")]
struct Traced {
    id: i32,
}

/// A view that does something at each row.
#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "odd")]
struct Odd {
    id: i32,
}

const TABLES: &str = "CREATE TABLE lines (id int4 PRIMARY KEY, text text NOT NULL);
    CREATE VIEW traced AS SELECT id FROM lines WHERE pg_try_advisory_xact_lock(id)";

async fn lines(rows: i32) -> Db {
    let db = database(TABLES).await;
    db.run(&format!("INSERT INTO lines SELECT n, 'line ' || n FROM generate_series(1, {rows}) n")).await;
    db
}

fn stream<M: batchkit::ReadRow>(pool: &Pool) -> RowStream<'static, M> {
    BatchOperations::<M>::new(pool.clone()).list(Filter::all()).stream()
}

/// Whether the other sessions of this database do nothing, and hold no transaction open.
const QUIET: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'";

/// Waits until the database says 0.
async fn until_none(db: &Db, sql: &str) {
    while db.number(sql).await != 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn every_row_comes_once_and_in_order() {
    let db = lines(50).await;
    let ids = |lines: &[Line]| lines.iter().map(|line| line.id).collect::<Vec<_>>();
    let operations = BatchOperations::<Line>::new(db.pool.clone());
    for rows in [0, 1, 9, 10, 11, 50] {
        let list = || operations.list(Line::FIELDS.id.le(rows)).order_by(Line::FIELDS.id.desc());
        let expected: Vec<i32> = (1..=rows).rev().collect();
        for size in [1, 10, 1_000] {
            let all: Vec<Line> = list().stream().fetch_size(size).try_collect().await.unwrap();
            assert_eq!(ids(&all), expected, "{rows} rows by {size}");
            let chunks: Vec<Vec<Line>> = list().stream().fetch_size(size).chunks().try_collect().await.unwrap();
            assert_eq!(ids(&chunks.concat()), expected, "{rows} rows by {size}");
            assert!(chunks.iter().all(|chunk| (1..=usize::try_from(size).unwrap()).contains(&chunk.len())));
        }
        let last: Vec<Line> =
            list().before(&Line { id: 0, text: String::new() }).limit(3).stream().try_collect().await.unwrap();
        assert_eq!(ids(&last), expected[expected.len().saturating_sub(3)..]);
        until_none(&db, QUIET).await;
    }
    // It stays at its end.
    let mut stream = stream::<Line>(&db.pool);
    while stream.next().await.is_some() {}
    assert!(stream.next().await.is_none());
}

/// It may be sent to another task, and polled without being pinned.
#[tokio::test]
async fn a_stream_goes_to_another_task() {
    let db = lines(30).await;
    let mut stream = stream::<Line>(&db.pool).fetch_size(4);
    let count = tokio::spawn(async move {
        let mut count = 0;
        while let Some(line) = stream.next().await {
            line.unwrap();
            count += 1;
        }
        count
    });
    assert_eq!(count.await.unwrap(), 30);
}

/// The server has made no row that is not given out, being given out, or waiting as the one piece after that.
#[tokio::test]
async fn a_slow_reader_holds_the_server_back() {
    const SIZE: i64 = 5;
    let db = lines(200).await;
    let made = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let mut stream = stream::<Traced>(&db.pool_with("")).fetch_size(5);
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle in transaction'";
    for taken in 1..=40 {
        assert_eq!(stream.next().await.unwrap().unwrap().id, taken);
        let pieces = (i64::from(taken) + SIZE - 1) / SIZE + 1;
        // The server has made the next piece, and waits with an open transaction: nothing is asked of it.
        while db.number(made).await != pieces * SIZE || db.number(waiting).await != 0 {
            assert!(db.number(made).await <= pieces * SIZE, "after {taken} rows");
            tokio::task::yield_now().await;
        }
    }
    drop(stream);
    until_none(&db, made).await;
}

/// Wide rows come in pieces of fewer.
#[tokio::test]
async fn wide_rows_make_small_pieces() {
    let db = database(TABLES).await;
    db.run("INSERT INTO lines SELECT n, repeat('x', 3000000) FROM generate_series(1, 9) n").await;
    for size in [1_000, 4] {
        let chunks: Vec<Vec<Line>> = stream::<Line>(&db.pool).fetch_size(size).chunks().try_collect().await.unwrap();
        assert_eq!(chunks.iter().map(Vec::len).sum::<usize>(), 9, "by {size}");
        let lengths: Vec<usize> = chunks.iter().map(Vec::len).collect();
        assert!(lengths.iter().all(|&length| length <= 2), "by {size}: {lengths:?}");
    }
}

/// A pool of one connection: what is dropped gives it back or frees its place, clean, whatever it was at.
#[tokio::test]
async fn a_stream_dropped_anywhere_leaves_nothing_behind() {
    let db = lines(23).await;
    let pool = Pool::builder(deadpool_postgres::Manager::new(db.database.config().clone(), tokio_postgres::NoTls))
        .max_size(1)
        .build()
        .unwrap();
    let operations = BatchOperations::<Line>::new(pool.clone());
    for size in [1, 5, 100] {
        // At every row, and behind the last.
        for taken in 0..=24 {
            let mut stream = operations.list(Filter::all()).stream().fetch_size(size);
            for _ in 0..taken {
                stream.next().await;
            }
            drop(stream);
            let left = operations.count(Filter::all()).await.unwrap();
            assert_eq!(left, 23, "{taken} rows by {size}");
        }
        // At every poll.
        for polls in 0.. {
            let mut stream = operations.list(Filter::all()).stream().fetch_size(size);
            let all = poll_times(Box::pin(async { while stream.next().await.is_some() {} }), polls).await;
            drop(stream);
            assert_eq!(operations.count(Filter::all()).await.unwrap(), 23, "{polls} polls by {size}");
            if all.is_some() {
                break;
            }
        }
        until_none(&db, QUIET).await;
    }
}

/// The server is in the middle of a row that it would take an hour for.
#[tokio::test]
async fn a_stream_dropped_while_the_server_works_ends_the_work() {
    let db = lines(5).await;
    db.run("CREATE VIEW odd AS SELECT id FROM lines WHERE id < 3 OR pg_sleep(3600) IS NULL").await;
    let sleeping =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    let pool = db.pool_with("");
    let operations = BatchOperations::<Odd>::new(pool.clone());
    let mut stream = operations.list(Filter::all()).stream().fetch_size(1);
    for id in 1..3 {
        assert_eq!(stream.next().await.unwrap().unwrap().id, id);
    }
    while db.number(sleeping).await == 0 {
        tokio::task::yield_now().await;
    }
    drop(stream);
    until_none(&db, sleeping).await;
    until_none(&db, QUIET).await;

    // A fetch that takes too long is ended in the same way, and told.
    let timeout = Duration::from_millis(100);
    let mut stream = operations.list(Filter::all()).timeout(timeout).stream().fetch_size(1);
    let rows: Vec<Result<Odd, batchkit::Error>> = stream.by_ref().collect().await;
    assert_eq!(rows.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::Timeout);
    assert!(stream.next().await.is_none());
    until_none(&db, sleeping).await;
    until_none(&db, QUIET).await;
}

/// The task that reads is gone with its runtime; that is no end.
#[test]
fn a_stream_whose_runtime_ends_is_not_at_its_end() {
    let outer = tokio::runtime::Runtime::new().unwrap();
    let db = outer.block_on(lines(50));
    let inner = tokio::runtime::Runtime::new().unwrap();
    let pool = db.pool_with("");
    let mut rows = stream::<Line>(&pool).fetch_size(5);
    inner.block_on(rows.next()).unwrap().unwrap();
    drop(inner);
    let rest: Vec<Result<Line, batchkit::Error>> = outer.block_on(rows.by_ref().collect());
    assert!(rest.len() < 49);
    assert_eq!(rest.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::Connection);
    assert!(outer.block_on(rows.next()).is_none());
}

#[tokio::test]
async fn a_killed_backend_ends_the_stream_with_an_error() {
    let db = lines(100).await;
    let operations = BatchOperations::<Line>::new(db.pool_with(""));
    for taken in [0, 1, 7, 40, 99] {
        let mut stream = operations.list(Filter::all()).stream().fetch_size(3);
        for _ in 0..taken {
            stream.next().await.unwrap().unwrap();
        }
        let kill = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
            AND backend_type = 'client backend'";
        let killed = db.number(kill).await;
        let rest: Vec<Result<Line, batchkit::Error>> = stream.by_ref().collect().await;
        let good = rest.iter().filter(|row| row.is_ok()).count();
        match killed {
            // Nothing was begun yet, or everything was over.
            0 => assert_eq!(taken + good, 100, "after {taken}"),
            _ => {
                let error = rest.last().unwrap().as_ref().unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::Connection | ErrorKind::Database), "{error}");
                assert_eq!((error.table(), rest.len()), (Some("lines"), good + 1), "after {taken}");
                assert!(taken + good < 100, "after {taken}");
            }
        }
        assert!(stream.next().await.is_none());
        // What was killed is not in the pool.
        assert_eq!(operations.count(Filter::all()).await.unwrap(), 100);
    }
}

/// Cut at every message, both ways: all rows, or an error behind rows that are right.
#[tokio::test]
async fn a_cut_stream_is_never_silently_short() {
    let db = lines(10).await;
    let proxy = Proxy::new(db.server_folder());
    let mut failed = 0;
    for way in [Way::ToServer, Way::ToClient] {
        for harm in [Harm::CutBefore, Harm::CutInside, Harm::CutAfter] {
            for at in 0.. {
                let pool = pool_through(&db, proxy.folder(), 1);
                proxy.set(None);
                let warm: Vec<Line> = stream::<Line>(&pool).fetch_size(3).try_collect().await.unwrap();
                proxy.set(Some(Trap { way, at, harm }));
                let rows: Vec<Result<Line, batchkit::Error>> = stream::<Line>(&pool).fetch_size(3).collect().await;
                let untouched = proxy.set_still() > 0;
                proxy.set(None);
                let context = format!("{harm:?} at {at} {way:?}");
                let good: Vec<Line> = rows.iter().filter_map(|row| row.as_ref().ok().cloned()).collect();
                assert_eq!(good, warm[..good.len()], "{context}");
                if rows.iter().any(Result::is_err) {
                    assert_eq!(rows.len(), good.len() + 1, "{context}");
                    failed += 1;
                } else {
                    assert_eq!(good.len(), 10, "{context}");
                }
                if untouched {
                    break;
                }
            }
        }
    }
    assert!(failed > 20, "only {failed} cuts were felt");
}

#[tokio::test]
async fn errors_of_the_server_end_the_stream() {
    let db = lines(9).await;
    db.run("CREATE VIEW odd AS SELECT 12 / (6 - id) AS id FROM lines").await;
    let mut stream = stream::<Odd>(&db.pool).fetch_size(2);
    let rows: Vec<Result<Odd, batchkit::Error>> = stream.by_ref().collect().await;
    assert_eq!(rows.iter().filter(|row| row.is_ok()).count(), 4, "the fetch that fails gives no rows");
    let error = rows.last().unwrap().as_ref().unwrap_err();
    assert_eq!(error.sqlstate().map(tokio_postgres::error::SqlState::code), Some("22012"));
    assert!(stream.next().await.is_none());
    until_none(&db, QUIET).await;
}

#[tokio::test]
async fn values_that_no_field_can_hold_end_the_stream() {
    let db = lines(9).await;
    // A view does not tell that a column can be NULL.
    db.run("CREATE VIEW odd AS SELECT nullif(id, 4) AS id FROM lines").await;
    let rows: Vec<Result<Odd, batchkit::Error>> = stream::<Odd>(&db.pool).collect().await;
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[3].as_ref().unwrap_err().kind(), ErrorKind::Decode);
    let chunks: Vec<Result<Vec<Odd>, batchkit::Error>> = stream::<Odd>(&db.pool).fetch_size(3).chunks().collect().await;
    assert_eq!((chunks.len(), chunks[0].as_ref().unwrap().len()), (2, 3));
    assert_eq!(chunks[1].as_ref().unwrap_err().kind(), ErrorKind::Decode);
    until_none(&db, QUIET).await;
}

/// All rows are of one moment, and nothing can be written.
#[tokio::test]
async fn a_stream_is_one_snapshot_and_read_only() {
    let db = lines(20).await;
    let mut stream_of_lines = stream::<Line>(&db.pool).fetch_size(2);
    stream_of_lines.next().await.unwrap().unwrap();
    db.run("DELETE FROM lines WHERE id > 10").await;
    assert_eq!(stream_of_lines.count().await, 19);
    db.run(
        "CREATE FUNCTION write() RETURNS bool LANGUAGE sql VOLATILE AS
            'INSERT INTO lines VALUES (99, ''written'') RETURNING true';
         CREATE VIEW odd AS SELECT id FROM lines WHERE write()",
    )
    .await;
    let error = stream::<Odd>(&db.pool).next().await.unwrap().unwrap_err();
    assert_eq!(error.sqlstate().map(tokio_postgres::error::SqlState::code), Some("25006"));
}

/// The settings of the transaction hold, but for the one that would end a slow reader's.
#[tokio::test]
async fn the_settings_hold() {
    let db = database(
        "CREATE TABLE lines (id int4 PRIMARY KEY, text text NOT NULL);
         CREATE VIEW settings AS SELECT name || '=' || setting AS text FROM pg_settings WHERE name IN
            ('work_mem', 'transaction_isolation', 'transaction_read_only', 'idle_in_transaction_session_timeout')",
    )
    .await;
    #[derive(Debug, Clone, PartialEq, BatchModel)]
    #[batch(table = "settings")]
    struct Setting {
        text: String,
    }
    let database = DatabaseSettings {
        work_mem: Some("7MB".to_owned()),
        isolation_level: Some(IsolationLevel::Serializable),
        ..DatabaseSettings::default()
    };
    let config = BatchConfig { database, ..BatchConfig::default() };
    let operations = BatchOperations::<Setting>::builder(db.pool.clone()).config(config).build().unwrap();
    let rows: Vec<Setting> = operations.list(Filter::all()).order_by("text").stream().try_collect().await.unwrap();
    assert_eq!(
        rows.iter().map(|row| row.text.as_str()).collect::<Vec<_>>(),
        [
            "idle_in_transaction_session_timeout=0",
            "transaction_isolation=serializable",
            "transaction_read_only=on",
            "work_mem=7168"
        ]
    );
}

#[tokio::test]
async fn what_a_stream_cannot_do_is_refused() {
    let db = lines(3).await;
    let operations = BatchOperations::<Line>::new(db.pool.clone());
    let mut client = db.pool.get().await.unwrap();
    let mut transaction = client.transaction().await.unwrap();
    let mut within = operations.list(Filter::all()).within(&mut transaction).stream();
    assert_eq!(within.next().await.unwrap().unwrap_err().kind(), ErrorKind::Config);
    assert!(within.next().await.is_none());
    let mut none = operations.list(Filter::all()).stream().fetch_size(0);
    assert_eq!(none.next().await.unwrap().unwrap_err().kind(), ErrorKind::Config);
    let mut unknown = operations.list(Filter::all()).order_by("texd").stream();
    assert_eq!(unknown.next().await.unwrap().unwrap_err().kind(), ErrorKind::UnknownField);
    db.pool.close();
    let mut closed = operations.list(Filter::all()).stream();
    assert_eq!(closed.next().await.unwrap().unwrap_err().kind(), ErrorKind::Pool);
}
