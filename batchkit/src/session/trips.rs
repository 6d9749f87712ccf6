//! How often a call waits for the server. What is sent before anything is received is one round trip, however many
//! statements it is.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The round trips of a call, on all its connections.
pub(crate) type Total = Arc<AtomicU64>;

/// The round trips of one connection.
#[derive(Debug)]
pub(super) struct Trips {
    total: Total,
    has_received: AtomicBool,
}

impl Trips {
    /// None yet; they are added to this.
    pub(super) fn new(total: Total) -> Self {
        Trips { total, has_received: AtomicBool::new(true) }
    }

    /// Waits for an answer of the server to what this sends.
    pub(super) async fn wait<T>(&self, answer: Pin<&mut impl Future<Output = T>>) -> T {
        self.sent();
        let answer = answer.await;
        self.has_received.store(true, Ordering::Relaxed);
        answer
    }

    /// Something was sent and answered.
    pub(super) fn one(&self) {
        self.sent();
        self.has_received.store(true, Ordering::Relaxed);
    }

    fn sent(&self) {
        if self.has_received.swap(false, Ordering::Relaxed) {
            self.total.fetch_add(1, Ordering::Relaxed);
        }
    }
}
