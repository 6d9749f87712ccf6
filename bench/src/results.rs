//! What was measured, as plain data: the report is made of nothing else.

use std::collections::BTreeSet;

use batchkit::Transport;
use serde::{Deserialize, Serialize};

use crate::contestants::Name;
use crate::task::Verb;

/// Everything of one run of this program.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Results {
    pub machine: Machine,
    /// How often each contestant had its turn.
    pub repetitions: usize,
    /// The calls in a turn with few rows.
    pub calls: usize,
    /// One for each number of rows.
    pub large: Vec<Table>,
    /// The same, with few rows: medians of single calls.
    pub small: Vec<Table>,
    /// The same, with the client and the server on processors of their own.
    #[serde(default)]
    pub apart: Vec<Table>,
    /// The same, to a server to which a round trip takes so many seconds.
    #[serde(default)]
    pub far: Vec<(f64, Table)>,
    pub steady: Vec<Steady>,
    #[serde(default)]
    pub crossover: Vec<Crossover>,
    #[serde(default)]
    pub instructions: Counts,
    #[serde(default)]
    pub sweep: Vec<Sweep>,
}

/// How wide the rows are whose chunks have different sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Width {
    /// The eight columns that all comparisons have.
    Narrow,
    /// One text, of 300 bytes.
    Text,
    /// One text, of 10 KB.
    Wide,
}

/// How long batchkit took for some rows in chunks of one size.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Sweep {
    pub width: Width,
    pub verb: Verb,
    /// Of the way to the server, in milliseconds.
    pub delay: u64,
    pub rows: usize,
    /// `None` is `BatchSize::Auto`.
    pub size: Option<usize>,
    pub time: Time,
}

/// The client's work in instructions per row, for calls with so many rows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Counts {
    pub rows: usize,
    pub counts: Vec<Count>,
}

/// The instructions of one contestant for one verb, per row.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Count {
    pub verb: Verb,
    pub name: Name,
    pub instructions: f64,
}

impl Counts {
    /// The same as a table of times: the grids are made of those.
    pub fn table(&self) -> Table {
        let entry = |count: &Count| {
            let time = Time { cpu: count.instructions, ..Time::default() };
            Entry { verb: count.verb, name: count.name, time }
        };
        Table { rows: self.rows, entries: self.counts.iter().map(entry).collect() }
    }
}

/// Where and when it was measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gib: f64,
    pub server: String,
    pub date: String,
    pub command: String,
}

/// What was measured with one number of rows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Table {
    pub rows: usize,
    pub entries: Vec<Entry>,
}

/// How long one contestant took for one verb.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Entry {
    pub verb: Verb,
    pub name: Name,
    pub time: Time,
}

/// Medians, in seconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Time {
    /// By the clock on the wall.
    pub wall: f64,
    /// The shortest of them.
    pub least: f64,
    /// Of the client's processor, all threads together.
    pub cpu: f64,
}

/// The first and the last of the calls on one connection.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Steady {
    pub verb: Verb,
    pub name: Name,
    pub first: Time,
    pub last: Time,
}

impl Table {
    pub fn get(&self, verb: Verb, name: Name) -> Option<Time> {
        self.entries.iter().find(|entry| entry.verb == verb && entry.name == name).map(|entry| entry.time)
    }

    /// The verbs that were measured, in their order.
    pub fn verbs(&self) -> Vec<Verb> {
        let verbs: BTreeSet<Verb> = self.entries.iter().map(|entry| entry.verb).collect();
        verbs.into_iter().collect()
    }

    /// Those that took part, in their order.
    pub fn names(&self) -> Vec<Name> {
        let names: BTreeSet<Name> = self.entries.iter().map(|entry| entry.name).collect();
        names.into_iter().collect()
    }

    /// The best of those that are chosen.
    pub fn best(&self, verb: Verb, chosen: impl Fn(Name) -> bool, of: fn(Time) -> f64) -> Option<f64> {
        let entries = self.entries.iter().filter(|entry| entry.verb == verb && chosen(entry.name));
        entries.map(|entry| of(entry.time)).min_by(f64::total_cmp)
    }
}

/// How long batchkit took for one verb by one transport.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Crossover {
    pub verb: Verb,
    pub rows: usize,
    pub transport: Transport,
    pub time: Time,
}
