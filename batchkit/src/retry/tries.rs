//! Whether something is tried again, and after which pause: the decision, without a server.

use std::time::Duration;

use tokio::time::Instant;

use super::{Answer, Backoff, Policy};

/// How often something was tried again, and whether it may be once more.
pub(super) struct Tries<'a> {
    policy: &'a Policy,
    pauses: Backoff,
    retries: u32,
    /// What is worth one more try is worth only one.
    tried_once: Vec<Answer>,
}

impl<'a> Tries<'a> {
    pub(super) fn new(policy: &'a Policy) -> Self {
        let pauses = Backoff::new(policy.retry_delay, fastrand::Rng::new());
        Tries { policy, pauses, retries: 0, tried_once: Vec::new() }
    }

    /// How many times it was tried again.
    pub(super) fn retries(&self) -> u32 {
        self.retries
    }

    /// Whether the one more try that this answer is worth was had.
    pub(super) fn had(&self, answer: Answer) -> bool {
        self.tried_once.contains(&answer)
    }

    /// Decides what follows this answer: the pause before the next try, or `None` when there is none. None begins
    /// behind the deadline.
    pub(super) fn again(&mut self, answer: Answer) -> Option<Duration> {
        let once = matches!(answer, Answer::AgainOnce | Answer::FreshOnce | Answer::ClearCaches);
        let is_worth_it = matches!(answer, Answer::Again | Answer::Fresh) || (once && !self.had(answer));
        if !is_worth_it || self.retries >= self.policy.retry_count {
            return None;
        }
        let pause = self.pauses.next().unwrap_or_default();
        if self.policy.deadline.is_some_and(|deadline| Instant::now() + pause >= deadline) {
            return None;
        }
        if !self.policy.budget.take() {
            return None;
        }
        if once {
            self.tried_once.push(answer);
        }
        self.retries += 1;
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};
    use crate::retry::{Budget, Retries};

    fn policy(retry_count: u32, retry_delay: Duration, timeout: Option<Duration>) -> Policy {
        Policy {
            deadline: timeout.map(|timeout| Instant::now() + timeout),
            budget: Budget::new(retry_count),
            ..Policy::of_tests(retry_count, retry_delay)
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn tries_end_with_their_count_and_pauses_are_within_their_spans() {
        let policy = policy(4, SECOND, None);
        let mut tries = Tries::new(&policy);
        for span in [1, 2, 4, 8] {
            assert!(tries.again(Answer::Again).unwrap() <= SECOND * span);
        }
        assert_eq!((tries.again(Answer::Fresh), tries.retries()), (None, 4));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_worth_one_more_try_is_worth_only_one() {
        let policy = policy(9, SECOND, None);
        let mut tries = Tries::new(&policy);
        for answer in [Answer::AgainOnce, Answer::FreshOnce, Answer::ClearCaches] {
            assert!(!tries.had(answer));
            assert!(tries.again(answer).is_some(), "{answer:?}");
            assert!(tries.had(answer));
            assert_eq!(tries.again(answer), None, "{answer:?}");
        }
        for answer in [Answer::Stop, Answer::FindBadRows, Answer::Halve, Answer::Resolve] {
            assert_eq!(tries.again(answer), None, "{answer:?}");
        }
        assert_eq!(tries.retries(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn no_try_begins_behind_the_deadline() {
        let policy = policy(1_000, SECOND, Some(SECOND * 20));
        let start = Instant::now();
        let mut tries = Tries::new(&policy);
        while let Some(pause) = tries.again(Answer::Again) {
            tokio::time::sleep(pause).await;
            assert!(start.elapsed() < SECOND * 20);
        }
        // One that is not made costs the others nothing.
        let retries = usize::try_from(tries.retries()).unwrap();
        assert!((1..1_000).contains(&retries), "{retries}");
        assert_eq!(std::iter::from_fn(|| policy.budget.take().then_some(())).count(), 8_000 - retries);
    }

    #[tokio::test(start_paused = true)]
    async fn all_chunks_share_the_budget() {
        let policy = policy(3, SECOND, None);
        let mut retries = 0;
        for _ in 0..20 {
            let mut tries = Tries::new(&policy);
            while tries.again(Answer::Fresh).is_some() {}
            retries += tries.retries();
        }
        assert_eq!(retries, 24);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_is_asked_again_as_often_and_never_behind_the_deadline() {
        let lost = || Error::new(ErrorKind::Connection, "lost");
        let counted = policy(5, SECOND, None);
        let mut retries = Retries::new(&counted);
        for _ in 0..5 {
            retries.pause_after(lost()).await.unwrap();
        }
        assert_eq!(retries.pause_after(lost()).await.unwrap_err().kind(), ErrorKind::Connection);
        // What the server did not say is not asked again.
        let mut retries = Retries::new(&counted);
        retries.pause_after(Error::new(ErrorKind::Schema, "no such table")).await.unwrap_err();

        let start = Instant::now();
        let limited = policy(1_000, SECOND, Some(SECOND * 20));
        let mut retries = Retries::new(&limited);
        while retries.pause_after(lost()).await.is_ok() {}
        assert!(start.elapsed() < SECOND * 20);
    }
}
