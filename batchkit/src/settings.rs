//! The server's settings for a call's transactions: plain data, gone with the transaction.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::seconds;
use crate::session::Opening;

/// What a transaction sees of others that run at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IsolationLevel {
    /// Each statement sees what is committed when it starts.
    ReadCommitted,
    /// All statements see what was committed when the first one started. A chunk that meets a rival's newer row
    /// is repeated.
    RepeatableRead,
    /// As if transactions ran one after the other. A chunk that cannot be put in such an order is repeated.
    Serializable,
}

/// When COMMIT answers. Weaker values than `On` may lose the last chunks when the server crashes, and the report
/// cannot know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SynchronousCommit {
    /// Once it is on disk here, and where the server says so on its standbys.
    On,
    /// Once the standbys have applied it.
    RemoteApply,
    /// Once the standbys have written it.
    RemoteWrite,
    /// Once it is on disk here.
    Local,
    /// At once.
    Off,
}

/// Settings of each transaction that a call opens. `None` leaves the server's own.
///
/// They are set with `set_config(…, true)`, so no connection goes back to the pool with them. In a caller's
/// transaction they are not looked at: nothing is changed there.
///
/// ```
/// use batchkit::{BatchConfig, DatabaseSettings, IsolationLevel};
///
/// let database = DatabaseSettings { work_mem: Some("64MB".into()), ..DatabaseSettings::default() };
/// let config = BatchConfig { database, ..BatchConfig::default() };
/// # let json = serde_json::json!({ "database": { "isolation_level": "serializable", "lock_timeout": 0.5 } });
/// # let config: BatchConfig = serde_json::from_value(json).unwrap();
/// # assert_eq!(config.database.isolation_level, Some(IsolationLevel::Serializable));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseSettings {
    /// What the transactions see of others.
    pub isolation_level: Option<IsolationLevel>,
    /// How long one statement may take, in seconds when written down. A chunk that takes longer is cut in two,
    /// unless all rows are to be one transaction.
    #[serde(with = "seconds::optional")]
    pub statement_timeout: Option<Duration>,
    /// How long a lock is waited for, in seconds when written down; the chunk is tried again then.
    #[serde(with = "seconds::optional")]
    pub lock_timeout: Option<Duration>,
    /// How long the server keeps a transaction, and its locks, of a client that has fallen silent, in seconds
    /// when written down. A minute by default: chunks are complete before they are begun, so nothing of ours is
    /// idle that long.
    #[serde(with = "seconds::optional")]
    pub idle_in_transaction_timeout: Option<Duration>,
    /// The memory of a sort or a hash, as PostgreSQL writes it: `64MB`.
    pub work_mem: Option<String>,
    /// The memory of building an index or checking a foreign key, as PostgreSQL writes it.
    pub maintenance_work_mem: Option<String>,
    /// When COMMIT answers.
    pub synchronous_commit: Option<SynchronousCommit>,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        DatabaseSettings {
            isolation_level: None,
            statement_timeout: None,
            lock_timeout: None,
            idle_in_transaction_timeout: Some(Duration::from_secs(60)),
            work_mem: None,
            maintenance_work_mem: None,
            synchronous_commit: None,
        }
    }
}

/// What the plans of a transaction's statements are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plans {
    /// For the rows that each has: a statement that is prepared would turn to a plan made for ten of them at its
    /// sixth execution, and be slow with many.
    OfTheirRows,
    /// For ten rows, once: with few rows making a plan costs as much as the work, and the server would rather read a
    /// table of some thousand rows than look some hundred of them up.
    OfFew,
}

impl Plans {
    /// The most rows for which a plan of few rows is as good, whatever the statement does: looking so many up costs a
    /// few milliseconds.
    pub(crate) const FEW: usize = 500;

    /// The same of a statement that looks keys up in an index of theirs, in a table that has so many rows. To plan for
    /// a list of keys costs the server a third of the work with each; but it may find that reading the table is quicker
    /// than looking many of its rows up.
    pub(crate) fn few_of(table: u64) -> usize {
        /// With more, a plan that does not use the index after all would be too dear: it compares each row of the table
        /// with each key.
        const MOST: usize = 10_000;
        usize::try_from(table / 10).unwrap_or(MOST).clamp(Self::FEW, MOST)
    }

    /// The plans of a statement with so many rows, of which so many are few.
    pub(crate) fn of(rows: usize, few: usize) -> Self {
        if rows <= few { Plans::OfFew } else { Plans::OfTheirRows }
    }

    /// All of them.
    pub(crate) const ALL: [Plans; 2] = [Plans::OfTheirRows, Plans::OfFew];

    /// The setting that makes them.
    pub(crate) const NAME: &'static str = "plan_cache_mode";

    /// Its value, as SQL.
    pub(crate) fn value(self) -> &'static str {
        match self {
            Plans::OfTheirRows => "'force_custom_plan'",
            Plans::OfFew => "'force_generic_plan'",
        }
    }
}

impl DatabaseSettings {
    /// How transactions with these settings are opened.
    pub(crate) fn opening(&self) -> Opening {
        // The driver logs notices, in which a trigger may quote rows.
        let (mut usual, mut own) = (vec![("client_min_messages", "error".to_owned())], Vec::new());
        for ((name, value), (_, default)) in self.to_set().into_iter().zip(Self::default().to_set()) {
            let settings = if value == default { &mut usual } else { &mut own };
            settings.extend(value.map(|value| (name, value)));
        }
        let begin = match self.isolation_level {
            None => "BEGIN",
            Some(IsolationLevel::ReadCommitted) => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Some(IsolationLevel::RepeatableRead) => "BEGIN ISOLATION LEVEL REPEATABLE READ",
            Some(IsolationLevel::Serializable) => "BEGIN ISOLATION LEVEL SERIALIZABLE",
        };
        Opening::new(begin, usual, own)
    }

    /// What is set in the transaction: names, and values as the server reads them.
    fn to_set(&self) -> [(&'static str, Option<String>); 6] {
        let milliseconds = |span: Option<Duration>| span.map(|span| span.as_millis().max(1).to_string());
        let synchronous = |level| match level {
            SynchronousCommit::On => "on",
            SynchronousCommit::RemoteApply => "remote_apply",
            SynchronousCommit::RemoteWrite => "remote_write",
            SynchronousCommit::Local => "local",
            SynchronousCommit::Off => "off",
        };
        [
            ("statement_timeout", milliseconds(self.statement_timeout)),
            ("lock_timeout", milliseconds(self.lock_timeout)),
            ("idle_in_transaction_session_timeout", milliseconds(self.idle_in_transaction_timeout)),
            ("work_mem", self.work_mem.clone()),
            ("maintenance_work_mem", self.maintenance_work_mem.clone()),
            ("synchronous_commit", self.synchronous_commit.map(|level| synchronous(level).to_owned())),
        ]
    }

    /// Whether a timeout is zero, which would mean none to the server.
    pub(crate) fn has_empty_span(&self) -> bool {
        let spans = [self.statement_timeout, self.lock_timeout, self.idle_in_transaction_timeout];
        spans.into_iter().flatten().any(|span| span.is_zero())
    }

    /// Whether a text has NUL in it, which no message can carry.
    pub(crate) fn has_nul(&self) -> bool {
        [&self.work_mem, &self.maintenance_work_mem].into_iter().flatten().any(|text| text.contains('\0'))
    }

    /// Whether a transaction sees one state of the data from its first statement to its last.
    pub(crate) fn is_snapshot(&self) -> bool {
        matches!(self.isolation_level, Some(IsolationLevel::RepeatableRead | IsolationLevel::Serializable))
    }
}
