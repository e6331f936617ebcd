//! Counts of received DHCP messages.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::boot::dhcp::DhcpMessage;

/// Counts of DHCP messages since the start.
#[derive(Debug, Default)]
pub(crate) struct DhcpStats {
    hosts: AtomicU64,
    booting: AtomicU64,
    unreadable: AtomicU64,
}

/// The counts at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DhcpCounts {
    /// Messages of hosts that do not boot from the network.
    pub(crate) hosts: u64,
    /// Messages of PXE clients and boot programs.
    pub(crate) booting: u64,
    /// Datagrams that are not a DHCP message of a client.
    pub(crate) unreadable: u64,
}

impl DhcpStats {
    pub(crate) fn count(&self, query: &DhcpMessage) {
        let counter = if query.client.boots() {
            &self.booting
        } else {
            &self.hosts
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_unreadable(&self) {
        self.unreadable.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> DhcpCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        DhcpCounts {
            hosts: read(&self.hosts),
            booting: read(&self.booting),
            unreadable: read(&self.unreadable),
        }
    }
}
