//! Who takes part. Each does the same work as its own documentation recommends, with statements that stay prepared,
//! on connections of its own that stay open.

mod batchkit;
mod copy;
mod diesel;
mod floor;
mod pgorm;
pub mod schema;
mod sea_orm;
mod single;
mod sqlx;
mod unnest;

use async_trait::async_trait;
use batchkit_testbed::server::{Database, Server};
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::task::{Answer, Task, Verb};

pub use self::batchkit::Batchkit;
pub use floor::write_file;

/// The most parameters of one statement, by the protocol.
const PARAMETERS: usize = 65_535;

/// One who takes part, with connections of its own.
#[async_trait]
pub trait Contestant: Send {
    /// Does the work; `None` is the answer of who has no way to do it, or none with so many rows.
    async fn run(&mut self, verb: Verb, task: &mut Task) -> Result<Option<Answer>, Failure>;
}

/// Where the contestants connect to.
pub struct Place {
    pub server: Server,
    pub database: Database,
    /// Another chunk size for batchkit than its default, to try it.
    pub batch_size: Option<usize>,
}

/// The name of a contestant, and how it connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    /// The server alone.
    Floor,
    Batchkit,
    BatchkitParallel,
    Copy,
    Unnest,
    Sqlx,
    Diesel,
    SeaOrm,
    Pgorm,
    Single,
}

impl Name {
    pub const ALL: [Name; 10] = [
        Name::Floor,
        Name::Batchkit,
        Name::BatchkitParallel,
        Name::Copy,
        Name::Unnest,
        Name::Sqlx,
        Name::Diesel,
        Name::SeaOrm,
        Name::Pgorm,
        Name::Single,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Name::Floor => "floor: the server alone",
            Name::Batchkit => "batchkit",
            Name::BatchkitParallel => "batchkit, Parallel on two workers",
            Name::Copy => "tokio-postgres by hand, COPY",
            Name::Unnest => "tokio-postgres by hand, UNNEST",
            Name::Sqlx => "sqlx 0.9, UNNEST",
            Name::Diesel => "diesel-async 0.9",
            Name::SeaOrm => "sea-orm 2",
            Name::Pgorm => "pgorm 0.3",
            Name::Single => "single statements",
        }
    }

    /// Whether it is someone that batchkit is measured by.
    pub fn is_peer(self) -> bool {
        !matches!(self, Name::Floor | Name::Batchkit | Name::BatchkitParallel)
    }

    /// Whether its library has no form for this, so that its users take another.
    pub fn is_makeshift(self, verb: Verb) -> bool {
        verb == Verb::Update && matches!(self, Name::Diesel | Name::SeaOrm | Name::Pgorm)
    }

    /// Whether it takes part with so many rows.
    pub fn takes_part(self, rows: usize) -> bool {
        match self {
            Name::Floor => rows >= 1_000,
            // Longer than anybody would wait for it.
            Name::Single => (1_000..=10_000).contains(&rows),
            _ => true,
        }
    }

    /// Connects to the database of this place, perhaps by another way.
    pub async fn connect(self, place: &Place, database: &Database) -> Result<Box<dyn Contestant>, Failure> {
        Ok(match self {
            Name::Floor => Box::new(floor::Floor::connect(place).await?),
            Name::Batchkit => Box::new(batchkit::Batchkit::connect(place, database, 1)?),
            Name::BatchkitParallel => Box::new(batchkit::Batchkit::connect(place, database, 2)?),
            Name::Copy => Box::new(copy::Copy::connect(database).await?),
            Name::Unnest => Box::new(unnest::Unnest::connect(database).await?),
            Name::Sqlx => Box::new(sqlx::Sqlx::connect(database).await?),
            Name::Diesel => Box::new(diesel::Diesel::connect(database).await?),
            Name::SeaOrm => Box::new(sea_orm::SeaOrm::connect(database).await?),
            Name::Pgorm => Box::new(pgorm::Pgorm::connect(database).await?),
            Name::Single => Box::new(single::Single::connect(database).await?),
        })
    }
}
