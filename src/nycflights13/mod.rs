//! A real data set for examples and tests: all flights that left New York City in 2013.
//!
//! The files lie in `examples/data/nycflights13`, with their licence and the counts that can be asserted.

mod models;
mod read;

pub use models::{Airline, Airport, Flight, FlightDelays, Plane, Weather};
pub use read::{ReadError, airlines, airports, flights, planes, weather};

/// The statements that make the five tables, each with its natural key.
pub const TABLES: &str = include_str!("tables.sql");

/// The number of rows of each file, as its README states them.
pub mod rows {
    /// Rows of `airlines.csv`.
    pub const AIRLINES: u64 = 16;
    /// Rows of `airports.csv`.
    pub const AIRPORTS: u64 = 1_458;
    /// Rows of `planes.csv`.
    pub const PLANES: u64 = 3_322;
    /// Rows of `weather.csv`.
    pub const WEATHER: u64 = 26_115;
    /// Rows of `flights.csv.zst`.
    pub const FLIGHTS: u64 = 336_776;
}
