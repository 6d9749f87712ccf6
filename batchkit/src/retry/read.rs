//! Retries of a question to the server that writes nothing: it may be asked again without a thought.

use super::{Answer, Backoff, Policy, Stage, classify};
use crate::error::{Error, Result};

/// The retries of one question.
pub(crate) struct Retries<'a> {
    policy: &'a Policy,
    pauses: Backoff,
    count: u32,
}

impl<'a> Retries<'a> {
    pub(crate) fn new(policy: &'a Policy) -> Self {
        Retries { policy, pauses: Backoff::new(policy.retry_delay, fastrand::Rng::new()), count: 0 }
    }

    /// Pauses before the question is asked again.
    ///
    /// # Errors
    /// The error itself, when asking again would not mend it or has been tried often enough.
    pub(crate) async fn pause_after(&mut self, error: Error) -> Result<()> {
        let answer = classify(error.failure(Stage::Work, self.policy.is_snapshot));
        let worth_it = matches!(answer, Answer::Again | Answer::Fresh | Answer::FreshOnce) && error.is_of_the_server();
        let over = self.count >= self.policy.retry_count || self.policy.is_over();
        if !worth_it || over || !self.policy.budget.take() {
            return Err(error);
        }
        self.count += 1;
        tokio::time::sleep(self.pauses.next().unwrap_or_default()).await;
        Ok(())
    }
}
