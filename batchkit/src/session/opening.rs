//! How a transaction is opened: BEGIN, the mark and the settings are one message.
//!
//! What sets them is a statement that each connection prepares once, by a name, and that this message executes: one of
//! its own would be answered by itself, and its answer wake the client. (Measured by a socket: 5 µs, of some 60 that a
//! transaction of few rows takes.) A connection that does not know the name is sent the statement itself.

use std::fmt::Write;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use foldhash::quality::FixedState;
use postgres_protocol::escape::escape_literal;

use super::fate::TOLD;
use crate::settings::{DatabaseSettings, Plans};

/// How a transaction is opened.
#[derive(Debug)]
pub(crate) struct Opening {
    /// `BEGIN`, with the isolation level.
    begin: &'static str,
    /// The names of settings.
    names: Vec<&'static str>,
    /// Their values, as SQL.
    values: Vec<String>,
    /// What is prepared for it where the transaction reads, and where it writes.
    prepared: [OnceLock<Prepared>; 2],
}

/// A statement that connections prepare by its name.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Its number: the same for the same text, in every process.
    pub(super) number: u64,
    /// The text that prepares it.
    pub(super) text: String,
    /// The message that executes it: what is in front of the mark's key, and behind it for each of the plans.
    front: String,
    behind: [(Plans, String); 2],
}

/// The first statement of a transaction: it sets its mark, and makes the settings of these names. One that `writes` tells
/// what it can be found by. (What is a condition need not be answered; none of them is false.)
fn settle<'n, V: AsRef<str>>(key: &str, settings: impl Iterator<Item = (&'n str, V)>, writes: bool) -> String {
    let told = if writes { TOLD } else { "" };
    let mut text = format!("SELECT {told} WHERE pg_try_advisory_xact_lock_shared({key}) IS NOT NULL");
    for (name, value) in settings {
        _ = write!(text, " AND set_config('{name}', {}, true) IS NOT NULL", value.as_ref());
    }
    text
}

impl Opening {
    /// A transaction with these settings: their names, which are constants, and their values.
    pub(crate) fn new(begin: &'static str, settings: Vec<(&'static str, String)>) -> Self {
        let (names, values) = settings.into_iter().map(|(name, value)| (name, escape_literal(&value))).unzip();
        Opening { begin, names, values, prepared: [OnceLock::new(), OnceLock::new()] }
    }

    /// A transaction with the server's own settings.
    pub(crate) fn plain() -> Self {
        Opening::new("BEGIN", Vec::new())
    }

    /// What is prepared for a transaction that `writes` or not.
    pub(super) fn prepared(&self, writes: bool) -> &Prepared {
        self.prepared[usize::from(writes)].get_or_init(|| {
            let names = self.names.iter().copied().chain([Plans::NAME]);
            let settings = names.zip(2..).map(|(name, parameter)| (name, format!("${parameter}")));
            let settle = settle("$1", settings, writes);
            let number = FixedState::default().hash_one(&settle);
            let name = format!("batchkit_{number:016x}");
            let types = ", text".repeat(self.names.len() + 1);
            let values: String = self.values.iter().flat_map(|value| [", ", value]).collect();
            Prepared {
                number,
                text: format!("PREPARE {name} (int8{types}) AS {settle}"),
                front: format!("{}; EXECUTE {name}('", self.begin),
                behind: Plans::ALL.map(|plans| (plans, format!("'{values}, '{}')", plans.value()))),
            }
        })
    }

    /// The message on a connection that has the statement prepared.
    pub(super) fn by_name(prepared: &Prepared, plans: Plans, key: i64) -> String {
        let behind = prepared.behind.iter().find(|(of, _)| *of == plans).map_or("", |(_, behind)| behind);
        format!("{}{key}{behind}", prepared.front)
    }

    /// The message on any connection.
    pub(super) fn by_itself(&self, plans: Plans, key: i64, writes: bool) -> String {
        format!("{}; {}", self.begin, self.settling(plans, key, writes))
    }

    /// The same without BEGIN.
    pub(super) fn settling(&self, plans: Plans, key: i64, writes: bool) -> String {
        let plans = format!("'{}'", plans.value());
        let values = self.values.iter().chain([&plans]);
        settle(&format!("'{key}'"), self.names.iter().copied().chain([Plans::NAME]).zip(values), writes)
    }
}

/// How transactions are opened, kept for the settings of most calls.
#[derive(Debug, Default)]
pub(crate) struct Openings(Mutex<Option<(DatabaseSettings, Arc<Opening>)>>);

impl Openings {
    /// How transactions with these settings are opened.
    pub(crate) fn of(&self, settings: &DatabaseSettings) -> Arc<Opening> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, opening)) = last.as_ref().filter(|(known, _)| known == settings) {
            return Arc::clone(opening);
        }
        let opening = Arc::new(settings.opening());
        *last = Some((settings.clone(), Arc::clone(&opening)));
        opening
    }
}
