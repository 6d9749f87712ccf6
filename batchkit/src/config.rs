//! The settings of a call: plain data, validated, never changed by a call.

use serde::{Deserialize, Serialize};

/// How a call's rows are divided over transactions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExecutionStrategy {
    /// All rows in one transaction, in as few statements as the limits allow: all or nothing.
    SingleQuery,
    /// A transaction per chunk of [`BatchSize`] rows, one after the other.
    #[default]
    Chunked,
}

/// How rows travel to the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Transport {
    /// The planner chooses; `explain()` tells what it chose, and why.
    #[default]
    Auto,
    /// Binary COPY: into the target table where nothing has to come back, else into a temporary table.
    Copy,
    /// One parameter: an array of the table's row type.
    UnnestRows,
    /// One array parameter per column.
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

/// The number of rows per chunk.
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
    /// This many rows; at least 1.
    Rows(usize),
    /// As many rows as fill the byte budget of a chunk, 20,000 at the most.
    #[default]
    Auto,
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
            BatchSize::Auto => 20_000,
        }
    }
}

impl From<usize> for BatchSize {
    fn from(rows: usize) -> Self {
        BatchSize::Rows(rows)
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// How rows are divided over transactions.
    pub execution_strategy: ExecutionStrategy,
    /// How many rows a chunk has at the most.
    pub batch_size: BatchSize,
    /// How rows travel to the server.
    pub transport: Transport,
    /// What to do with input rows of the same key.
    pub duplicates: DuplicatePolicy,
}

impl BatchConfig {
    /// The most bytes of encoded rows in one chunk.
    pub(crate) const CHUNK_BYTES: usize = 8 << 20;

    /// What is wrong with the settings, if anything.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        (self.batch_size.rows() == 0).then_some("batch_size must be at least 1")
    }
}
