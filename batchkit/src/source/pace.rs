//! How large the next chunk may be: as large as was asked for, or less after chunks that took long.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::chunks::Limits;

/// The size of a call's chunks, which its workers share.
#[derive(Debug)]
pub(crate) struct Pace {
    limits: Limits,
    /// The bytes of the next chunk, where these follow the time that chunks take.
    bytes: Option<AtomicUsize>,
}

/// A chunk that takes longer holds its locks for long, and is much to send again: the next ones are made smaller.
const LONG: Duration = Duration::from_secs(2);
/// Chunks are not made smaller than that: their round trips would be seen.
const LEAST_BYTES: usize = 256 << 10;

impl Pace {
    /// Chunks of one size.
    pub(crate) fn fixed(limits: Limits) -> Self {
        Pace { limits, bytes: None }
    }

    /// Chunks of this size at first and at the most, whose size follows the time that they take.
    pub(crate) fn adaptive(limits: Limits) -> Self {
        Pace { limits, bytes: Some(AtomicUsize::new(limits.bytes)) }
    }

    /// How large the next chunk may be.
    pub(crate) fn limits(&self) -> Limits {
        let bytes = self.bytes.as_ref().map_or(self.limits.bytes, |bytes| bytes.load(Ordering::Relaxed));
        Limits { bytes, ..self.limits }
    }

    /// How long a chunk of so many bytes took that went through.
    pub(crate) fn took(&self, bytes: usize, time: Duration) {
        let Some(next) = &self.bytes else { return };
        let least = LEAST_BYTES.min(self.limits.bytes);
        // Of workers that run at once, each speaks of a chunk that was cut before the others had spoken.
        let _ = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |limit| {
            if time > LONG {
                Some((bytes.min(limit) / 2).max(least).min(limit))
            } else if time < LONG / 4 {
                Some((bytes.saturating_mul(2)).clamp(limit, self.limits.bytes))
            } else {
                None
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;
    const LIMITS: Limits = Limits { rows: 1_000, bytes: 8 * MIB };

    #[test]
    fn chunks_that_take_long_are_made_smaller_and_quick_ones_larger_again() {
        let pace = Pace::adaptive(LIMITS);
        let next = |bytes, milliseconds| {
            pace.took(bytes, Duration::from_millis(milliseconds));
            pace.limits().bytes
        };
        assert_eq!(pace.limits().bytes, 8 * MIB);
        assert_eq!(next(8 * MIB, 1_000), 8 * MIB);
        assert_eq!(next(8 * MIB, 2_001), 4 * MIB);
        assert_eq!(next(4 * MIB, 9_000), 2 * MIB);
        // The last chunk of the input, and one that was cut by its rows, say little about larger ones.
        assert_eq!(next(10, 1), 2 * MIB);
        assert_eq!(next(2 * MIB, 400), 4 * MIB);
        assert_eq!(next(4 * MIB, 400), 8 * MIB);
        assert_eq!(next(8 * MIB, 1), 8 * MIB);
        (0..20).for_each(|_| _ = next(8 * MIB, 10_000));
        assert_eq!(pace.limits().bytes, LEAST_BYTES);
        assert_eq!(pace.limits().rows, LIMITS.rows);
    }

    #[test]
    fn a_size_that_was_asked_for_is_kept() {
        let pace = Pace::fixed(LIMITS);
        pace.took(8 * MIB, Duration::from_secs(60));
        assert_eq!(pace.limits().bytes, LIMITS.bytes);
    }
}
