//! Memory stays under the byte budget of a chunk times the workers, however many rows there are. A binary of its
//! own with one test, for the allocator that counts is the whole process's.
#![allow(clippy::unwrap_used, reason = "a test that fails here has failed")]

use batchkit::{BatchModel, BatchOperations, ExecutionStrategy, Transport};
use batchkit_testbed::server::Server;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

#[derive(Debug, Clone, BatchModel)]
#[batch(table = "blobs")]
struct Blob {
    #[batch(key)]
    id: i32,
    bytes: Vec<u8>,
}

const MIB: usize = 1 << 20;
/// What a chunk may have.
const CHUNK: usize = 8 * MIB;
const ROW: usize = 10_000;
const ROWS: i32 = 20_000;

#[tokio::test]
async fn rows_that_are_made_one_by_one_are_never_all_in_memory() {
    let database = Server::shared().await.unwrap().create_database("memory").await.unwrap();
    let pool = database.pool(4).unwrap();
    // What is stored is of no matter here, and 200 MB a time would be slow: the table forgets.
    let table = "CREATE UNLOGGED TABLE blobs (id int4 PRIMARY KEY, bytes bytea NOT NULL);
                 ALTER TABLE blobs ALTER bytes SET STORAGE EXTERNAL";
    pool.get().await.unwrap().batch_execute(table).await.unwrap();
    let operations = BatchOperations::<Blob>::new(pool.clone());
    operations.check_schema().await.unwrap();
    // A chunk is encoded, turned into the form that it travels in, and copied by the driver for the socket, while
    // the next one is being filled, in a buffer that doubles.
    let one = 10 * CHUNK;
    for (strategy, workers) in
        [(ExecutionStrategy::Chunked, 1), (ExecutionStrategy::Pipelined, 1), (ExecutionStrategy::Parallel, 2)]
    {
        for transport in [Transport::Copy, Transport::UnnestRows, Transport::UnnestColumns] {
            pool.get().await.unwrap().batch_execute("TRUNCATE blobs").await.unwrap();
            let rows = (0..ROWS).map(|id| Blob { id, bytes: vec![7; ROW] });
            let before = ALLOCATOR.current_usage();
            ALLOCATOR.reset_peak_usage();
            let call = operations.batch_insert(rows).strategy(strategy).transport(transport).max_workers(workers);
            let inserted = call.await.unwrap();
            let peak = ALLOCATOR.peak_usage() - before;
            println!("{strategy:?} {transport:?}: {} MiB", peak / MIB);
            assert_eq!(inserted, u64::try_from(ROWS).unwrap());
            assert!(peak < one * workers, "{strategy:?} {transport:?}: {} MiB at once", peak / MIB);
        }
    }
}
