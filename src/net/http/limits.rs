//! Limits of a listener: connections, sizes and times.

use std::time::Duration;

use crate::model::LimitsConfig;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections in total; further ones get 503.
    pub connections: usize,
    /// Connections from one address, except loopback.
    pub connections_per_address: usize,
    /// How long a request's headers may take, and how long a connection may be idle between requests.
    pub head_time: Duration,
    /// The largest size of a request's headers in bytes.
    pub head_size: usize,
    /// How long a request's body may take.
    pub body_time: Duration,
    /// How long a client may stop reading before its connection is closed.
    pub stall_time: Duration,
    /// How long responses in progress may take after the server was stopped.
    pub stop_time: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        let of_site = LimitsConfig::default().effective();
        Limits {
            connections: of_site.connections as usize,
            connections_per_address: of_site.connections_per_address as usize,
            head_time: Duration::from_secs(15),
            head_size: 16 << 10,
            body_time: Duration::from_secs(5),
            stall_time: Duration::from_secs(30),
            stop_time: Duration::from_secs(5),
        }
    }
}

/// Raises the limit of open files (RLIMIT_NOFILE) to `wanted`, or as far as allowed; returns the new limit. Each
/// connection uses one.
pub fn allow_open_files(wanted: u64) -> std::io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let allowed = wanted.clamp(soft, hard.max(soft));
    if allowed > soft {
        setrlimit(Resource::RLIMIT_NOFILE, allowed, hard)?;
    }
    Ok(allowed)
}
