//! Dirty data at full speed: all flights into a table with a foreign key that 7,602 of them break.
//!
//! These are turned away with their position, key, SQLSTATE and constraint; the other 329,174 go in. The time is
//! compared with the import of those alone, both in turns in one run. Exits non-zero if a count is off.
//! Run it with `cargo run --release --example rejects [repetitions]`.
#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use batchkit::{BatchConfig, BatchOperations, ExecutionStrategy, OnRowError, Reject};
use batchkit_testbed::nycflights13::{self as nyc, Airport, Flight, rows};
use batchkit_testbed::server::Server;
use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The flights whose airport is not in the table, as the data's README counts them.
const DANGLING: u64 = 7_602;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let repetitions: usize = std::env::args().nth(1).map_or(Ok(5), |n| n.parse())?;
    let server = Server::start().await?;
    println!("{}", server.description());
    let database = server.create_database("rejects").await?;
    let pool = database.pool(2)?;
    pool.get().await?.batch_execute(nyc::TABLES).await?;
    let airports = nyc::airports()?;
    BatchOperations::<Airport>::new(pool.clone()).batch_insert(&airports).await?;
    let key =
        "ALTER TABLE flights ADD CONSTRAINT flights_dest FOREIGN KEY (dest) REFERENCES airports; ANALYZE airports";
    pool.get().await?.batch_execute(key).await?;

    let flights = nyc::flights()?;
    let known: HashSet<&str> = airports.iter().map(|airport| airport.faa.as_str()).collect();
    let good: Vec<&Flight> = flights.iter().filter(|flight| known.contains(flight.dest.as_str())).collect();
    let config = BatchConfig {
        execution_strategy: ExecutionStrategy::Parallel,
        max_workers: 2,
        on_row_error: OnRowError::Reject,
        ..BatchConfig::default()
    };
    let operations = BatchOperations::<Flight>::builder(pool.clone()).config(config).build()?;
    let (mut clean, mut dirty) = (Vec::new(), Vec::new());
    for repetition in 0..repetitions {
        empty(&pool).await?;
        let started = Instant::now();
        let inserted = operations.batch_insert(good.iter().copied()).await?;
        clean.push(started.elapsed());
        expect("good flights", inserted, rows::FLIGHTS - DANGLING)?;

        empty(&pool).await?;
        let started = Instant::now();
        let report = operations.batch_insert(&flights).report().await?;
        dirty.push(started.elapsed());
        expect("flights inserted", report.inserted(), rows::FLIGHTS - DANGLING)?;
        expect("flights turned away", report.rejected(), DANGLING)?;
        let mut airports: BTreeMap<&str, u64> = BTreeMap::new();
        for reject in report.rejects() {
            let flight = &flights[reject.position];
            expect("reasons known", u64::from(known.contains(flight.dest.as_str())), 0)?;
            let reason = (reject.sqlstate.as_deref(), reject.constraint.as_deref());
            if reason != (Some("23503"), Some("flights_dest")) {
                return Err(format!("a reject has another reason: {reject:?}").into());
            }
            let key = key_of(reject);
            if key.as_ref().map(|(hour, carrier, number, origin)| (*hour, &**carrier, *number, &**origin))
                != Some(flight.key())
            {
                return Err(format!("a reject has another key than row {}", reject.position).into());
            }
            *airports.entry(&flight.dest).or_default() += 1;
        }
        if repetition == 0 {
            println!("{} in, {} turned away: {airports:?}", report.inserted(), report.rejected());
            for reject in report.rejects().iter().take(3) {
                let Reject { position, kind, sqlstate, constraint, .. } = reject;
                let (code, constraint) = (sqlstate.as_deref().unwrap_or(""), constraint.as_deref().unwrap_or(""));
                println!("  row {position}, key {:?}: {kind:?} {code} {constraint}", key_of(reject));
            }
        }
    }
    let (clean, dirty) = (median(clean), median(dirty));
    println!("{:<28} {:>8.1} ms", "the good rows alone", clean.as_secs_f64() * 1e3);
    println!(
        "{:<28} {:>8.1} ms  {:.2}x",
        "all rows, the bad turned away",
        dirty.as_secs_f64() * 1e3,
        dirty.as_secs_f64() / clean.as_secs_f64()
    );
    Ok(())
}

/// The key that a reject tells of its flight.
fn key_of(reject: &Reject) -> Option<(DateTime<Utc>, String, i32, String)> {
    let key = reject.key.as_ref()?;
    Some((key.get("time_hour")?, key.get("carrier")?, key.get("flight")?, key.get("origin")?))
}

/// The same start for each contestant: an empty table, and no dirty pages of the one before.
async fn empty(pool: &Pool) -> Result<(), Failure> {
    Ok(pool.get().await?.batch_execute("TRUNCATE flights; CHECKPOINT").await?)
}

fn expect(what: &str, is: u64, should_be: u64) -> Result<(), Failure> {
    if is == should_be { Ok(()) } else { Err(format!("{what}: {is}, but it should be {should_be}").into()) }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
