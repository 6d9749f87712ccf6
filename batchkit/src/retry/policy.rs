//! How one call's chunks and questions are retried, and when it has to be over.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Budget, CallWatch, Workers};
use crate::config::{BatchConfig, ExecutionStrategy, OnRowError};
use crate::error::{Error, Result};
use crate::observe::ErrorObserver;
use crate::session::{Opening, Total};

/// How a call's chunks are retried.
#[derive(Debug)]
pub(crate) struct Policy {
    /// The most retries of one chunk.
    pub(crate) retry_count: u32,
    /// The first pause's span.
    pub(crate) retry_delay: Duration,
    /// The retries that all chunks have left together.
    pub(crate) budget: Budget,
    /// When the call has to be over.
    pub(crate) deadline: Option<Instant>,
    /// The places of chunks that have a connection.
    pub(crate) workers: Workers,
    /// How transactions are opened.
    pub(crate) opening: Arc<Opening>,
    /// Whether transactions see one state of the data from beginning to end.
    pub(crate) is_snapshot: bool,
    /// Whether bad rows are turned away.
    pub(crate) rejects: bool,
    /// Whether a chunk that is too much for the server may be cut in two.
    pub(crate) is_divisible: bool,
    /// Whether the call is still wanted.
    pub(crate) call: CallWatch,
    /// Who is told of every error.
    pub(crate) observer: ErrorObserver,
    /// How often the call has waited for the server.
    pub(crate) round_trips: Total,
}

impl Policy {
    /// How a call with these settings is retried.
    pub(crate) fn new(config: &BatchConfig, opening: Arc<Opening>, call: CallWatch, observer: ErrorObserver) -> Self {
        let is_parallel = config.execution_strategy == ExecutionStrategy::Parallel;
        Policy {
            opening,
            rejects: config.on_row_error == OnRowError::Reject,
            call,
            retry_count: config.retry_count,
            retry_delay: config.retry_delay,
            budget: Budget::new(config.retry_count),
            deadline: config.timeout.map(|timeout| Instant::now() + timeout),
            workers: Workers::new(if is_parallel { config.max_workers } else { 1 }),
            is_snapshot: config.database.is_snapshot(),
            is_divisible: config.execution_strategy != ExecutionStrategy::SingleQuery,
            observer,
            round_trips: Total::default(),
        }
    }

    /// A policy without a deadline, for tests of the decision.
    #[cfg(test)]
    pub(super) fn of_tests(retry_count: u32, retry_delay: Duration) -> Self {
        Policy {
            retry_count,
            retry_delay,
            budget: Budget::new(retry_count),
            deadline: None,
            workers: Workers::new(1),
            opening: Arc::new(crate::settings::DatabaseSettings::default().opening()),
            is_snapshot: false,
            rejects: false,
            is_divisible: true,
            call: CallWatch::default(),
            observer: ErrorObserver::default(),
            round_trips: Total::default(),
        }
    }

    /// Whether the call was dropped.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.call.is_over()
    }

    /// Waits until the call is dropped.
    pub(crate) async fn abandoned(&self) {
        self.call.over().await;
    }

    /// Waits for a step, but not beyond the deadline. See [`within`].
    pub(crate) async fn within_deadline<T>(&self, step: Pin<&mut impl Future<Output = Result<T>>>) -> Result<T> {
        within(self.deadline, step).await
    }

    /// The same, for what has not begun: nor is it waited for any longer than the call lives.
    pub(crate) async fn while_wanted<T>(&self, step: Pin<&mut impl Future<Output = Result<T>>>) -> Result<T> {
        if self.is_abandoned() {
            return Err(Error::abandoned());
        }
        // Most often the step is done at once: it is asked first.
        tokio::select! {
            biased;
            answer = self.within_deadline(step) => answer,
            () = self.abandoned() => Err(Error::abandoned()),
        }
    }
}

/// Waits for a step, but not beyond a deadline. The step stays where its caller has pinned it: a future that takes another
/// one by value has room for it twice, and is copied with it each time that it is moved itself.
pub(crate) async fn within<T>(deadline: Option<Instant>, step: Pin<&mut impl Future<Output = Result<T>>>) -> Result<T> {
    match deadline {
        None => step.await,
        Some(deadline) => tokio::time::timeout_at(deadline, step).await.unwrap_or_else(|_| Err(Error::timeout())),
    }
}
