//! Row 13 of the fault table: a call that is dropped, at each of its polls and at each of its messages. Chunks are
//! wholly in or out, the tracker tells which, and nothing is left behind.

use std::future::IntoFuture;
use std::sync::mpsc;

use batchkit::{BatchModel, BatchOperations, DuplicatePolicy, ExecutionStrategy, Tracker, Transport};
use deadpool_postgres::Pool;
use futures_util::FutureExt;
use futures_util::future::join_all;

use crate::common::{Db, database, fine, poll_times, pool_through, quiet};
use crate::deeds::{Counter, Deed, Doing, Line, Manner, Operations, Seen, TABLES};
use crate::proxy::{Harm, Proxy, Trap, Way};

const STRATEGIES: [ExecutionStrategy; 5] = [
    ExecutionStrategy::SingleQuery,
    ExecutionStrategy::Chunked,
    ExecutionStrategy::Parallel,
    ExecutionStrategy::Pipelined,
    ExecutionStrategy::Optimistic,
];

/// How deeds are done: with good rows and with bad ones. (Inserts into the table without a key are counted only.)
fn manners(deed: Deed, strategy: ExecutionStrategy) -> impl Iterator<Item = Manner> {
    let bad = [false, true].into_iter().filter(move |bad| !bad || deed.can_be_bad());
    bad.map(move |bad| Manner { strategy, bad, reported: true })
}

/// All of the pool's connections can be had, and each answers what it is asked. (That none of them has a transaction
/// open, [`quiet`] tells.)
async fn all_are_good(pool: &Pool, context: &str) {
    let mut clients = Vec::new();
    for _ in 0..pool.status().max_size {
        clients.push(pool.get().await.unwrap());
    }
    for (number, client) in (0i32..).zip(&clients) {
        let answer = client.query_one("SELECT $1::int4", &[&number]).await;
        assert_eq!(fine(answer, context).get::<_, i32>(0), number, "{context}");
    }
}

/// What is promised of a call that was dropped.
async fn check(db: &Db, pool: &Pool, deed: Deed, manner: Manner, (tracker, seen): (&Tracker, &Seen), context: &str) {
    let report = tracker.settled().await;
    let is_in = deed.told(manner, report.as_ref(), seen, context);
    deed.check(db, &is_in, context).await;
    quiet(db, context).await;
    all_are_good(pool, context).await;
}

/// Drops a deed after each of its polls, until it ends before.
async fn drop_at_every_poll(db: &Db, deed: Deed, manner: Manner, warm: bool) {
    let pool = db.database.pool(2).unwrap();
    let operations = Operations::new(&pool, manner);
    operations.check_schema().await;
    for polls in 1.. {
        let context = format!("{deed:?} {manner:?} warm: {warm}, dropped after {polls} polls");
        deed.prepare(db, manner.bad).await;
        let cold = Operations::new(&pool, manner);
        let Doing { call, tracker, seen } = deed.start(if warm { &operations } else { &cold }, manner, None);
        let finished = poll_times(call, polls).await;
        check(db, &pool, deed, manner, (&tracker, &seen), &context).await;
        if let Some(result) = finished {
            fine(result, &context);
            deed.check_all(db, manner.bad, &context).await;
            break;
        }
    }
}

/// Drops a deed when it is at one of its messages, at each of them. Then the message goes on, and afterwards
/// `later` happens.
async fn drop_at_every_message(db: &Db, deed: Deed, manner: Manner, later: Option<Trap>) {
    let proxy = Proxy::new(db.server_folder());
    let pool = pool_through(db, proxy.folder(), 2);
    let operations = Operations::new(&pool, manner);
    operations.check_schema().await;
    deed.prepare(db, manner.bad).await;
    deed.run(&operations, manner, "warming up").await;
    for way in [Way::ToServer, Way::ToClient] {
        for at in 0.. {
            let context = format!("{deed:?} {manner:?} dropped at message {at} {way:?}, then {later:?}");
            deed.prepare(db, manner.bad).await;
            proxy.set([Trap { way, at, harm: Harm::Stall }]);
            let Doing { mut call, tracker, seen } = deed.start(&operations, manner, None);
            let finished = tokio::select! {
                biased;
                () = proxy.sprung() => None,
                result = &mut call => Some(result),
            };
            drop(call);
            proxy.set(later.filter(|_| finished.is_none()));
            proxy.let_go();
            tracker.settled().await;
            proxy.set([]);
            check(db, &pool, deed, manner, (&tracker, &seen), &context).await;
            if let Some(result) = finished {
                fine(result, &context);
                deed.check_all(db, manner.bad, &context).await;
                break;
            }
        }
    }
}

