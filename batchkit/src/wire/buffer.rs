//! What rows are encoded into, chunk after chunk: in the memory of chunks that are through, where there are any.

use std::ops::{Deref, DerefMut};

use bytes::{Bytes, BytesMut};

/// How much memory is worth to be kept. Less is had again at once.
const WORTH: usize = 64 << 10;
/// The most chunks whose memory is kept: one that is committed while the next one is sent, one that waits, and one that
/// is encoded.
const KEPT: usize = 4;

/// Bytes that grow, and are finished once for each chunk.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: BytesMut,
    /// What is left of those that were finished, the oldest first: all their memory, when nobody has their bytes any more.
    finished: Vec<BytesMut>,
    /// How many bytes the last of them were.
    last: usize,
}

impl Buffer {
    /// A buffer that has this room for its first bytes.
    pub(super) fn new(bytes: BytesMut) -> Self {
        Buffer { bytes, ..Buffer::default() }
    }

    /// Takes the memory of bytes that nobody has any more, before the first byte of the next ones; or else as much as the
    /// last ones had.
    pub(super) fn begin(&mut self) {
        if self.bytes.capacity() > 0 || self.finished.is_empty() {
            return;
        }
        // More than is left behind the bytes that were finished: all of it.
        match self.finished.iter_mut().position(|rest| rest.try_reclaim(rest.capacity() + 1)) {
            Some(free) => self.bytes = self.finished.remove(free),
            None => self.bytes.reserve(self.last),
        }
    }

    /// The bytes so far; the buffer is empty again.
    pub(super) fn finish(&mut self) -> Bytes {
        if self.bytes.len() < WORTH {
            return std::mem::take(&mut self.bytes).freeze();
        }
        self.last = self.bytes.len();
        let bytes = self.bytes.split().freeze();
        if self.finished.len() == KEPT {
            self.finished.remove(0);
        }
        self.finished.push(std::mem::take(&mut self.bytes));
        bytes
    }
}

impl Deref for Buffer {
    type Target = BytesMut;

    #[inline]
    fn deref(&self) -> &BytesMut {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chunks of so many bytes, of which the last `alive` ones are still somebody's: where each lay.
    fn places(chunks: usize, bytes: usize, alive: usize) -> Vec<*const u8> {
        let mut buffer = Buffer::default();
        let mut held = std::collections::VecDeque::new();
        let place = |number: usize| {
            buffer.begin();
            let fill = u8::try_from(number % 200).unwrap_or(0);
            buffer.resize(bytes - 1, fill);
            buffer.extend_from_slice(&[fill]);
            let chunk = buffer.finish();
            assert!(buffer.is_empty());
            held.push_back((fill, chunk.clone()));
            if held.len() > alive {
                held.pop_front();
            }
            // What is somebody's is not written to.
            held.iter().for_each(|(fill, chunk)| assert!(chunk.iter().all(|byte| byte == fill)));
            chunk.as_ptr()
        };
        (0..chunks).map(place).collect()
    }

    #[test]
    fn memory_of_chunks_that_are_through_is_used_again() {
        for alive in 1..KEPT {
            let mut places = places(20, WORTH * 3 / 2, alive);
            places.sort_unstable();
            places.dedup();
            assert_eq!(places.len(), alive + 1, "{alive} alive");
        }
    }

    #[test]
    fn memory_that_is_somebodys_is_left_alone() {
        let mut places = places(20, WORTH, 20);
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 20);
    }

    #[test]
    fn only_so_much_is_kept() {
        let mut buffer = Buffer::default();
        let held: Vec<Bytes> = (0..2 * KEPT)
            .map(|_| {
                buffer.begin();
                buffer.resize(WORTH, 1);
                buffer.finish()
            })
            .collect();
        drop(held);
        assert_eq!(buffer.finished.len(), KEPT);
        buffer.resize(WORTH - 1, 1);
        _ = buffer.finish();
        assert_eq!((buffer.finished.len(), buffer.capacity()), (KEPT, 0));
    }
}
