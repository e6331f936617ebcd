//! What is heard of DHCP in all, for when nothing happens.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{dhcp, engine::Engine};
use crate::{boot::dhcp::DhcpMessage, control::Diagnosis};

/// Counts of what was heard since the start.
#[derive(Debug, Default)]
pub(crate) struct DhcpStats {
    hosts: AtomicU64,
    booting: AtomicU64,
    unreadable: AtomicU64,
}

/// What was heard so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DhcpCounts {
    /// Messages of what does not boot from the network.
    pub(crate) hosts: u64,
    /// Messages of what does.
    pub(crate) booting: u64,
    /// Datagrams that are no DHCP message of a client.
    pub(crate) unreadable: u64,
}

/// Without a machine that boots from the network, what was heard is said after this time.
const SILENCE: Duration = Duration::from_secs(90);

/// Says what was heard when no machine has booted from the network, once.
pub(crate) async fn speak(engine: Arc<Engine>) {
    loop {
        tokio::time::sleep(SILENCE).await;
        if !dhcp::is_wanted(&engine, &engine.started_with) {
            continue;
        }
        let heard = engine.hearing.so_far();
        if heard.booting > 0 {
            return;
        }
        tracing::info!("{}", heard.words());
        if heard.hosts > 0 {
            return;
        }
    }
}

impl DhcpCounts {
    fn words(&self) -> String {
        let seconds = SILENCE.as_secs();
        let diagnosis = match self.hosts {
            0 => Diagnosis::NothingHeard { seconds },
            messages => Diagnosis::HostsAlone { messages, seconds },
        };
        match self.unreadable {
            0 => diagnosis.to_string(),
            count => format!("{diagnosis} ({count} datagrams were no DHCP at all)"),
        }
    }
}

impl DhcpStats {
    pub(crate) fn heard(&self, query: &DhcpMessage) {
        let count = if query.client.boots() {
            &self.booting
        } else {
            &self.hosts
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn unreadable(&self) {
        self.unreadable.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn so_far(&self) -> DhcpCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        DhcpCounts {
            hosts: read(&self.hosts),
            booting: read(&self.booting),
            unreadable: read(&self.unreadable),
        }
    }
}
