//! The buffers through which files are read: a bounded number of large ones, shared by all connections.
//!
//! A client that reads slowly keeps its buffer, so the large ones can all be taken. Then pieces are small:
//! everyone still gets on, and memory stays bounded by the number of connections.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Bytes;

/// The size of a large buffer.
pub(super) const LARGE: usize = 256 << 10;

/// The size of a buffer when no large one is left.
const SMALL: usize = 16 << 10;

/// Large buffers in all.
const MOST: usize = 64;

/// Large buffers that are kept while nobody needs them.
const KEPT: usize = 8;

/// The large buffers.
#[derive(Debug, Default)]
pub(super) struct BufferPool(Mutex<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    lent: usize,
    spare: Vec<Vec<u8>>,
}

/// A buffer that returns to its pool when it is dropped. Small ones have none.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    pool: Option<Arc<BufferPool>>,
}

impl BufferPool {
    /// Lends a buffer for `wanted` bytes: of that size, or smaller.
    pub(super) fn lend(self: &Arc<Self>, wanted: u64) -> Buffer {
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(LARGE);
        let large = (wanted > SMALL).then(|| self.large()).flatten();
        let pool = large.is_some().then(|| self.clone());
        let size = if pool.is_some() { LARGE } else { SMALL };
        let mut bytes = large.unwrap_or_default();
        bytes.resize(wanted.min(size), 0);
        Buffer { bytes, pool }
    }

    /// Takes a large buffer, or makes one; none when all are lent.
    fn large(&self) -> Option<Vec<u8>> {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shelf.lent == MOST {
            return None;
        }
        shelf.lent += 1;
        Some(shelf.spare.pop().unwrap_or_else(|| vec![0; LARGE]))
    }

    fn take_back(&self, bytes: Vec<u8>) {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.lent -= 1;
        if shelf.spare.len() < KEPT {
            shelf.spare.push(bytes);
        }
    }
}

impl Buffer {
    /// The bytes to fill.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Turns the filled buffer into bytes to send. It returns to its pool once they are sent.
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
    fn when_the_large_buffers_are_lent_the_small_ones_go_on() {
        let pool = Arc::new(BufferPool::default());
        let lent: Vec<Bytes> = (0..MOST).map(|_| pool.lend(u64::MAX).filled()).collect();
        assert!(lent.iter().all(|bytes| bytes.len() == LARGE));
        assert_eq!(pool.lend(u64::MAX).filled().len(), SMALL);
        drop(lent);
        assert_eq!(pool.lend(u64::MAX).filled().len(), LARGE);
        assert_eq!(pool.0.lock().unwrap().spare.len(), KEPT);
    }

    #[test]
    fn a_buffer_is_no_larger_than_what_is_wanted() {
        let pool = Arc::new(BufferPool::default());
        for wanted in [0, 1, SMALL, SMALL + 1, LARGE] {
            assert_eq!(pool.lend(wanted as u64).filled().len(), wanted);
        }
    }
}
