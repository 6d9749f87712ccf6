//! How many chunks of a call have a connection at once: fewer when the server has none to spare.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// The places of a call's workers.
#[derive(Debug)]
pub(crate) struct Workers {
    places: Semaphore,
    left: AtomicUsize,
}

impl Workers {
    /// Places for so many.
    pub(crate) fn new(places: usize) -> Self {
        let places = places.clamp(1, Semaphore::MAX_PERMITS);
        Workers { places: Semaphore::new(places), left: AtomicUsize::new(places) }
    }

    /// Waits for a place; given back when it is dropped.
    pub(super) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed.
        self.places.acquire().await.ok()
    }

    /// Gives a place up for good; whether it was not the last one.
    pub(super) fn give_up(&self, place: Option<SemaphorePermit<'_>>) -> bool {
        let spared = |left: usize| (left > 1).then(|| left - 1);
        let is_spare = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spared).is_ok();
        if let (true, Some(place)) = (is_spare, place) {
            place.forget();
        }
        is_spare
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_place_is_never_given_up() {
        let workers = Workers::new(3);
        for is_spare in [true, true, false, false] {
            let place = workers.place().await;
            assert_eq!(workers.give_up(place), is_spare);
        }
        assert!(workers.place().await.is_some());
    }
}
