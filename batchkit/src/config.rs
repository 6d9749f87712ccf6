//! The settings of a call: plain data, validated, never changed by a call.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::settings::DatabaseSettings;

/// How a call's rows are divided over transactions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExecutionStrategy {
    /// All rows in one transaction, in as few statements as the limits allow: all or nothing.
    SingleQuery,
    /// A transaction per chunk of [`BatchSize`] rows, one after the other. The rows of one chunk more are taken and made
    /// ready while the server works; it is begun with the COMMIT of the one before.
    #[default]
    Chunked,
    /// Chunks over up to `max_workers` pooled connections at once, each with a range of the keys. Not inside of
    /// a caller's transaction, which has one connection.
    Parallel,
    /// Chunks one after the other, as under `Chunked`, while the rows of the next ones are made ready and those
    /// behind are worked up: [`pre_process`](crate::BatchOperations::pre_process) runs on all cores, and
    /// [`post_process`](crate::Call::post_process) beside the next chunk.
    Pipelined,
    /// All rows in one transaction first; when that fails for a reason that chunking can help, chunks.
    Optimistic,
}

/// How rows travel to the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Transport {
    /// The planner chooses; `explain()` tells what it chose, and why. An insert goes by COPY into the table wherever
    /// that can be, but for a few rows; also where many rows or their keys come back, if nothing changes a value on its
    /// way in: what the server would set is drawn first, and the table is watched so that this holds. Other verbs take
    /// arrays; updates and upserts of very many rows a temporary table.
    #[default]
    Auto,
    /// Binary COPY: into the target table where nothing has to come back that is not known beforehand, else into a
    /// temporary table.
    Copy,
    /// One parameter: an array of the table's row type, for which the table is locked beforehand.
    UnnestRows,
    /// One array parameter per column; arrays and composites share one of the table's row type.
    UnnestColumns,
    /// One statement per row. Slow; for servers or triggers that allow nothing else.
    Single,
}

/// Which of several input rows with the same key is used, by the server's own equality.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicatePolicy {
    /// None: the call is refused, naming the rows, and nothing is written.
    #[default]
    Error,
    /// The first one; the others are reported as duplicates.
    FirstWins,
    /// The last one; the others are reported as duplicates.
    LastWins,
}

/// What happens to a row that the server, or its own values, refuse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRowError {
    /// Its chunk is rolled back, and the call stops.
    #[default]
    Abort,
    /// It is turned away, and the other rows of its chunk go in. A plain `.await` is an error all the same,
    /// which holds the report; `.report()` is not.
    Reject,
}

/// The number of rows per chunk. One whose rows have more bytes than 8 MiB when encoded is made of fewer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchSize {
    /// 100 rows.
    Small,
    /// 500 rows, the guide's default.
    Medium,
    /// 1,000 rows.
    Large,
    /// 5,000 rows.
    #[serde(rename = "xlarge")]
    XLarge,
    /// As many rows as fill 6 MiB, and 100,000 at the most; fewer after chunks that took longer than two seconds. Wide
    /// rows that do not go by COPY into their table fill 2 MiB: those of which 2 MiB hold less than 10,000, or of an insert
    /// that takes COPY for many rows, those of which 6 MiB hold too few for it. As long as an eighth of a chunk's time is
    /// the wait for a server that is far away (as transactions of batchkit's own have measured it) the next one is twice
    /// as large: up to 12 MiB by COPY, and from those 2 MiB to 3.75 MiB. Under [`ExecutionStrategy::Parallel`], where the
    /// number of rows is known beforehand, all workers have the same number of chunks, of at least 5,000 rows that are
    /// not so wide, and at the most 8 MiB.
    #[default]
    Auto,
    /// This many rows; at least 1. Written down, it is the number.
    #[serde(untagged)]
    Rows(usize),
}

impl BatchSize {
    /// The most rows of one chunk.
    #[must_use]
    pub const fn rows(self) -> usize {
        match self {
            BatchSize::Small => 100,
            BatchSize::Medium => 500,
            BatchSize::Large => 1_000,
            BatchSize::XLarge => 5_000,
            BatchSize::Rows(rows) => rows,
            BatchSize::Auto => 100_000,
        }
    }
}

impl From<usize> for BatchSize {
    fn from(rows: usize) -> Self {
        BatchSize::Rows(rows)
    }
}

/// Durations as numbers of seconds, as the guide writes them.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }

    pub(crate) mod optional {
        use super::{Deserialize, Deserializer, Duration, Error, Serializer};

        pub(crate) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
            match duration {
                Some(duration) => serializer.serialize_some(&duration.as_secs_f64()),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
            let seconds = Option::<f64>::deserialize(deserializer)?;
            seconds.map(|seconds| Duration::try_from_secs_f64(seconds).map_err(D::Error::custom)).transpose()
        }
    }
}

