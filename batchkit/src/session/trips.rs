//! How often a call waits for the server, and how long the way there and back takes. What is sent before anything is
//! received is one round trip, however many statements it is.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The round trips of a call, on all its connections.
pub(crate) type Total = Arc<RoundTrips>;

/// How many times something was sent and answered.
#[derive(Debug, Default)]
pub(crate) struct RoundTrips {
    count: AtomicU64,
}

/// How long a round trip takes, or less: the shortest that was measured, by whichever call. (One by itself may be late
/// because the processor was busy.) In nanoseconds; 0 as long as none was measured.
#[derive(Debug, Default)]
pub(super) struct Latency(AtomicU64);

impl Latency {
    pub(super) fn get(&self) -> Option<Duration> {
        let shortest = self.0.load(Ordering::Relaxed);
        (shortest > 0).then(|| Duration::from_nanos(shortest))
    }

    /// So long after something was sent that the server has hardly any work with, its answer was there.
    pub(super) fn measured(&self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        let shorter = |shortest| (shortest == 0 || time < shortest).then_some(time);
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, shorter);
    }
}

impl RoundTrips {
    /// The number of round trips.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

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

    /// Whether all that was sent is answered.
    pub(super) fn is_idle(&self) -> bool {
        self.has_received.load(Ordering::Relaxed)
    }

    /// Something was sent and answered.
    pub(super) fn one(&self) {
        self.sent();
        self.has_received.store(true, Ordering::Relaxed);
    }

    fn sent(&self) {
        if self.has_received.swap(false, Ordering::Relaxed) {
            self.total.count.fetch_add(1, Ordering::Relaxed);
        }
    }
}
