//! The cut sweep: the connection is cut at every message, both ways, before, inside and behind it. Each row
//! is applied exactly once all the same, on a table that would take it twice.

use std::time::Duration;

use batchkit::{BatchConfig, BatchModel, BatchOperations, BatchSize, ExecutionStrategy, Transport};
use deadpool_postgres::Pool;

use crate::common::{Db, database, pool_through};
use crate::proxy::{Harm, Proxy, Trap, Way};

/// Nothing keeps this table from holding a row twice.
#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "lines")]
struct Line {
    n: i32,
    text: String,
}

/// For the verbs that need a key.
#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "counters")]
struct Counter {
    #[batch(key)]
    id: i32,
    /// A write that is applied twice is told by its trace.
    value: i32,
}

const TABLES: &str = "
    CREATE TABLE lines (n int4 NOT NULL, text text NOT NULL);
    CREATE TABLE counters (id int4 PRIMARY KEY, value int4 NOT NULL);
    CREATE TABLE traces (id int4 NOT NULL, what text NOT NULL);
    CREATE FUNCTION trace() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO traces VALUES (coalesce(NEW.id, OLD.id), TG_OP); RETURN NULL; END';
    CREATE TRIGGER trace AFTER INSERT OR UPDATE OR DELETE ON counters FOR EACH ROW EXECUTE FUNCTION trace()";

/// One thing that is done under fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Insert(Transport),
    InsertReturning,
    Update,
    Upsert,
    Delete,
}

/// Two chunks of rows.
const ROWS: i32 = 6;

fn config(strategy: ExecutionStrategy) -> BatchConfig {
    BatchConfig {
        execution_strategy: strategy,
        batch_size: BatchSize::Rows(3),
        retry_delay: Duration::from_millis(1),
        ..BatchConfig::default()
    }
}

impl Deed {
    /// The same start for each try.
    async fn prepare(self, db: &Db) {
        db.run(&format!(
            "TRUNCATE lines, counters, traces; INSERT INTO counters SELECT n, 0 FROM generate_series(0, {}) n; TRUNCATE traces",
            ROWS - 1
        ))
        .await;
    }

    /// Does it, on connections of `pool`.
    async fn run(self, pool: &Pool, strategy: ExecutionStrategy) {
        let lines = BatchOperations::<Line>::builder(pool.clone()).config(config(strategy)).build().unwrap();
        let counters = BatchOperations::<Counter>::builder(pool.clone()).config(config(strategy)).build().unwrap();
        let rows: Vec<Line> = (0..ROWS).map(|n| Line { n, text: format!("line {n}") }).collect();
        let values = |first| (first..first + ROWS).map(|id| Counter { id, value: 7 }).collect::<Vec<_>>();
        let done = match self {
            Deed::Insert(transport) => lines.batch_insert(&rows).transport(transport).await,
            Deed::InsertReturning => counters.batch_insert(values(100)).returning().await.map(|rows| rows.len() as u64),
            Deed::Update => counters.batch_update(values(0)).await,
            Deed::Upsert => counters.batch_upsert(values(3)).await.map(|done| done.inserted + done.updated),
            Deed::Delete => counters.batch_delete(0..ROWS).await,
        };
        // One cut is to be survived, so there is no error, and the count is the truth.
        assert_eq!(done.unwrap(), 6, "{self:?}");
    }

    /// Every row was applied once.
    async fn check(self, db: &Db, context: &str) {
        let expected = match self {
            Deed::Insert(_) => ("0,1,2,3,4,5", "0 0,1 0,2 0,3 0,4 0,5 0", ""),
            Deed::InsertReturning => (
                "",
                "0 0,1 0,2 0,3 0,4 0,5 0,100 7,101 7,102 7,103 7,104 7,105 7",
                "100 INSERT,101 INSERT,102 INSERT,103 INSERT,104 INSERT,105 INSERT",
            ),
            Deed::Update => ("", "0 7,1 7,2 7,3 7,4 7,5 7", "0 UPDATE,1 UPDATE,2 UPDATE,3 UPDATE,4 UPDATE,5 UPDATE"),
            Deed::Upsert => {
                ("", "0 0,1 0,2 0,3 7,4 7,5 7,6 7,7 7,8 7", "3 UPDATE,4 UPDATE,5 UPDATE,6 INSERT,7 INSERT,8 INSERT")
            }
            Deed::Delete => ("", "", "0 DELETE,1 DELETE,2 DELETE,3 DELETE,4 DELETE,5 DELETE"),
        };
        let lines = db.text("SELECT coalesce(string_agg(n::text, ',' ORDER BY n), '') FROM lines").await;
        let counters =
            db.text("SELECT coalesce(string_agg(id || ' ' || value, ',' ORDER BY id), '') FROM counters").await;
        let traces =
            db.text("SELECT coalesce(string_agg(id || ' ' || what, ',' ORDER BY id, what), '') FROM traces").await;
        assert_eq!((lines.as_str(), counters.as_str(), traces.as_str()), expected, "{self:?} {context}");
        // A connection that froze right behind its BEGIN holds nothing; nobody can know of it yet.
        let open = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' \
                    AND backend_xid IS NOT NULL AND datname = current_database()";
        assert_eq!(db.number(open).await, 0, "{self:?} {context}");
    }
}