macro_rules! at_every_poll {
    ($($test:ident: $strategy:ident;)*) => {$(
        #[tokio::test]
        async fn $test() {
            let db = database(TABLES).await;
            // A call's own polls do not depend on how its rows travel, but for what goes by COPY.
            let by = |deed: &Deed| matches!(deed.transport(), Transport::Copy | Transport::UnnestRows);
            for deed in Deed::all().into_iter().filter(by) {
                for manner in manners(deed, ExecutionStrategy::$strategy) {
                    for warm in [false, true] {
                        drop_at_every_poll(&db, deed, manner, warm).await;
                    }
                }
            }
        }
    )*};
}

at_every_poll! {
    a_single_query_dropped_at_every_poll_is_told_row_by_row: SingleQuery;
    a_chunked_call_dropped_at_every_poll_is_told_row_by_row: Chunked;
    a_parallel_call_dropped_at_every_poll_is_told_row_by_row: Parallel;
    a_pipelined_call_dropped_at_every_poll_is_told_row_by_row: Pipelined;
    an_optimistic_call_dropped_at_every_poll_is_told_row_by_row: Optimistic;
}

/// Between its polls a call's chunks are under way: here it is dropped when one of them is at a known place.
macro_rules! at_every_message {
    ($($test:ident: $deed:ident;)*) => {$(
        #[tokio::test]
        async fn $test() {
            let db = database(TABLES).await;
            for deed in Deed::all().into_iter().filter(|deed| matches!(deed, Deed::$deed(_))) {
                let manners = manners(deed, ExecutionStrategy::Chunked);
                for manner in manners.filter(|manner| !manner.bad || deed.is_tried_with_bad_rows()) {
                    drop_at_every_message(&db, deed, manner, None).await;
                }
            }
        }
    )*};
}

at_every_message! {
    an_insert_dropped_at_every_message_is_told_row_by_row: Insert;
    an_insert_that_returns_dropped_at_every_message_is_told_row_by_row: InsertReturning;
    an_insert_that_returns_keys_dropped_at_every_message_is_told_row_by_row: InsertKeys;
    an_update_dropped_at_every_message_is_told_row_by_row: Update;
    an_upsert_dropped_at_every_message_is_told_row_by_row: Upsert;
    a_delete_dropped_at_every_message_is_told_row_by_row: Delete;
    a_get_dropped_at_every_message_is_told_row_by_row: Get;
    a_processed_call_dropped_at_every_message_is_told_row_by_row: Processed;
}

#[tokio::test]
async fn every_strategy_dropped_at_every_message_is_told_row_by_row() {
    let db = database(TABLES).await;
    for strategy in STRATEGIES {
        for deed in [Deed::Insert(Transport::Copy), Deed::Processed(Transport::UnnestRows)] {
            for manner in manners(deed, strategy) {
                drop_at_every_message(&db, deed, manner, None).await;
            }
        }
    }
}

/// What became of the chunk is found out for a call that nobody waits for any more.
#[tokio::test]
async fn a_call_that_is_dropped_and_cut_afterwards_is_told_row_by_row() {
    let db = database(TABLES).await;
    let deeds =
        [Deed::Insert(Transport::Copy), Deed::Insert(Transport::UnnestRows), Deed::Upsert(Transport::UnnestRows)];
    for deed in deeds {
        let manner = Manner { strategy: ExecutionStrategy::Chunked, bad: false, reported: true };
        for way in [Way::ToServer, Way::ToClient] {
            drop_at_every_message(&db, deed, manner, Some(Trap { way, at: 0, harm: Harm::CutBefore })).await;
        }
    }
}

