//! The rows of the five tables, as structs that serde reads from CSV and batchkit writes to PostgreSQL.
#![allow(missing_docs, reason = "the fields are the data set's own columns")]

use batchkit::{BatchModel, BatchPatch};
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::read::na;

/// An airline.
#[derive(Debug, Clone, PartialEq, Deserialize, BatchModel)]
#[batch(table = "airlines")]
pub struct Airline {
    #[batch(key)]
    pub carrier: String,
    pub name: String,
}

/// An airport of the United States.
#[derive(Debug, Clone, PartialEq, Deserialize, BatchModel)]
#[batch(table = "airports")]
pub struct Airport {
    #[batch(key)]
    pub faa: String,
    pub name: String,
    pub lat: f64,
    pub lon: f64,
    pub alt: i32,
    #[serde(deserialize_with = "na")]
    pub tz: Option<i16>,
    #[serde(deserialize_with = "na")]
    pub dst: Option<String>,
    #[serde(deserialize_with = "na")]
    pub tzone: Option<String>,
}

/// A plane, by its tail number.
#[derive(Debug, Clone, PartialEq, Deserialize, BatchModel)]
#[batch(table = "planes")]
pub struct Plane {
    #[batch(key)]
    pub tailnum: String,
    #[serde(deserialize_with = "na")]
    pub year: Option<i16>,
    pub r#type: String,
    pub manufacturer: String,
    pub model: String,
    pub engines: i16,
    pub seats: i16,
    #[serde(deserialize_with = "na")]
    pub speed: Option<i16>,
    pub engine: String,
}

/// The weather of an hour at one of the three airports.
#[derive(Debug, Clone, PartialEq, Deserialize, BatchModel)]
#[batch(table = "weather")]
pub struct Weather {
    #[batch(key)]
    pub origin: String,
    #[batch(key)]
    pub time_hour: DateTime<Utc>,
    pub year: i16,
    pub month: i16,
    pub day: i16,
    pub hour: i16,
    #[serde(deserialize_with = "na")]
    pub temp: Option<f64>,
    #[serde(deserialize_with = "na")]
    pub dewp: Option<f64>,
    #[serde(deserialize_with = "na")]
    pub humid: Option<f64>,
    #[serde(deserialize_with = "na")]
    pub wind_dir: Option<i16>,
    #[serde(deserialize_with = "na")]
    pub wind_speed: Option<f64>,
    #[serde(deserialize_with = "na")]
    pub wind_gust: Option<f64>,
    #[serde(deserialize_with = "na")]
    pub precip: Option<f64>,
    #[serde(deserialize_with = "na")]
    pub pressure: Option<f64>,
    #[serde(deserialize_with = "na")]
    pub visib: Option<f64>,
}

/// A flight. Its key is its scheduled hour, carrier, number and origin.
#[derive(Debug, Clone, PartialEq, Deserialize, BatchModel)]
#[batch(table = "flights")]
pub struct Flight {
    #[batch(key)]
    pub time_hour: DateTime<Utc>,
    #[batch(key)]
    pub carrier: String,
    #[batch(key)]
    pub flight: i32,
    #[batch(key)]
    pub origin: String,
    pub year: i16,
    pub month: i16,
    pub day: i16,
    pub hour: i16,
    pub minute: i16,
    #[serde(deserialize_with = "na")]
    pub dep_time: Option<i16>,
    pub sched_dep_time: i16,
    #[serde(deserialize_with = "na")]
    pub dep_delay: Option<i16>,
    #[serde(deserialize_with = "na")]
    pub arr_time: Option<i16>,
    pub sched_arr_time: i16,
    #[serde(deserialize_with = "na")]
    pub arr_delay: Option<i16>,
    #[serde(deserialize_with = "na")]
    pub tailnum: Option<String>,
    pub dest: String,
    #[serde(deserialize_with = "na")]
    pub air_time: Option<i16>,
    pub distance: i32,
}

impl Flight {
    /// The flight's key, as `batch_get` and `batch_delete` take it.
    #[must_use]
    pub fn key(&self) -> (DateTime<Utc>, &str, i32, &str) {
        (self.time_hour, &self.carrier, self.flight, &self.origin)
    }
}

/// New delays for a flight: its key and two fields, nothing else.
#[derive(Debug, Clone, PartialEq, BatchPatch)]
#[batch(model = "Flight")]
pub struct FlightDelays {
    pub time_hour: DateTime<Utc>,
    pub carrier: String,
    pub flight: i32,
    pub origin: String,
    pub dep_delay: Option<i16>,
    pub arr_delay: Option<i16>,
}
