//! How close an insert of all flights comes to the server's own speed.
//!
//! The floor is `COPY flights FROM` a binary file that lies on the server: same rows, columns, key and
//! settings, committed. Both take turns in one run; the medians and their ratio are printed.
//! Run it with `cargo run --release --example insert_floor [repetitions]`.
#![allow(clippy::print_stdout, reason = "a program that prints figures")]

use std::time::{Duration, Instant};

use batchkit::{BatchOperations, ExecutionStrategy};
use batchkit_testbed::nycflights13::{self as nyc, Flight, rows};
use batchkit_testbed::server::Server;
use deadpool_postgres::Pool;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let repetitions = std::env::args().nth(1).map_or(Ok(9), |n| n.parse())?;
    let server = Server::start().await?;
    println!("{}", server.description());
    let database = server.create_database("insert_floor").await?;
    let pool = database.pool(2)?;
    let flights = nyc::flights()?;
    let operations = BatchOperations::<Flight>::new(pool.clone());

    // The server writes the file itself, so that it can read it.
    pool.get().await?.batch_execute(nyc::TABLES).await?;
    operations.batch_insert(&flights).await?;
    let file = server.data_dir().join("flights.bin");
    let file = file.to_str().ok_or("the server's folder has a name that is not text")?.replace('\'', "''");
    pool.get().await?.batch_execute(&format!("COPY flights TO '{file}' (FORMAT binary)")).await?;

    let (mut floor, mut chunked, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..repetitions {
        empty(&pool).await?;
        let started = Instant::now();
        pool.get().await?.batch_execute(&format!("COPY flights FROM '{file}' (FORMAT binary)")).await?;
        floor.push(started.elapsed());

        for (strategy, times) in
            [(ExecutionStrategy::Chunked, &mut chunked), (ExecutionStrategy::SingleQuery, &mut whole)]
        {
            empty(&pool).await?;
            let started = Instant::now();
            let inserted = operations.batch_insert(&flights).strategy(strategy).await?;
            times.push(started.elapsed());
            if inserted != rows::FLIGHTS {
                return Err(format!("{inserted} flights were inserted").into());
            }
        }
    }
    let floor = median(floor);
    println!("{:<28} {:>8.1} ms", "COPY FROM a file (floor)", floor.as_secs_f64() * 1e3);
    for (name, times) in [("batch_insert, chunked", chunked), ("batch_insert, single query", whole)] {
        let time = median(times);
        println!("{name:<28} {:>8.1} ms  {:.2}x", time.as_secs_f64() * 1e3, time.as_secs_f64() / floor.as_secs_f64());
    }
    Ok(())
}

/// The same start for each contestant: an empty table, and no dirty pages of the one before.
async fn empty(pool: &Pool) -> Result<(), Failure> {
    Ok(pool.get().await?.batch_execute("TRUNCATE flights; CHECKPOINT").await?)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
