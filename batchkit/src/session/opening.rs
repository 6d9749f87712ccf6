//! How a transaction is opened: BEGIN, the mark and the settings are one message.
//!
//! What sets them is a statement that each connection prepares once, by a name, and that this message executes: one of
//! its own would be answered by itself, and its answer wake the client. (Measured by a socket: 5 µs, of some 60 that a
//! transaction of few rows takes.) A connection that does not know the name is sent the statement itself.

use std::fmt::Write;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use foldhash::quality::FixedState;
use postgres_protocol::escape::escape_literal;

use super::fate::TOLD;
use super::trips::Latency;
use crate::settings::{DatabaseSettings, Plans};

/// How a transaction is opened.
#[derive(Debug)]
pub(crate) struct Opening {
    /// `BEGIN`, with the isolation level.
    begin: &'static str,
    /// Settings that most calls make: their names and values, which are constants.
    usual: Vec<(&'static str, String)>,
    /// The others, whose values are not a part of what is prepared: there is no end of them.
    own: Vec<(&'static str, String)>,
    /// What is prepared for it where the transaction reads, and where it writes.
    prepared: [OnceLock<Prepared>; 2],
    latency: Latency,
}

/// Statements that connections prepare by their names, for each of the plans one.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Their number: the same for the same text, in every process.
    pub(super) number: u64,
    /// The text that prepares them.
    pub(super) text: String,
    /// The messages that execute them: what is in front of the mark's key, and behind it.
    messages: [(Plans, String, String); 2],
}

/// The first statement of a transaction: it sets its mark, and makes settings. One that `writes` tells what it can be
/// found by. (What is a condition need not be answered; none of them is false.)
fn settle<'s>(key: &str, settings: impl Iterator<Item = (&'s str, &'s str)>, writes: bool) -> String {
    let told = if writes { TOLD } else { "" };
    let mut text = format!("SELECT {told} WHERE pg_try_advisory_xact_lock_shared({key}) IS NOT NULL");
    for (name, value) in settings {
        _ = write!(text, " AND set_config('{name}', {value}, true) IS NOT NULL");
    }
    text
}

impl Opening {
    /// A transaction with usual settings and with some of its own: their names, which are constants, and their values.
    pub(crate) fn new(
        begin: &'static str,
        usual: Vec<(&'static str, String)>,
        own: Vec<(&'static str, String)>,
    ) -> Self {
        let literals = |settings: Vec<(&'static str, String)>| {
            settings.into_iter().map(|(name, value)| (name, escape_literal(&value))).collect()
        };
        let (usual, own) = (literals(usual), literals(own));
        Opening { begin, usual, own, prepared: [OnceLock::new(), OnceLock::new()], latency: Latency::default() }
    }

    /// How long it took at least that one was opened so, if that was measured: hardly longer than a round trip.
    pub(crate) fn latency(&self) -> Option<Duration> {
        self.latency.get()
    }

    /// One was opened so, in so much time.
    pub(super) fn measured(&self, time: Duration) {
        self.latency.measured(time);
    }

    /// A transaction with the server's own settings.
    pub(crate) fn plain() -> Self {
        Opening::new("BEGIN", Vec::new(), Vec::new())
    }

    /// What is prepared for a transaction that `writes` or not.
    pub(super) fn prepared(&self, writes: bool) -> &Prepared {
        self.prepared[usize::from(writes)].get_or_init(|| {
            let parameters: Vec<String> = (0..self.own.len()).map(|number| format!("${}", number + 2)).collect();
            let own = self.own.iter().zip(&parameters).map(|((name, _), parameter)| (*name, &**parameter));
            let texts = Plans::ALL.map(|plans| settle("$1", own.clone().chain(self.usual(plans)), writes));
            let number = FixedState::default().hash_one(&texts);
            let name = |at: usize| format!("batchkit_{number:016x}_{at}");
            let types = ", text".repeat(parameters.len());
            let prepare = |(at, text)| format!("PREPARE {} (int8{types}) AS {text};", name(at));
            let values: String = self.own.iter().flat_map(|(_, value)| [", ", value]).collect();
            let message =
                |at| (Plans::ALL[at], format!("{}; EXECUTE {}('", self.begin, name(at)), format!("'{values})"));
            Prepared {
                number,
                text: texts.iter().enumerate().map(prepare).collect(),
                messages: [message(0), message(1)],
            }
        })
    }

    /// The message on a connection that has the statements prepared.
    pub(super) fn by_name(prepared: &Prepared, plans: Plans, key: i64) -> String {
        let [first, second] = &prepared.messages;
        let (_, front, behind) = if first.0 == plans { first } else { second };
        format!("{front}{key}{behind}")
    }

    /// The message on any connection.
    pub(super) fn by_itself(&self, plans: Plans, key: i64, writes: bool) -> String {
        format!("{}; {}", self.begin, self.settling(plans, key, writes))
    }

    /// The same without BEGIN.
    pub(super) fn settling(&self, plans: Plans, key: i64, writes: bool) -> String {
        let own = self.own.iter().map(|(name, value)| (*name, &**value));
        settle(&format!("'{key}'"), own.chain(self.usual(plans)), writes)
    }

    /// The usual settings, and that of the plans.
    fn usual(&self, plans: Plans) -> impl Iterator<Item = (&str, &str)> {
        self.usual.iter().map(|(name, value)| (*name, &**value)).chain([(Plans::NAME, plans.value())])
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
