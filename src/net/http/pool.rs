//! The buffers for reading files: a limited number of large ones, shared by all connections.
//!
//! Slow clients can occupy all large buffers. Then small buffers are used: every connection still makes progress, and
//! memory is bounded by the number of connections.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Bytes;

/// In bytes.
pub(super) const LARGE_BUFFER: usize = 256 << 10;

/// The size of a buffer when no large one is available, in bytes.
const SMALL_BUFFER: usize = 16 << 10;

const MAX_LARGE_BUFFERS: usize = 64;

/// How many unused large buffers are kept.
const MAX_SPARE_BUFFERS: usize = 8;

#[derive(Debug, Default)]
pub(super) struct BufferPool(Mutex<PoolState>);

#[derive(Debug, Default)]
struct PoolState {
    lent: usize,
    spare: Vec<Vec<u8>>,
}

/// A buffer. A large one returns to its pool when it is dropped.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    pool: Option<Arc<BufferPool>>,
}

impl BufferPool {
    /// Returns a buffer of `wanted` bytes, or a smaller one.
    pub(super) fn lend(self: &Arc<Self>, wanted: u64) -> Buffer {
        let wanted = usize::try_from(wanted)
            .unwrap_or(usize::MAX)
            .min(LARGE_BUFFER);
        let large = (wanted > SMALL_BUFFER).then(|| self.large()).flatten();
        let pool = large.is_some().then(|| self.clone());
        let size = if pool.is_some() {
            LARGE_BUFFER
        } else {
            SMALL_BUFFER
        };
        let mut bytes = large.unwrap_or_default();
        bytes.resize(wanted.min(size), 0);
        Buffer { bytes, pool }
    }

    /// Takes a large buffer or allocates one; none when all are in use.
    fn large(&self) -> Option<Vec<u8>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.lent == MAX_LARGE_BUFFERS {
            return None;
        }
        state.lent += 1;
        Some(state.spare.pop().unwrap_or_else(|| vec![0; LARGE_BUFFER]))
    }

    fn take_back(&self, bytes: Vec<u8>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.lent -= 1;
        if state.spare.len() < MAX_SPARE_BUFFERS {
            state.spare.push(bytes);
        }
    }
}

impl Buffer {
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Converts the filled buffer to bytes to send. It returns to its pool after they are sent.
    pub(super) fn filled(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.take_back(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_buffers_are_used_when_all_large_ones_are_lent() {
        let pool = Arc::new(BufferPool::default());
        let lent: Vec<Bytes> = (0..MAX_LARGE_BUFFERS)
            .map(|_| pool.lend(u64::MAX).filled())
            .collect();
        assert!(lent.iter().all(|bytes| bytes.len() == LARGE_BUFFER));
        assert_eq!(pool.lend(u64::MAX).filled().len(), SMALL_BUFFER);
        drop(lent);
        assert_eq!(pool.lend(u64::MAX).filled().len(), LARGE_BUFFER);
        assert_eq!(pool.0.lock().unwrap().spare.len(), MAX_SPARE_BUFFERS);
    }

    #[test]
    fn a_buffer_has_the_requested_size_up_to_a_large_one() {
        let pool = Arc::new(BufferPool::default());
        for wanted in [0, 1, SMALL_BUFFER, SMALL_BUFFER + 1, LARGE_BUFFER] {
            assert_eq!(pool.lend(wanted as u64).filled().len(), wanted);
        }
    }
}
