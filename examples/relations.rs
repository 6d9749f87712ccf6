//! What rows are related to, one query per relation and level: 10,000 flights with their airline, plane and airports,
//! and an airline with all its flights and their planes.
//!
//! Prints and checks how many round trips each took. Run it with `cargo run --release --example relations`.
#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

use std::time::Instant;

use batchkit::{BatchModel, BatchOperations, Related};
use batchkit_testbed::nycflights13 as nyc;
use batchkit_testbed::server::{RoundTrips, Server};
use chrono::{DateTime, Utc};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A flight, as far as this program needs it: its key, and where it leads.
#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "flights")]
struct Flight {
    #[batch(key)]
    time_hour: DateTime<Utc>,
    #[batch(key)]
    carrier: String,
    #[batch(key)]
    flight: i32,
    #[batch(key, rename = "origin")]
    origin_faa: String,
    #[batch(rename = "dest")]
    dest_faa: String,
    tailnum: Option<String>,
    #[batch(belongs_to(key = "carrier"))]
    airline: Related<Airline>,
    /// 2,512 flights have no tail number, and 50,094 one that is not among the planes.
    #[batch(belongs_to(key = "tailnum"))]
    plane: Related<Option<Plane>>,
    #[batch(belongs_to(key = "origin_faa"))]
    origin: Related<Airport>,
    /// 7,602 flights go to an airport that is not among the airports.
    #[batch(belongs_to(key = "dest_faa"))]
    dest: Related<Option<Airport>>,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "airlines")]
struct Airline {
    #[batch(key)]
    carrier: String,
    name: String,
    #[batch(has_many(key = "carrier", order("time_hour", "flight")))]
    flights: Related<Vec<Flight>>,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "planes")]
struct Plane {
    #[batch(key)]
    tailnum: String,
    manufacturer: String,
    seats: i16,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "airports")]
struct Airport {
    #[batch(key)]
    faa: String,
    name: String,
}

// One thread, so that the round trips can be counted.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let server = Server::start().await?;
    println!("{}", server.description());
    let database = server.create_database("relations").await?;
    let (pool, round_trips) = database.counted_pool(2)?;
    pool.get().await?.batch_execute(nyc::TABLES).await?;
    BatchOperations::new(pool.clone()).batch_insert(nyc::airlines()?).await?;
    BatchOperations::new(pool.clone()).batch_insert(nyc::airports()?).await?;
    BatchOperations::new(pool.clone()).batch_insert(nyc::planes()?).await?;
    let all = nyc::flights()?;
    BatchOperations::new(pool.clone()).batch_insert(&all).await?;
    pool.get().await?.batch_execute("CREATE INDEX ON flights (carrier); ANALYZE").await?;

    let flights = BatchOperations::<Flight>::new(pool.clone());
    let keys: Vec<_> = all.iter().step_by(33).take(10_000).map(nyc::Flight::key).collect();
    // What is known of the tables and statements is asked once.
    flights.batch_get(keys.iter().take(1)).load_relations(["airline", "plane", "origin", "dest"]).await?;
    let watch = Watch::start(&round_trips);
    let found = flights.batch_get(&keys).load_relations(["airline", "plane", "origin", "dest"]).await?;
    watch.tell(&format!("{} flights with airline, plane, origin and dest", found.len()), 2)?;
    let (mut known_planes, mut known_dests) = (0, 0);
    for (flight, key) in found.iter().zip(&keys) {
        check(flight.airline.get()?.carrier == key.1 && flight.origin.get()?.faa == key.3, "a flight's own airline")?;
        if let Some(plane) = flight.plane.get()? {
            check(Some(&plane.tailnum) == flight.tailnum.as_ref(), "a flight's own plane")?;
            known_planes += 1;
        }
        known_dests += usize::from(flight.dest.get()?.is_some());
    }
    println!("    {known_planes} of the planes are known, {known_dests} of the destinations");
    check(known_planes < found.len() && known_dests < found.len(), "some are known to be unknown")?;
    let seats = found.iter().filter_map(|flight| flight.plane.get().ok()?.as_ref()).map(|plane| i64::from(plane.seats));
    println!(
        "    {} seats, the first plane made by {:?}",
        seats.sum::<i64>(),
        found[0].plane.get()?.as_ref().map(|plane| &plane.manufacturer)
    );

    let airlines = BatchOperations::<Airline>::new(pool);
    airlines.batch_get(["OO"]).load_relations(["flights.plane"]).await?;
    let watch = Watch::start(&round_trips);
    let r = Airline::RELATIONS;
    let found = airlines.batch_get(["UA"]).load_relations(r.flights.then(Flight::RELATIONS.plane)).await?;
    let united = found[0].flights.get()?;
    watch.tell(&format!("{:?} with its {} flights and their planes", found[0].name, united.len()), 2)?;
    check(united.len() == all.iter().filter(|flight| flight.carrier == "UA").count(), "all flights of the airline")?;
    check(united.is_sorted_by_key(|flight| (flight.time_hour, flight.flight)), "the declared order")?;
    let first = united.iter().find_map(|flight| flight.plane.get().ok()?.as_ref()).ok_or("a plane")?;
    println!("    the first of them that is known: {} of {}", first.tailnum, first.manufacturer);
    check(
        united.iter().all(|flight| flight.dest.is_not_loaded() && flight.dest_faa.len() == 3),
        "nothing else is loaded",
    )?;
    check(united[0].origin.get().is_err(), "what is not loaded is an error")?;
    println!("all checks hold");
    Ok(())
}

/// Counts the time and round trips of one read.
struct Watch<'r> {
    round_trips: &'r RoundTrips,
    started: Instant,
}

impl<'r> Watch<'r> {
    fn start(round_trips: &'r RoundTrips) -> Self {
        let _ = round_trips.take();
        Watch { round_trips, started: Instant::now() }
    }

    fn tell(self, what: &str, expected: usize) -> Result<(), Failure> {
        let (elapsed, round_trips) = (self.started.elapsed(), self.round_trips.take());
        println!("{what}: {round_trips} round trips, {:.1} ms", elapsed.as_secs_f64() * 1e3);
        check(round_trips == expected, "one round trip for the rows and one for each level, or one for both")
    }
}

fn check(holds: bool, what: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(format!("does not hold: {what}").into()) }
}
