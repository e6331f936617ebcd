//! The links that addresses are probed on, and the limit of concurrent probes.

use std::sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicBool};

use tokio::{runtime::Handle, sync::Semaphore};

use crate::net::interfaces::Interface;

/// The most concurrent probes. Each uses a thread for less than a second.
const MAX_PROBES: usize = 64;

/// The links on which addresses can be probed.
pub(crate) struct AddressProbes {
    links: Mutex<Vec<Interface>>,
    pub(crate) permits: Semaphore,
    pub(crate) runtime: Handle,
    /// Whether the missing privilege was logged.
    pub(crate) is_logged: AtomicBool,
}

impl AddressProbes {
    /// Must be called within the Tokio runtime.
    pub(crate) fn new() -> Self {
        AddressProbes {
            links: Mutex::default(),
            permits: Semaphore::new(MAX_PROBES),
            runtime: Handle::current(),
            is_logged: AtomicBool::new(false),
        }
    }

    pub(crate) fn links(&self) -> MutexGuard<'_, Vec<Interface>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
