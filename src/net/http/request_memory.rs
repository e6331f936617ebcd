//! The memory that requests take together: the buffers of connections, and the bodies. Without a bound, each connection could hold
//! the largest body.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::Limits;

/// The most that the bodies of all requests take at a time, in bytes.
const MAX_BODIES: usize = 16 << 20;

/// How long a connection waits for buffers.
const MAX_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct RequestMemory {
    /// How many more connections may have buffers for heads and responses.
    buffers: Semaphore,
    /// How many bytes the bodies take that are stored now.
    bodies: AtomicUsize,
}

impl RequestMemory {
    /// Half of the connections may have sent something: the other half can be idle.
    pub(super) fn new(limits: &Limits) -> Arc<RequestMemory> {
        Arc::new(RequestMemory {
            buffers: Semaphore::new(limits.connections.div_ceil(2)),
            bodies: AtomicUsize::default(),
        })
    }

    /// Returns the permit for the buffers of a connection; none if too many connections have some.
    pub(super) async fn buffers(&self) -> Option<SemaphorePermit<'_>> {
        let permit = timeout(MAX_WAIT, self.buffers.acquire()).await;
        // The semaphore is never closed.
        permit.ok()?.ok()
    }
}

/// A request's body. Its memory counts until it is dropped.
#[derive(Debug)]
pub(super) struct StoredBody {
    bytes: Vec<u8>,
    memory: Arc<RequestMemory>,
}

impl StoredBody {
    pub(super) fn new(memory: &Arc<RequestMemory>) -> StoredBody {
        StoredBody {
            bytes: Vec::new(),
            memory: memory.clone(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a part; false if there is no room for it.
    pub(super) fn add(&mut self, part: &[u8]) -> bool {
        let used = self.memory.bodies.fetch_add(part.len(), Ordering::Relaxed) + part.len();
        if used > MAX_BODIES {
            self.memory.bodies.fetch_sub(part.len(), Ordering::Relaxed);
            return false;
        }
        self.bytes.extend_from_slice(part);
        true
    }
}

impl AsRef<[u8]> for StoredBody {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for StoredBody {
    fn drop(&mut self) {
        self.memory.bodies.fetch_sub(self.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_the_memory_and_return_it() {
        let memory = RequestMemory::new(&Limits::default());
        let part = vec![7; MAX_BODIES / 4];
        let mut bodies: Vec<StoredBody> = (0..5).map(|_| StoredBody::new(&memory)).collect();
        let added: Vec<bool> = bodies.iter_mut().map(|body| body.add(&part)).collect();
        assert_eq!(added, [true, true, true, true, false]);
        drop(bodies.remove(0));
        assert!(bodies[3].add(&part) && !bodies[3].add(&[7]));
        drop(bodies);
        assert_eq!(memory.bodies.load(Ordering::Relaxed), 0);
    }
}
