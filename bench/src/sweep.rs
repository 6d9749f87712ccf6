//! Chunks of fixed sizes beside `BatchSize::Auto`: for narrow and for wide rows, near the server and far from it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use batchkit::{BatchModel, BatchOperations, BatchSize, ExecutionStrategy, InsertRow};
use batchkit_testbed::server::Database;
use deadpool_postgres::Pool;

use crate::Failure;
use crate::data::product;
use crate::delay::Delayed;
use crate::measure::{Bench, medians};
use crate::results::Sweep;
use crate::task::Verb;

/// The rows of the eight columns that all comparisons have.
const NARROW: (usize, &[usize]) = (100_000, &[500, 1_000, 5_000, 10_000, 20_000, 50_000, 100_000]);
/// Rows of 10 KB.
const WIDE: (usize, &[usize]) = (5_000, &[20, 100, 200, 500, 1_000, 5_000]);
/// What a message to the server takes longer.
const DELAYS: [u64; 2] = [0, 5];

/// A row of 10 KB.
#[derive(Debug, Clone, BatchModel)]
#[batch(table = "wide")]
struct Wide {
    #[batch(key)]
    id: i64,
    body: String,
}

fn wide(n: i64) -> Wide {
    Wide { id: n, body: format!("{n:010}").repeat(1_000) }
}

impl Bench {
    /// Each size in its turn, in each repetition.
    pub async fn sweep(&self) -> Result<Vec<Sweep>, Failure> {
        // Compressing the bodies would be most of the work.
        let table = "CREATE TABLE wide (id int8 PRIMARY KEY, body text NOT NULL); \
                     ALTER TABLE wide ALTER COLUMN body SET STORAGE EXTERNAL";
        self.client.batch_execute(table).await?;
        let (narrow, wide): (Vec<_>, Vec<_>) =
            ((1..=as_id(NARROW.0)?).map(product).collect(), (1..=as_id(WIDE.0)?).map(wide).collect());
        let mut all = Vec::new();
        for delay in DELAYS {
            let network = network(&self.place.database, Duration::from_millis(delay))?;
            // Asked and prepared is in the turn that is not counted.
            let narrow_table = BatchOperations::new(network.pool.clone());
            let wide_table = BatchOperations::new(network.pool.clone());
            let mut samples: BTreeMap<(bool, Verb, Option<usize>), Vec<_>> = BTreeMap::new();
            for repetition in 0..=self.repetitions {
                for (is_wide, (rows, sizes)) in [(false, NARROW), (true, WIDE)] {
                    for verb in [Verb::Insert, Verb::Upsert] {
                        for size in std::iter::once(None).chain(sizes.iter().copied().map(Some)) {
                            let took = if is_wide {
                                self.client.batch_execute("TRUNCATE wide; CHECKPOINT").await?;
                                run(&wide_table, &wide, verb, size).await?
                            } else {
                                self.put_in_state(Verb::Insert, rows).await?;
                                run(&narrow_table, &narrow, verb, size).await?
                            };
                            if repetition > 0 {
                                samples.entry((is_wide, verb, size)).or_default().push((took, Duration::ZERO));
                            }
                        }
                    }
                }
                eprintln!("sizes of chunks at {delay} ms: {repetition} of {}", self.repetitions);
            }
            let entry = |((is_wide, verb, size), samples): ((bool, Verb, Option<usize>), Vec<_>)| {
                let rows = if is_wide { WIDE.0 } else { NARROW.0 };
                Sweep { is_wide, verb, delay, rows, size, time: medians(&samples) }
            };
            all.extend(samples.into_iter().map(entry));
        }
        self.client.batch_execute("DROP TABLE wide").await?;
        Ok(all)
    }
}

fn as_id(rows: usize) -> Result<i64, Failure> {
    Ok(i64::try_from(rows)?)
}

/// A pool of one connection, and what it goes through.
struct Network {
    pool: Pool,
    _delayed: Option<Delayed>,
}

fn network(database: &Database, delay: Duration) -> Result<Network, Failure> {
    if delay.is_zero() {
        return Ok(Network { pool: database.pool(1)?, _delayed: None });
    }
    let delayed = Delayed::before(database, delay)?;
    Ok(Network { pool: delayed.database.pool(1)?, _delayed: Some(delayed) })
}

async fn run<M>(
    operations: &BatchOperations<M>,
    rows: &[M],
    verb: Verb,
    size: Option<usize>,
) -> Result<Duration, Failure>
where
    M: BatchModel + InsertRow<M>,
{
    let size = size.map_or(BatchSize::Auto, BatchSize::from);
    let started = Instant::now();
    let written = match verb {
        Verb::Insert => operations.batch_insert(rows).strategy(ExecutionStrategy::Chunked).batch_size(size).await?,
        _ => operations.batch_upsert(rows).strategy(ExecutionStrategy::Chunked).batch_size(size).await?.inserted,
    };
    let took = started.elapsed();
    if written != u64::try_from(rows.len())? {
        return Err(format!("{written} rows were written").into());
    }
    Ok(took)
}
