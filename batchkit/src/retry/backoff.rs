//! Pauses between tries: exponential, with full jitter, so that many clients do not come back at once.

use std::time::Duration;

/// The longest pause.
const CAP: Duration = Duration::from_secs(30);

/// The pauses before the second try, the third, and so on: each a random part of a doubling span.
#[derive(Debug)]
pub(crate) struct Backoff {
    span: Duration,
    random: fastrand::Rng,
}

impl Backoff {
    /// Pauses whose first span is `base`.
    pub(crate) fn new(base: Duration, random: fastrand::Rng) -> Self {
        Backoff { span: base.min(CAP), random }
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let span = self.span;
        self.span = span.saturating_mul(2).min(CAP);
        Some(span.mul_f64(self.random.f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_parts_of_doubling_spans_up_to_the_cap() {
        let base = Duration::from_millis(500);
        let mut span = base;
        for pause in Backoff::new(base, fastrand::Rng::with_seed(7)).take(100) {
            assert!(pause <= span, "{pause:?} of {span:?}");
            span = (span * 2).min(CAP);
        }
        assert_eq!(span, CAP);
    }

    #[test]
    fn a_seed_makes_the_same_pauses_again() {
        let pauses = |seed| Backoff::new(CAP, fastrand::Rng::with_seed(seed)).take(5).collect::<Vec<_>>();
        assert_eq!(pauses(1), pauses(1));
        assert_ne!(pauses(1), pauses(2));
    }
}
