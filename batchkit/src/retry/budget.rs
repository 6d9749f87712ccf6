//! A cap on the retries of a whole call, so that many chunks do not hammer a sick server.

use std::sync::atomic::{AtomicU32, Ordering};

/// How many retries the chunks of one call have left together.
#[derive(Debug)]
pub(crate) struct Budget(AtomicU32);

/// A call may spend as many retries as this many chunks could.
const CHUNKS: u32 = 8;

impl Budget {
    /// The budget of a call whose chunks may be retried `retry_count` times each.
    pub(crate) fn new(retry_count: u32) -> Self {
        Budget(AtomicU32::new(retry_count.saturating_mul(CHUNKS)))
    }

    /// Takes one retry, if one is left.
    pub(crate) fn take(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_out() {
        let budget = Budget::new(2);
        assert_eq!((0..100).filter(|_| budget.take()).count(), 16);
        assert!(!Budget::new(0).take());
    }
}
