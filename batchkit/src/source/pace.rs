//! How large the next chunk may be: as large as at first, less after chunks that took long, and more where the server is
//! far away.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::chunks::Limits;

/// The size of a call's chunks, which its workers share.
#[derive(Debug)]
pub(crate) struct Pace {
    limits: Limits,
    /// The bytes that chunks of at least so many rows have at the most where the server is far away.
    far: Limits,
    /// The bytes of the next chunk, where these follow the time that chunks take.
    bytes: Option<AtomicUsize>,
    /// The same of wide rows, where these have chunks of their own size.
    wide: Option<Wide>,
}

/// The bytes of chunks of wide rows.
#[derive(Debug)]
struct Wide {
    /// Those of the first chunks.
    first: usize,
    /// Rows are wide if these have fewer of them.
    rows: usize,
    next: AtomicUsize,
    /// Those of the largest ones.
    most: usize,
}

/// A chunk that takes longer holds its locks for long, and is much to send again: the next ones are made smaller.
const LONG: Duration = Duration::from_secs(2);
/// Chunks are not made smaller than that: their round trips would be seen.
const LEAST_BYTES: usize = 256 << 10;
/// Chunks are made larger where the wait for the server is more than this part of their time.
const WAITED: u32 = 8;

impl Pace {
    /// Chunks of one size.
    pub(crate) fn fixed(limits: Limits) -> Self {
        Pace { limits, far: limits, bytes: None, wide: None }
    }

    /// Chunks of this size at first, whose size follows the time that they take.
    pub(crate) fn adaptive(limits: Limits) -> Self {
        Pace { bytes: Some(AtomicUsize::new(limits.bytes)), ..Pace::fixed(limits) }
    }

    /// Chunks of rows have so many bytes at first, of which these have fewer rows than that; and so many at the most
    /// where the server is far away.
    pub(crate) fn with_wide(self, first: Limits, far: usize) -> Self {
        let Limits { rows, bytes } = first;
        Pace { wide: Some(Wide { first: bytes, rows, next: AtomicUsize::new(bytes), most: far }), ..self }
    }

    /// Chunks of at least so many rows have so many bytes at the most where the server is far away.
    pub(crate) fn with_far(self, far: Limits) -> Self {
        Pace { far: Limits { bytes: far.bytes.max(self.limits.bytes), ..far }, ..self }
    }

    /// How large the next chunk may be.
    pub(crate) fn limits(&self) -> Limits {
        let bytes = self.bytes.as_ref().map_or(self.limits.bytes, |bytes| bytes.load(Ordering::Relaxed));
        Limits { bytes, ..self.limits }
    }

    /// How large a chunk is of which it is seen whether its rows are wide, if they have a size of their own.
    pub(crate) fn first_wide(&self) -> Limits {
        self.within(self.wide.as_ref().map_or(usize::MAX, |wide| wide.first))
    }

    /// How large the next chunk may be if its rows are wide.
    pub(crate) fn next_wide(&self) -> Limits {
        self.within(self.wide.as_ref().map_or(usize::MAX, |wide| wide.next.load(Ordering::Relaxed)))
    }

    /// Whether rows are not wide, of which the first bytes of a chunk have so many.
    pub(crate) fn are_narrow(&self, rows: usize) -> bool {
        self.wide.as_ref().is_none_or(|wide| rows >= wide.rows)
    }

    fn within(&self, bytes: usize) -> Limits {
        let limits = self.limits();
        Limits { bytes: limits.bytes.min(bytes), ..limits }
    }

