//! Chunks of fixed sizes beside `BatchSize::Auto`: for rows of three widths, near the server and far from it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use batchkit::{BatchModel, BatchOperations, BatchSize, ExecutionStrategy, InsertRow};
use batchkit_testbed::server::Database;
use deadpool_postgres::Pool;

use crate::Failure;
use crate::data::{Product, product};
use crate::delay::Delayed;
use crate::measure::{Bench, medians};
use crate::results::{Sweep, Width};
use crate::task::Verb;

/// All widths, with the number of their rows and the sizes of chunks.
const WIDTHS: [(Width, usize, &[usize]); 3] = [
    (Width::Narrow, 100_000, &[500, 1_000, 5_000, 10_000, 20_000, 50_000, 100_000]),
    (Width::Text, 100_000, &[500, 1_000, 5_000, 10_000, 20_000, 50_000, 100_000]),
    (Width::Wide, 5_000, &[20, 100, 200, 500, 1_000, 5_000]),
];
/// What a message to the server takes longer.
const DELAYS: [u64; 2] = [0, 5];

/// A row of one text.
#[derive(Debug, Clone, BatchModel)]
#[batch(table = "body")]
struct Body {
    #[batch(key)]
    id: i64,
    body: String,
}

/// Rows whose texts are numbers of ten digits, so many times.
fn bodies(rows: usize, times: usize) -> Result<Vec<Body>, Failure> {
    let body = |n| Body { id: n, body: format!("{n:010}").repeat(times) };
    Ok((1..=i64::try_from(rows)?).map(body).collect())
}

/// The rows of one width.
enum Rows {
    Products(Vec<Product>),
    Bodies(Vec<Body>),
}

impl Rows {
    fn new(width: Width, rows: usize) -> Result<Self, Failure> {
        Ok(match width {
            Width::Narrow => Rows::Products((1..=i64::try_from(rows)?).map(product).collect()),
            Width::Text => Rows::Bodies(bodies(rows, 30)?),
            Width::Wide => Rows::Bodies(bodies(rows, 1_000)?),
        })
    }
}

impl Bench {
    /// Each size in its turn, in each repetition.
    pub async fn sweep(&self) -> Result<Vec<Sweep>, Failure> {
        // Compressing the bodies would be most of the work.
        let table = "CREATE TABLE body (id int8 PRIMARY KEY, body text NOT NULL); \
                     ALTER TABLE body ALTER COLUMN body SET STORAGE EXTERNAL";
        self.client.batch_execute(table).await?;
        let mut all = Vec::new();
        for delay in DELAYS {
            let network = network(&self.place.database, Duration::from_millis(delay))?;
            // Asked and prepared is in the turn that is not counted.
            let products = BatchOperations::new(network.pool.clone());
            let bodies = BatchOperations::new(network.pool.clone());
            for (width, number, sizes) in WIDTHS {
                let rows = Rows::new(width, number)?;
                let mut samples: BTreeMap<(Verb, Option<usize>), Vec<_>> = BTreeMap::new();
                for repetition in 0..=self.repetitions {
                    for verb in [Verb::Insert, Verb::Upsert] {
                        for size in std::iter::once(None).chain(sizes.iter().copied().map(Some)) {
                            let took = match &rows {
                                Rows::Products(rows) => {
                                    self.put_in_state(Verb::Insert, number).await?;
                                    run(&products, rows, verb, size).await?
                                }
                                Rows::Bodies(rows) => {
                                    self.client.batch_execute("TRUNCATE body; CHECKPOINT").await?;
                                    run(&bodies, rows, verb, size).await?
                                }
                            };
                            if repetition > 0 {
                                samples.entry((verb, size)).or_default().push((took, Duration::ZERO));
                            }
                        }
                    }
                    eprintln!("sizes of chunks of {width:?} rows at {delay} ms: {repetition} of {}", self.repetitions);
                }
                let entry = |((verb, size), samples): ((Verb, Option<usize>), Vec<_>)| Sweep {
                    width,
                    verb,
                    delay,
                    rows: number,
                    size,
                    time: medians(&samples),
                };
                all.extend(samples.into_iter().map(entry));
            }
        }
        self.client.batch_execute("DROP TABLE body").await?;
        Ok(all)
    }
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