/// A call that waits for a connection of the pool is over as soon as it is dropped, not when it would have its turn.
#[tokio::test]
async fn a_call_dropped_while_it_waits_for_a_connection_is_over() {
    let db = database(TABLES).await;
    let pool = db.database.pool(1).unwrap();
    for deed in Deed::all() {
        for strategy in STRATEGIES {
            for warm in [false, true] {
                let context = format!("{deed:?} {strategy:?} warm: {warm}");
                let manner = Manner { strategy, bad: false, reported: true };
                let operations = Operations::new(&pool, manner);
                if warm {
                    operations.check_schema().await;
                }
                deed.prepare(&db, false).await;
                let lent = pool.get().await.unwrap();
                let Doing { mut call, tracker, seen } = deed.start(&operations, manner, None);
                // Whether it is a question or a chunk that waits, it does so in the end.
                while pool.status().waiting == 0 {
                    assert!((&mut call).now_or_never().is_none(), "{context}");
                    tokio::task::yield_now().await;
                }
                drop(call);
                let report = tracker.settled().await;
                assert_eq!(report.is_some(), warm, "{context}: what is to be written is known with the table");
                let is_in = deed.told(manner, report.as_ref(), &seen, &context);
                assert!(!is_in.contains(&true), "{context}");
                drop(lent);
                check(&db, &pool, deed, manner, (&tracker, &seen), &context).await;
                deed.check_none(&db, &context).await;
            }
        }
    }
}

#[derive(Debug, Clone, BatchModel)]
#[batch(table = "tags")]
struct Tag {
    /// Only the server can say which of these are equal: it is asked, in a transaction of the call's own.
    #[batch(key)]
    id: String,
    value: i32,
}

#[tokio::test]
async fn a_call_dropped_while_the_server_compares_its_keys_leaves_a_clean_pool() {
    let db = database("CREATE TABLE tags (id char(3) PRIMARY KEY, value int4 NOT NULL)").await;
    let pool = db.database.pool(1).unwrap();
    let tags = BatchOperations::<Tag>::new(pool.clone());
    tags.check_schema().await.unwrap();
    let rows = ["a", "b", "a ", "c"].map(|id| Tag { id: id.to_owned(), value: 7 });
    for polls in 1.. {
        let context = format!("dropped after {polls} polls");
        db.run("TRUNCATE tags").await;
        let tracker = Tracker::new();
        let call = tags.batch_upsert(&rows).duplicates(DuplicatePolicy::LastWins).batch_size(2);
        let finished = poll_times(call.report().track(&tracker).into_future(), polls).await;
        let report = tracker.settled().await.unwrap();
        let stored = db.text("SELECT coalesce(string_agg(rtrim(id), ',' ORDER BY id), '') FROM tags").await;
        // The first row stands back behind the third.
        match report.committed() {
            [] => assert_eq!((stored.as_str(), report.inserted()), ("", 0), "{context}"),
            [committed] if *committed == (1..3) => assert_eq!((stored.as_str(), report.inserted()), ("a,b", 2)),
            committed => {
                assert_eq!((committed, stored.as_str()), ([1..4].as_slice(), "a,b,c"), "{context}");
                assert_eq!((report.inserted(), report.duplicates()), (3, 1), "{context}");
            }
        }
        assert_eq!(report.total(), 4, "{context}");
        quiet(&db, &context).await;
        all_are_good(&pool, &context).await;
        if let Some(result) = finished {
            assert_eq!(fine(result, &context).inserted(), 3);
            break;
        }
    }
}

/// Twenty calls at once on three connections, dropped one poll later each: just those rows are in that are told.
#[tokio::test]
async fn many_calls_dropped_at_once_are_told_row_by_row() {
    const ROWS: i32 = 12;
    let db = database(TABLES).await;
    let pool = db.database.pool(3).unwrap();
    let lines = BatchOperations::<Line>::new(pool.clone());
    lines.check_schema().await.unwrap();
    let transports = [Transport::Copy, Transport::UnnestRows, Transport::UnnestColumns, Transport::Single];
    let mut dropped = 0;
    for more in 0..4 {
        db.run("TRUNCATE lines").await;
        let trackers: Vec<Tracker> = (0..20).map(|_| Tracker::new()).collect();
        let calls = trackers.iter().enumerate().map(|(number, tracker)| {
            let first = i32::try_from(number).unwrap() * ROWS;
            let rows = (first..first + ROWS).map(|n| Line { n, text: String::new() });
            let call = lines.batch_insert(rows).strategy(STRATEGIES[number % STRATEGIES.len()]).batch_size(4);
            let call = call.transport(transports[number % transports.len()]).max_workers(3).track(tracker);
            poll_times(call.into_future(), 1 + more + number / STRATEGIES.len())
        });
        dropped += join_all(calls).await.iter().filter(|finished| finished.is_none()).count();
        let mut told = Vec::new();
        for (number, tracker) in trackers.iter().enumerate() {
            let report = tracker.settled().await.unwrap();
            let committed: Vec<usize> = report.committed().iter().cloned().flatten().collect();
            assert_eq!(report.inserted(), u64::try_from(committed.len()).unwrap());
            assert_eq!(report.inserted() + report.not_attempted(), report.total());
            told.extend(committed.into_iter().map(|at| (number * 12 + at).to_string()));
        }
        let stored = db.text("SELECT coalesce(string_agg(n::text, ',' ORDER BY n), '') FROM lines").await;
        assert_eq!(stored, told.join(","));
        quiet(&db, "many calls").await;
        all_are_good(&pool, "many calls").await;
    }
    assert!(dropped > 20, "only {dropped} calls were dropped");
}

