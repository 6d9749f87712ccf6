//! Ten million rows from a stream, within 64 MiB of memory, however wide they are.
//!
//! The stream makes its rows as they are taken. Printed are the rows per second and the most memory that this program
//! had at once, as the operating system counts it (on Linux); the server is another process.
//! Run it with `cargo run --release --example stream [rows [characters of each]]`. More memory than 64 MiB is a failure.
#![allow(clippy::print_stdout, reason = "a program that prints figures")]

use std::convert::Infallible;
use std::time::Instant;

use batchkit::{BatchModel, BatchOperations};
use batchkit_testbed::server::Server;
use futures_util::{StreamExt, stream};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, BatchModel)]
#[batch(table = "readings")]
struct Reading {
    #[batch(key)]
    id: i64,
    sensor: String,
    value: f64,
}

const LIMIT_MIB: f64 = 64.0;

fn reading(id: i64, width: usize) -> Reading {
    Reading {
        id,
        sensor: format!("sensor {:<width$}", id % 1_000),
        value: 0.5 * f64::from(u32::try_from(id % 997).unwrap_or(0)),
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let rows: i64 = arguments.next().map_or(Ok(10_000_000), |rows| rows.parse())?;
    let width: usize = arguments.next().map_or(Ok(0), |width| width.parse())?;
    let server = Server::start().await?;
    println!("{}", server.description());
    let database = server.create_database("stream").await?;
    let pool = database.pool(1)?;
    // What is stored is of no matter here.
    let table = "CREATE UNLOGGED TABLE readings (id int8 PRIMARY KEY, sensor text NOT NULL, value float8 NOT NULL)";
    pool.get().await?.batch_execute(table).await?;
    let readings = BatchOperations::<Reading>::new(pool.clone());

    let started = Instant::now();
    let of = |ids| stream::iter(ids).map(|id| Ok::<_, Infallible>(reading(id, width)));
    let inserted = readings.batch_insert_stream(of(1..=rows)).await?;
    let seconds = started.elapsed().as_secs_f64();
    let per_second = f64::from(u32::try_from(inserted)?) / seconds;
    println!("{inserted} rows inserted in {seconds:.1} s: {per_second:.0} rows per second");

    // A tenth of them again, and as many new ones.
    let some = rows / 10;
    let started = Instant::now();
    let upserted = readings.batch_upsert_stream(of(rows - some + 1..=rows + some)).await?;
    println!(
        "{} rows updated and {} inserted in {:.1} s",
        upserted.updated,
        upserted.inserted,
        started.elapsed().as_secs_f64()
    );
    let count: i64 = pool.get().await?.query_one("SELECT count(*) FROM readings", &[]).await?.get(0);
    if (count, upserted.updated, upserted.inserted) != (rows + some, u64::try_from(some)?, u64::try_from(some)?) {
        return Err(format!("the table has {count} rows").into());
    }
    match peak_memory() {
        Some(mib) if mib > LIMIT_MIB => Err(format!("{mib:.1} MiB of memory at once; {LIMIT_MIB} are allowed").into()),
        Some(mib) => {
            println!("{mib:.1} MiB of memory at the most");
            Ok(())
        }
        None => {
            println!("how much memory it took is not known here");
            Ok(())
        }
    }
}

/// The most memory that this process had at once, in MiB, where the system tells it so.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u32 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(f64::from(kib) / 1024.0)
}