/// The settings of [`BatchOperations`](crate::BatchOperations). Every call can override them for itself.
///
/// ```
/// use batchkit::{BatchConfig, BatchSize, ExecutionStrategy};
///
/// let config = BatchConfig { batch_size: BatchSize::Large, ..BatchConfig::default() };
/// assert_eq!(config.execution_strategy, ExecutionStrategy::Chunked);
/// ```
///
/// It can be read from any format of serde, say a file in JSON or TOML. Values are written in `snake_case`, durations
/// as numbers of seconds; what is left out has its default, and a name that is no setting's is an error. Whether the
/// settings make sense together, [`build`](crate::BatchOperationsBuilder::build) tells, and so does each call.
///
/// ```
/// use batchkit::{BatchConfig, BatchSize, ExecutionStrategy};
///
/// let config: BatchConfig = serde_json::from_str(
///     r#"{
///         "execution_strategy": "parallel", "max_workers": 8, "batch_size": 2500,
///         "retry_count": 5, "retry_delay": 0.25, "timeout": 60, "on_row_error": "reject", "max_rejects": 100,
///         "database": { "lock_timeout": 5, "work_mem": "64MB", "synchronous_commit": "off" }
///     }"#,
/// )?;
/// assert_eq!(config.execution_strategy, ExecutionStrategy::Parallel);
/// assert_eq!(config.batch_size, BatchSize::Rows(2500)); // also: "small", "medium", "large", "xlarge", "auto"
/// assert!(serde_json::from_str::<BatchConfig>(r#"{ "batchsize": "small" }"#).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// Code is no plain data: [`pre_process`](crate::BatchOperations::pre_process) is said where rows come in,
/// [`post_process`](crate::Call::post_process) where they come out, and the error callback
/// [for all calls](crate::BatchOperationsBuilder::error_callback) or [for one](crate::Call::error_callback).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// How rows are divided over transactions.
    pub execution_strategy: ExecutionStrategy,
    /// How many rows a chunk has at the most.
    pub batch_size: BatchSize,
    /// Whether chunks are cut by their rows' encoded bytes, whatever `batch_size` says: the same as
    /// [`BatchSize::Auto`].
    pub optimize_for_size: bool,
    /// How rows travel to the server.
    pub transport: Transport,
    /// What to do with input rows of the same key.
    pub duplicates: DuplicatePolicy,
    /// What happens to a row that is refused.
    pub on_row_error: OnRowError,
    /// How many rows may be turned away; with one more, the call stops.
    pub max_rejects: Option<u64>,
    /// What share of the rows may be turned away, in percent: a run in which everything fails alike stops. It is
    /// judged among the rows whose fate is known, from the thousandth of them on.
    pub max_reject_percent: Option<u8>,
    /// How many chunks run at once under [`ExecutionStrategy::Parallel`]; at least 1. More than the pool
    /// has connections is no error: the chunks wait for one.
    pub max_workers: usize,
    /// How many times a chunk is tried again. All chunks of a call together are tried again eight times as often
    /// at the most.
    pub retry_count: u32,
    /// The longest pause before the first retry, in seconds when written down; it doubles with each, to 30
    /// seconds at the most. The pause itself is a random part of it.
    #[serde(with = "seconds")]
    pub retry_delay: Duration,
    /// How long a call may take in all, retries included, in seconds when written down. When it has passed,
    /// the statement is cancelled on the server and its connection discarded.
    #[serde(with = "seconds::optional")]
    pub timeout: Option<Duration>,
    /// The server's settings for each transaction.
    pub database: DatabaseSettings,
    /// Whether calls are counted: see [`BatchOperations::metrics`](crate::BatchOperations::metrics).
    pub collect_metrics: bool,
    /// Whether each chunk that is in is logged, through `tracing` at level INFO: its number and rows, how many rows
    /// the call is done with by then, and how many that is per second.
    pub log_progress: bool,
}

impl Default for BatchConfig {
    fn default() -> Self {
        BatchConfig {
            execution_strategy: ExecutionStrategy::default(),
            batch_size: BatchSize::default(),
            optimize_for_size: false,
            transport: Transport::default(),
            duplicates: DuplicatePolicy::default(),
            on_row_error: OnRowError::default(),
            max_rejects: None,
            max_reject_percent: None,
            max_workers: 4,
            retry_count: 3,
            retry_delay: Duration::from_millis(500),
            timeout: None,
            database: DatabaseSettings::default(),
            collect_metrics: true,
            log_progress: false,
        }
    }
}

impl BatchConfig {
    /// The most bytes of encoded rows in one chunk.
    pub(crate) const CHUNK_BYTES: usize = 8 << 20;

    /// The same, where chunks go one after the other and their size is chosen by itself (this and the next four are read off
    /// the sizes of chunks in docs/performance.md).
    pub(crate) const AUTO_BYTES: usize = 6 << 20;

    /// The same of chunks by COPY where the server is far away.
    pub(crate) const FAR_BYTES: usize = 2 * BatchConfig::AUTO_BYTES;

    /// The same of wide rows that do not go by COPY, at first: the server has all of a statement's array in memory,
    /// several times.
    pub(crate) const WIDE_BYTES: usize = 2 << 20;

    /// Rows that never go by COPY are wide if these are of fewer: rows of 200 bytes and more. (Where one array has more than
    /// some 3 MiB, each row takes the server longer than where it has less: with 10 KB half as long again, on all machines
    /// that the benchmark ran on; with 300 bytes a fifth, measured on one, and not by the benchmark.)
    pub(crate) const WIDE_ROWS: usize = 10_000;

