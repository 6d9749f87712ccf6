//! Whether a call is still wanted: what was begun for it goes on when its future is dropped, and what was not is not
//! begun any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

#[derive(Debug, Default)]
struct Life {
    is_over: AtomicBool,
    ended: Notify,
}

/// A call. It is over when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct CallGuard(Arc<Life>);

/// What looks whether a call is over; by default one that never is.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallWatch(Arc<Life>);

impl CallGuard {
    /// Looks whether it is over.
    pub(crate) fn watch(&self) -> CallWatch {
        CallWatch(Arc::clone(&self.0))
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Release);
        self.0.ended.notify_waiters();
    }
}

impl CallWatch {
    /// Whether it is over.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Acquire)
    }

    /// Waits until it is over.
    pub(super) async fn over(&self) {
        // Whoever has this is told of what comes from here on, before it is polled too.
        let ended = self.0.ended.notified();
        if !self.is_over() {
            ended.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_call_is_over_when_it_is_dropped_for_all_who_wait_and_who_come_later() {
        let call = CallGuard::default();
        let (one, other) = (call.watch(), call.watch());
        let mut waiting = Box::pin(one.over());
        assert!(!other.is_over() && waiting.as_mut().now_or_never().is_none());
        drop(call);
        assert!(waiting.now_or_never().is_some() && other.over().now_or_never().is_some() && other.is_over());
    }
}
