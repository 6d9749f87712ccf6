//! Retries of a question to the server that writes nothing: it may be asked again without a thought.

use super::tries::Tries;
use super::{Answer, Policy, Stage, classify};
use crate::error::{Error, Result};

/// The retries of one question.
pub(crate) struct Retries<'a> {
    policy: &'a Policy,
    tries: Tries<'a>,
}

impl<'a> Retries<'a> {
    pub(crate) fn new(policy: &'a Policy) -> Self {
        Retries { policy, tries: Tries::new(policy) }
    }

    /// Pauses before the question is asked again.
    ///
    /// # Errors
    /// The error itself, when asking again would not mend it, has been tried often enough, or would begin behind
    /// the deadline.
    pub(crate) async fn pause_after(&mut self, error: Error) -> Result<()> {
        let answer = classify(error.failure(Stage::Work, self.policy.is_snapshot));
        let is_worth_it = matches!(answer, Answer::Again | Answer::Fresh | Answer::FreshOnce);
        let pause = if is_worth_it && error.can_be_answered() { self.tries.again(answer) } else { None };
        let Some(pause) = pause else { return Err(error) };
        tokio::time::sleep(pause).await;
        Ok(())
    }
}
