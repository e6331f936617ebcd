//! Which clients a message was logged for, so that a client that repeats its query does not fill the log.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// The most clients that are remembered. After that, messages are logged again.
const MAX_REMEMBERED: usize = 4_096;

/// Clients by their MAC address, or by what else identifies them.
#[derive(Debug, Default)]
pub(crate) struct LoggedClients(Mutex<BTreeSet<Vec<u8>>>);

impl LoggedClients {
    /// Returns whether this is the first message for a client, and remembers it.
    pub(crate) fn is_first(&self, client: &[u8]) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(client) {
            return false;
        }
        if known.len() >= MAX_REMEMBERED {
            known.clear();
        }
        known.insert(client.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_is_logged_once_and_memory_is_bounded() {
        let clients = LoggedClients::default();
        assert!(clients.is_first(b"a"));
        assert!(clients.is_first(b"b"));
        assert!(!clients.is_first(b"a"));
        for number in 0..10_000_u32 {
            assert!(clients.is_first(&number.to_be_bytes()));
        }
        assert!(clients.0.lock().unwrap().len() <= MAX_REMEMBERED);
    }
}