/// The caller's own code that works up stored rows is not stopped; it is told of when it has ended.
#[tokio::test]
async fn what_is_worked_up_when_the_call_is_dropped_is_told() {
    let db = database(TABLES).await;
    for strategy in STRATEGIES {
        db.run("TRUNCATE counters, holders").await;
        let counters = BatchOperations::<Counter>::new(db.pool.clone());
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let (let_go, held) = mpsc::channel::<()>();
        let held = std::sync::Mutex::new(held);
        let rows = (0..6).map(|id| Counter { id, value: 7 });
        let tracker = Tracker::new();
        let call = counters.batch_upsert(rows).strategy(strategy).batch_size(3).track(&tracker).returning();
        let mut call = call
            .post_process(move |_| {
                let _ = tell.send(());
                // Until the other end is dropped.
                let _ = held.lock().unwrap().recv();
                Ok::<Option<()>, String>(None)
            })
            .into_future();
        let finished = tokio::select! {
            _ = &mut call => true,
            _ = told.recv() => false,
        };
        assert!(!finished, "{strategy:?}: nobody has let its rows go");
        drop(call);
        // Chunks may be under way: they end.
        let mut settled = Box::pin(tracker.settled());
        for _ in 0..100 {
            assert!((&mut settled).now_or_never().is_none(), "{strategy:?}: the rows are still being worked up");
            tokio::task::yield_now().await;
        }
        drop(let_go);
        let report = settled.await.unwrap();
        assert!(matches!(report.post_dropped(), 3 | 6), "{strategy:?}: {report:?}");
    }
}

/// In the caller's transaction everything happens in the call itself: dropped at any poll, the transaction can be
/// rolled back, and its connection is as good as before.
async fn drop_at_every_poll_within(db: &Db, deed: Deed, manner: Manner) {
    let pool = db.database.pool(1).unwrap();
    let operations = Operations::new(&pool, manner);
    operations.check_schema().await;
    deed.prepare(db, manner.bad).await;
    for polls in 1.. {
        let context = format!("{deed:?} {manner:?} within, dropped after {polls} polls");
        let mut client = pool.get().await.unwrap();
        let mut transaction = client.transaction().await.unwrap();
        let Doing { call, tracker, seen } = deed.start(&operations, manner, Some((&mut transaction).into()));
        let finished = poll_times(call, polls).await;
        deed.told(manner, tracker.settled().await.as_ref(), &seen, &context);
        fine(transaction.rollback().await, &context);
        drop(client);
        all_are_good(&pool, &context).await;
        quiet(db, &context).await;
        deed.check_none(db, &context).await;
        if let Some(result) = finished {
            fine(result, &context);
            break;
        }
    }
}

#[tokio::test]
async fn a_call_in_the_callers_transaction_can_be_dropped_at_every_poll() {
    let db = database(TABLES).await;
    for deed in Deed::all() {
        for manner in manners(deed, ExecutionStrategy::Chunked).filter(|manner| manner.bad || !deed.can_be_bad()) {
            drop_at_every_poll_within(&db, deed, manner).await;
        }
    }
}

#[tokio::test]
async fn every_strategy_in_the_callers_transaction_can_be_dropped_at_every_poll() {
    let db = database(TABLES).await;
    for strategy in STRATEGIES.into_iter().filter(|strategy| *strategy != ExecutionStrategy::Parallel) {
        for deed in [Deed::Insert(Transport::Copy), Deed::Processed(Transport::UnnestRows)] {
            for manner in manners(deed, strategy) {
                drop_at_every_poll_within(&db, deed, manner).await;
            }
        }
    }
}