    /// How long a chunk of so many rows and bytes took that went through, and how long a round trip to the server takes,
    /// if that is known.
    pub(crate) fn took(&self, rows: usize, bytes: usize, time: Duration, latency: Option<Duration>) {
        let has_waited = latency.is_some_and(|latency| latency * WAITED > time);
        // A chunk that was cut by something else, or before the last change, says nothing about larger ones.
        let is_full = |limit: usize| bytes > limit / 4 * 3 && bytes <= limit.saturating_mul(2);
        if let Some(wide) = &self.wide {
            let _ = wide.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |limit| {
                (has_waited && is_full(limit)).then(|| limit.saturating_mul(2).min(wide.most))
            });
        }
        let Some(next) = &self.bytes else { return };
        let least = LEAST_BYTES.min(self.limits.bytes);
        // Of workers that run at once, each speaks of a chunk that was cut before the others had spoken.
        let _ = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |limit| {
            if time > LONG {
                Some((bytes.min(limit) / 2).max(least).min(limit))
            } else if limit < self.limits.bytes {
                (time < LONG / 4).then(|| bytes.saturating_mul(2).clamp(limit, self.limits.bytes))
            } else {
                // The wait stays what it is: one twice as large takes less than twice as long.
                let may_grow = has_waited && rows >= self.far.rows && time < LONG / 2;
                (may_grow && is_full(limit)).then(|| limit.saturating_mul(2).min(self.far.bytes))
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
            pace.took(200, bytes, Duration::from_millis(milliseconds), None);
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
    fn chunks_of_wide_rows_are_made_larger_as_long_as_an_eighth_of_their_time_is_waited() {
        let pace = Pace::adaptive(LIMITS).with_wide(Limits { rows: 500, bytes: 2 * MIB }, 6 * MIB);
        let next = |bytes, milliseconds, latency: Option<u64>| {
            pace.took(200, bytes, Duration::from_millis(milliseconds), latency.map(Duration::from_millis));
            pace.next_wide().bytes
        };
        assert_eq!(pace.next_wide().bytes, 2 * MIB);
        assert_eq!(next(2 * MIB, 40, Some(1)), 2 * MIB);
        assert_eq!(next(2 * MIB, 40, None), 2 * MIB);
        // The last chunk of the input, and one of rows that are not wide, say little about larger ones.
        assert_eq!(next(MIB / 2, 40, Some(6)), 2 * MIB);
        assert_eq!(next(8 * MIB, 40, Some(6)), 2 * MIB);
        assert_eq!(next(2 * MIB, 40, Some(6)), 4 * MIB);
        // Nor does one that was cut before that.
        assert_eq!(next(2 * MIB + 10_000, 40, Some(6)), 4 * MIB);
        assert_eq!(next(4 * MIB, 70, Some(6)), 4 * MIB);
        assert_eq!(next(4 * MIB, 10, Some(6)), 6 * MIB);
        assert_eq!(next(6 * MIB, 10, Some(6)), 6 * MIB);
        assert_eq!((pace.limits().bytes, pace.first_wide().bytes), (LIMITS.bytes, 2 * MIB));
        assert_eq!([499, 500].map(|rows| pace.are_narrow(rows)), [false, true]);
    }

    #[test]
    fn chunks_are_larger_than_at_first_only_where_an_eighth_of_their_time_is_waited() {
        let pace = Pace::adaptive(LIMITS).with_far(Limits { rows: 200, bytes: 20 * MIB });
        let next = |bytes, milliseconds, latency: Option<u64>| {
            pace.took(200, bytes, Duration::from_millis(milliseconds), latency.map(Duration::from_millis));
            pace.limits().bytes
        };
        assert_eq!(next(8 * MIB, 40, Some(5)), 8 * MIB);
        assert_eq!(next(8 * MIB, 40, None), 8 * MIB);
        assert_eq!(next(5 * MIB, 1, Some(6)), 8 * MIB);
        pace.took(199, 8 * MIB, Duration::from_millis(40), Some(Duration::from_millis(6)));
        assert_eq!(pace.limits().bytes, 8 * MIB);
        assert_eq!(next(8 * MIB, 40, Some(6)), 16 * MIB);
        // It was cut before that.
        assert_eq!(next(8 * MIB, 40, Some(6)), 16 * MIB);
        assert_eq!(next(16 * MIB, 40, Some(6)), 20 * MIB);
        assert_eq!(next(20 * MIB, 40, Some(6)), 20 * MIB);
        // Where they take long they are made smaller, however far the server is.
        assert_eq!(next(20 * MIB, 2_001, Some(900)), 10 * MIB);
        assert_eq!(next(10 * MIB, 2_001, Some(900)), 5 * MIB);
        assert_eq!(next(5 * MIB, 400, Some(300)), 8 * MIB);
        assert_eq!(next(8 * MIB, 1_000, Some(900)), 8 * MIB);
        assert_eq!(next(8 * MIB, 999, Some(900)), 16 * MIB);
    }

    #[test]
    fn a_size_that_was_asked_for_is_kept() {
        let pace = Pace::fixed(LIMITS);
        pace.took(200, 8 * MIB, Duration::from_secs(60), Some(Duration::from_secs(60)));
        assert_eq!((pace.limits().bytes, pace.next_wide().bytes), (LIMITS.bytes, LIMITS.bytes));
        assert!(pace.are_narrow(1));
    }
}