    /// The most bytes of a chunk of wide rows, where the server is far away.
    pub(crate) const WIDE_FAR_BYTES: usize = 15 << 18;

    /// The most rows of one chunk.
    pub(crate) fn chunk_rows(&self) -> usize {
        if self.optimize_for_size { BatchSize::Auto.rows() } else { self.batch_size.rows() }
    }

    /// Whether nobody has said how many rows a chunk has.
    pub(crate) fn sizes_by_itself(&self) -> bool {
        self.optimize_for_size || self.batch_size == BatchSize::Auto
    }

    /// What is wrong with the settings, if anything.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        if self.batch_size.rows() == 0 {
            Some("batch_size must be at least 1")
        } else if self.max_workers == 0 {
            Some("max_workers must be at least 1")
        } else if self.timeout.is_some_and(|timeout| timeout.is_zero()) {
            Some("timeout must be longer than nothing")
        } else if self.max_reject_percent.is_some_and(|percent| percent > 100) {
            Some("max_reject_percent must be 100 at the most")
        } else if self.database.has_empty_span() {
            Some("the database's timeouts must be longer than nothing; None leaves the server's own")
        } else if self.database.has_nul() {
            Some("the database's settings must not have NUL in them")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_the_guide_writes_them() {
        let text = r#"{"execution_strategy": "parallel", "batch_size": "xlarge", "max_workers": 8,
                       "retry_count": 5, "retry_delay": 0.5, "timeout": 30, "duplicates": "last_wins"}"#;
        let config: BatchConfig = serde_json::from_str(text).unwrap();
        let expected = BatchConfig {
            execution_strategy: ExecutionStrategy::Parallel,
            batch_size: BatchSize::XLarge,
            max_workers: 8,
            retry_count: 5,
            timeout: Some(Duration::from_secs(30)),
            duplicates: DuplicatePolicy::LastWins,
            ..BatchConfig::default()
        };
        assert_eq!(config, expected);
        assert_eq!(serde_json::from_str::<BatchConfig>(&serde_json::to_string(&config).unwrap()).unwrap(), config);
        let rows = r#"{"batch_size": 250}"#;
        assert_eq!(serde_json::from_str::<BatchConfig>(rows).unwrap().batch_size, BatchSize::Rows(250));
        assert!(serde_json::from_str::<BatchConfig>(r#"{"batchsize": "small"}"#).is_err());
        assert!(serde_json::from_str::<BatchConfig>(r#"{"retry_delay": -1}"#).is_err());
    }

    /// The guide's names, and those of batchkit's own: each is written down, read back, and has an effect.
    #[test]
    fn every_setting_is_read_back() {
        let changed = serde_json::json!({
            "execution_strategy": "pipelined", "batch_size": "small", "optimize_for_size": true, "transport": "copy",
            "duplicates": "first_wins", "on_row_error": "reject", "max_rejects": 7, "max_reject_percent": 5,
            "max_workers": 9, "retry_count": 1, "retry_delay": 0.125, "timeout": 1.5, "collect_metrics": false,
            "log_progress": true, "database": {
                "isolation_level": "repeatable_read", "statement_timeout": 2.0, "lock_timeout": 3.5,
                "idle_in_transaction_timeout": null, "work_mem": "1MB", "maintenance_work_mem": "2MB",
                "synchronous_commit": "remote_apply",
            },
        });
        let read: BatchConfig = serde_json::from_value(changed.clone()).unwrap();
        assert_eq!((serde_json::to_value(&read).unwrap(), read.problem()), (changed.clone(), None));
        let (defaults, changed) = (serde_json::to_value(BatchConfig::default()).unwrap(), changed.as_object().unwrap());
        for (name, value) in defaults.as_object().unwrap() {
            assert_ne!(value, &changed[name], "{name}");
        }
        for wrong in [
            r#"{"timeout": "30s"}"#,
            r#"{"timeout": 1e300}"#,
            r#"{"batch_size": -1}"#,
            r#"{"batch_size": "tiny"}"#,
            r#"{"execution_strategy": "fast"}"#,
            r#"{"database": {"work_memory": "1MB"}}"#,
        ] {
            assert!(serde_json::from_str::<BatchConfig>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_told() {
        let bad = |change: fn(&mut BatchConfig)| {
            let mut config = BatchConfig::default();
            change(&mut config);
            config.problem()
        };
        assert_eq!(bad(|_| {}), None);
        assert!(bad(|config| config.batch_size = BatchSize::Rows(0)).is_some());
        assert!(bad(|config| config.max_workers = 0).is_some());
        assert!(bad(|config| config.timeout = Some(Duration::ZERO)).is_some());
        assert!(bad(|config| config.max_reject_percent = Some(101)).is_some());
        assert!(bad(|config| config.database.lock_timeout = Some(Duration::ZERO)).is_some());
        assert!(bad(|config| config.database.work_mem = Some("4MB\0".to_owned())).is_some());
    }
}