/// Cuts at every message of the deed. `warm` starts with connections and statements that are there already.
async fn sweep(deed: Deed, strategy: ExecutionStrategy, warm: bool) {
    let db = database(TABLES).await;
    let proxy = Proxy::new(db.server_folder());
    for (way, harms) in [
        (Way::ToServer, &[Harm::CutBefore, Harm::CutInside, Harm::CutAfter][..]),
        (Way::ToClient, &[Harm::CutBefore, Harm::CutInside, Harm::CutAfter]),
    ] {
        for &harm in harms {
            // Until the trap is set behind the last message, and nothing happens to it.
            for at in 0.. {
                let pool = pool_through(&db, proxy.folder(), 2);
                deed.prepare(&db).await;
                proxy.set(None);
                if warm {
                    deed.run(&pool, strategy).await;
                    deed.prepare(&db).await;
                }
                proxy.set(Some(Trap { way, at, harm }));
                deed.run(&pool, strategy).await;
                let untouched = proxy.is_set();
                proxy.set(None);
                deed.check(&db, &format!("{strategy:?} warm: {warm}, {harm:?} at {at} {way:?}")).await;
                if untouched {
                    break;
                }
            }
        }
    }
}

/// A sweep for each deed, cold and warm.
macro_rules! sweeps {
    ($($test:ident: $deed:expr;)*) => {$(
        #[tokio::test]
        async fn $test() {
            sweep($deed, ExecutionStrategy::Chunked, false).await;
            sweep($deed, ExecutionStrategy::Chunked, true).await;
            sweep($deed, ExecutionStrategy::SingleQuery, true).await;
            sweep($deed, ExecutionStrategy::Parallel, true).await;
            sweep($deed, ExecutionStrategy::Pipelined, true).await;
            sweep($deed, ExecutionStrategy::Optimistic, true).await;
        }
    )*};
}

sweeps! {
    an_insert_by_copy_is_exact_at_every_cut: Deed::Insert(Transport::Copy);
    an_insert_by_rows_is_exact_at_every_cut: Deed::Insert(Transport::UnnestRows);
    an_insert_by_columns_is_exact_at_every_cut: Deed::Insert(Transport::UnnestColumns);
    an_insert_by_single_statements_is_exact_at_every_cut: Deed::Insert(Transport::Single);
    an_insert_that_returns_is_exact_at_every_cut: Deed::InsertReturning;
    an_update_is_exact_at_every_cut: Deed::Update;
    an_upsert_is_exact_at_every_cut: Deed::Upsert;
    a_delete_is_exact_at_every_cut: Deed::Delete;
}

/// A whole chunk, its COMMIT included, is held back on its way and let go when the call is over.
#[tokio::test]
async fn a_late_copy_is_fenced() {
    let db = database(TABLES).await;
    let proxy = Proxy::new(db.server_folder());
    let deed = Deed::Insert(Transport::UnnestRows);
    let pool = pool_through(&db, proxy.folder(), 2);
    deed.prepare(&db).await;
    deed.run(&pool, ExecutionStrategy::SingleQuery).await;
    proxy.set(None);
    deed.prepare(&db).await;
    deed.run(&pool, ExecutionStrategy::SingleQuery).await;
    let (to_server, _) = proxy.counts();
    for at in 0..to_server {
        let pool = pool_through(&db, proxy.folder(), 2);
        deed.prepare(&db).await;
        proxy.set(None);
        deed.run(&pool, ExecutionStrategy::SingleQuery).await;
        deed.prepare(&db).await;
        proxy.set(Some(Trap { way: Way::ToServer, at, harm: Harm::Hold }));
        deed.run(&pool, ExecutionStrategy::SingleQuery).await;
        deed.check(&db, &format!("held at {at}")).await;
        proxy.let_go();
        deed.check(&db, &format!("held at {at}, let go")).await;
    }
}
