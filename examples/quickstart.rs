//! The main job on real data: all flights that left New York City in 2013, through every verb.
//!
//! Starts a throw-away PostgreSQL, creates the tables, reads the compressed CSV into derived structs,
//! inserts, gets, updates, upserts, deletes, and checks the counts in the end: it exits non-zero if one is
//! off. Run it with `cargo run --release --example quickstart`.
#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use batchkit::model::Field;
use batchkit::{BatchModel, BatchOperations, Filter, InsertRow};
use batchkit_testbed::nycflights13::{self as nyc, Flight, FlightDelays, rows};
use batchkit_testbed::server::Server;
use indicatif::{HumanCount, ProgressBar, ProgressIterator, ProgressStyle};

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Failure> {
    let server = Server::start().await?;
    println!("server     {}", server.description());
    let database = server.create_database("quickstart").await?;
    let pool = database.pool(4)?;
    pool.get().await?.batch_execute(nyc::TABLES).await?;

    let started = Instant::now();
    let flights = nyc::flights()?;
    tell("read", "flights", rows::FLIGHTS, started);

    insert(&BatchOperations::new(pool.clone()), "airlines", nyc::airlines()?).await?;
    insert(&BatchOperations::new(pool.clone()), "airports", nyc::airports()?).await?;
    insert(&BatchOperations::new(pool.clone()), "planes", nyc::planes()?).await?;
    insert(&BatchOperations::new(pool.clone()), "weather", nyc::weather()?).await?;
    let operations = BatchOperations::<Flight>::new(pool);
    insert(&operations, "flights", flights.iter()).await?;

    // Every 33rd flight, 10,000 of them: they come back in the order of the keys.
    let chosen: Vec<&Flight> = flights.iter().step_by(33).take(10_000).collect();
    let started = Instant::now();
    let found = operations.batch_get(chosen.iter().map(|flight| flight.key())).await?;
    tell("get", "flights", as_u64(found.len()), started);
    expect("flights read in the order of their keys", found.iter().eq(chosen.iter().copied()), true)?;

    // Patches of two fields.
    let delays: Vec<FlightDelays> = chosen.iter().map(|flight| ten_minutes_later(flight)).collect();
    let started = Instant::now();
    let updated = operations.batch_update(&delays).await?;
    tell("update", "flights", updated, started);
    expect("flights updated", updated, 10_000)?;

    // Half of them are new: the same flights a year later.
    let mixture: Vec<Flight> = chosen.iter().enumerate().map(|(n, flight)| upserted(n, flight)).collect();
    let started = Instant::now();
    let upserted = operations.batch_upsert(&mixture).await?;
    tell("upsert", "flights", upserted.inserted + upserted.updated, started);
    expect("flights inserted by the upsert", upserted.inserted, 5_000)?;
    expect("flights updated by the upsert", upserted.updated, 5_000)?;

    let started = Instant::now();
    let deleted = operations.batch_delete(mixture.iter().map(Flight::key)).await?;
    tell("delete", "flights", deleted, started);
    expect("flights deleted", deleted, 10_000)?;

    // 5,000 of the real flights are gone, and with them what the upsert had added.
    let left = operations.count(Filter::all()).await?;
    expect("flights left", left, rows::FLIGHTS - 5_000)?;
    let cancelled: Field<Flight, Option<i16>> = Flight::FIELDS.dep_time;
    let gone = as_u64(chosen.iter().step_by(2).filter(|flight| flight.dep_time.is_none()).count());
    expect("cancelled flights left", operations.count(cancelled.is_null()).await?, 8_255 - gone)?;
    println!("all counts are right");
    Ok(())
}

/// Inserts all rows, with a progress bar where a person watches, and checks their number.
async fn insert<M, I>(operations: &BatchOperations<M>, table: &str, rows: I) -> Result<(), Failure>
where
    M: BatchModel + 'static,
    I: IntoIterator<IntoIter: ExactSizeIterator + Send, Item: InsertRow<M> + Send>,
{
    let rows = rows.into_iter();
    let expected = as_u64(rows.len());
    let style = ProgressStyle::with_template("{msg:10} {wide_bar} {human_pos}/{human_len} {per_sec}")?;
    let bar = ProgressBar::new(expected).with_style(style).with_message(table.to_owned());
    let started = Instant::now();
    let inserted = operations.batch_insert(rows.progress_with(bar)).await?;
    tell("insert", table, inserted, started);
    expect(table, inserted, expected)?;
    expect(table, operations.count(Filter::all()).await?, expected)
}

fn ten_minutes_later(flight: &Flight) -> FlightDelays {
    FlightDelays {
        time_hour: flight.time_hour,
        carrier: flight.carrier.clone(),
        flight: flight.flight,
        origin: flight.origin.clone(),
        dep_delay: flight.dep_delay.map(|minutes| minutes + 10),
        arr_delay: flight.arr_delay.map(|minutes| minutes + 10),
    }
}

fn upserted(n: usize, flight: &Flight) -> Flight {
    let mut flight = flight.clone();
    if n % 2 == 1 {
        flight.time_hour += chrono::Duration::days(365);
        flight.year += 1;
    }
    flight.distance += 1;
    flight
}

fn tell(verb: &str, what: &str, rows: u64, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rate to read"
    )]
    let rate = (rows as f64 / seconds) as u64;
    println!(
        "{verb:10} {what:10} {:>9} rows {seconds:>8.3} s {:>11} rows/s",
        HumanCount(rows).to_string(),
        HumanCount(rate).to_string()
    );
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, is: T, should_be: T) -> Result<(), Failure> {
    if is == should_be { Ok(()) } else { Err(format!("{what}: {is:?}, but it should be {should_be:?}").into()) }
}

fn as_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
