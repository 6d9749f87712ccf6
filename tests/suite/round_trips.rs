//! How often a call waits for the server, counted at its socket.

use batchkit::{BatchConfig, BatchModel, ExecutionStrategy, Filter, Transport};

use crate::common::database;
use crate::stock::{Stock, TABLE, config, operations_with, stock};

/// Where its statements are prepared, a read is one round trip: settings, all statements, and the end of its
/// transaction leave together.
#[tokio::test]
async fn a_read_is_one() {
    let db = database(TABLE).await;
    // Where a caller insists on it, COPY stages the keys first, and single statements wait for each other.
    for transport in [Transport::Auto, Transport::UnnestRows, Transport::UnnestColumns] {
        let (pool, round_trips) = db.database.counted_pool(1).unwrap();
        let operations = operations_with(&pool, BatchConfig { transport, ..config() });
        let rows = stock(0..1_000, 1);
        operations.batch_upsert(&rows).await.unwrap();
        for is_warm in [false, true] {
            let expect = |what: &str| {
                let taken = round_trips.take();
                assert!(!is_warm || taken == 1, "{transport:?} {what}: {taken} round trips");
            };
            let _ = round_trips.take();
            assert_eq!(operations.batch_get(0..5).await.unwrap().len(), 5);
            assert!(!is_warm || operations.metrics().last_batch.round_trips == 1, "{transport:?}");
            expect("get");
            assert_eq!(operations.batch_get(0..5).count().await.unwrap(), 5);
            expect("get, counted");
            assert_eq!(operations.list(Stock::FIELDS.amount.ge(1)).limit(3).await.unwrap().len(), 3);
            expect("list");
            assert_eq!(operations.list(Filter::all()).page(3).await.unwrap().rows.len(), 3);
            expect("page");
            assert_eq!(operations.count(Filter::all()).await.unwrap(), 1_000);
            expect("count");
            assert!(operations.exists(Stock::FIELDS.id.is_in([7, 8])).await.unwrap());
            expect("exists");
        }
    }
}

/// A lone chunk that writes is two, on a connection that has written before: everything up to the work leaves
/// together, and COMMIT once it is known what became of each row. COPY waits once more, for the server's word that it
/// takes data.
#[tokio::test]
async fn a_lone_chunk_that_writes_is_two() {
    let db = database(TABLE).await;
    for (transport, expected) in [(Transport::UnnestRows, 2), (Transport::UnnestColumns, 2), (Transport::Copy, 3)] {
        let (pool, round_trips) = db.database.counted_pool(1).unwrap();
        let operations = operations_with(&pool, BatchConfig { transport, ..config() });
        for is_warm in [false, true] {
            let rows = stock(0..10, 1);
            let expect = |what: &str, expected: usize| {
                let (taken, told) = (round_trips.take(), operations.metrics().last_batch.round_trips);
                let expected = (expected, u64::try_from(expected).unwrap());
                assert!(
                    !is_warm || (taken, told) == expected,
                    "{transport:?} {what}: {taken} round trips, told {told}"
                );
            };
            let _ = round_trips.take();
            assert_eq!(operations.batch_insert(&rows).await.unwrap(), 10);
            expect("insert", expected);
            // By COPY, these stage their rows first: the table is made with the first flush, and filled with two more.
            let staged = if transport == Transport::Copy { 5 } else { 2 };
            assert_eq!(operations.batch_update(&rows).await.unwrap(), 10);
            expect("update", staged);
            assert_eq!(operations.batch_upsert(&rows).await.unwrap().updated, 10);
            expect("upsert", staged);
            assert_eq!(operations.batch_delete(rows.iter().map(|row| row.id)).await.unwrap(), 10);
            expect("delete", staged);
        }
    }
}

/// In a run of chunks each is waited for once: its COMMIT leaves with the BEGIN and the work of the next one. By COPY it
/// is twice, for the server's word that it takes data.
#[tokio::test]
async fn a_chunk_in_a_run_is_one() {
    const CHUNKS: usize = 6;
    let db = database(TABLE).await;
    for strategy in [ExecutionStrategy::Chunked, ExecutionStrategy::Pipelined] {
        for (transport, each) in [(Transport::UnnestRows, 1), (Transport::UnnestColumns, 1), (Transport::Copy, 2)] {
            let (pool, round_trips) = db.database.counted_pool(1).unwrap();
            let config = BatchConfig { transport, execution_strategy: strategy, batch_size: 10.into(), ..config() };
            let operations = operations_with(&pool, config);
            let rows = stock(0..10 * i32::try_from(CHUNKS).unwrap(), 1);
            for is_warm in [false, true] {
                let expect = |what: &str, each: usize| {
                    let (taken, told) = (round_trips.take(), operations.metrics().last_batch.round_trips);
                    let expected = (CHUNKS * each + 1, u64::try_from(CHUNKS * each + 1).unwrap());
                    let context = format!("{strategy:?} {transport:?} {what}: {taken} round trips, told {told}");
                    assert!(!is_warm || (taken, told) == expected, "{context}");
                };
                let _ = round_trips.take();
                assert_eq!(operations.batch_insert(&rows).await.unwrap(), 60);
                expect("insert", each);
                if transport != Transport::Copy {
                    assert_eq!(operations.batch_update(&rows).await.unwrap(), 60);
                    expect("update", each);
                    assert_eq!(operations.batch_upsert(&rows).returning().await.unwrap(), rows);
                    expect("upsert, returned", each);
                }
                assert_eq!(operations.batch_delete(rows.iter().map(|row| row.id)).await.unwrap(), 60);
                let _ = round_trips.take();
            }
        }
    }
}
