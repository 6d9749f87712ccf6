//! Reading the CSV files; `NA` is null.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use super::models::{Airline, Airport, Flight, Plane, Weather};

/// A file could not be read: which one, and why.
#[derive(Debug)]
pub struct ReadError {
    file: PathBuf,
    why: String,
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.why)
    }
}

impl std::error::Error for ReadError {}

/// The airlines.
///
/// # Errors
/// When the file is missing or is not what its README says. So for all of these functions.
pub fn airlines() -> Result<Vec<Airline>, ReadError> {
    read("airlines.csv")
}

/// The airports.
///
/// # Errors
/// As [`airlines`].
pub fn airports() -> Result<Vec<Airport>, ReadError> {
    read("airports.csv")
}

/// The planes.
///
/// # Errors
/// As [`airlines`].
pub fn planes() -> Result<Vec<Plane>, ReadError> {
    read("planes.csv")
}

/// The weather.
///
/// # Errors
/// As [`airlines`].
pub fn weather() -> Result<Vec<Weather>, ReadError> {
    read("weather.csv")
}

/// The flights, from the compressed file.
///
/// # Errors
/// As [`airlines`].
pub fn flights() -> Result<Vec<Flight>, ReadError> {
    read("flights.csv.zst")
}

/// Where the files are: beside the program's sources, or below the working folder if those are gone.
fn folder() -> PathBuf {
    let below = Path::new("examples").join("data").join("nycflights13");
    if below.is_dir() { below } else { Path::new(env!("CARGO_MANIFEST_DIR")).join(below) }
}

fn read<T: DeserializeOwned>(name: &str) -> Result<Vec<T>, ReadError> {
    let file = folder().join(name);
    let failed = |why: String| ReadError { file: file.clone(), why };
    let opened = File::open(&file).map_err(|error| failed(error.to_string()))?;
    let bytes: Box<dyn Read> = if name.ends_with(".zst") {
        Box::new(ruzstd::decoding::StreamingDecoder::new(opened).map_err(|error| failed(error.to_string()))?)
    } else {
        Box::new(opened)
    };
    csv::Reader::from_reader(bytes)
        .into_deserialize()
        .collect::<Result<_, _>>()
        .map_err(|error| failed(error.to_string()))
}

/// Reads a field that may be `NA`.
pub(super) fn na<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: std::fmt::Display>,
{
    match Cow::<str>::deserialize(deserializer)? {
        text if text == "NA" => Ok(None),
        text => text.parse().map(Some).map_err(D::Error::custom),
    }
}
