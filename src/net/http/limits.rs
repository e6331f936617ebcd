//! How much one client may take before it is sent away.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The bounds of one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all; one more is answered 503.
    pub connections: usize,
    /// Connections from one address, loopback excepted.
    pub connections_per_address: usize,
    /// How long a request's head may take, and how long a connection may be idle before its next one.
    pub head_time: Duration,
    /// How large a request's head may be, in bytes.
    pub head_size: usize,
    /// How long a request's body may take.
    pub body_time: Duration,
    /// How long a client that does not read is waited for.
    pub stall_time: Duration,
    /// How long running answers may take once the server stops.
    pub stop_time: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 8192,
            connections_per_address: 1024,
            head_time: Duration::from_secs(15),
            head_size: 16 << 10,
            body_time: Duration::from_secs(5),
            stall_time: Duration::from_secs(30),
            stop_time: Duration::from_secs(5),
        }
    }
}

/// Raises the number of files this process may have open to `wanted`, or as far as it is allowed, and
/// returns what it is then. Each connection is one.
pub fn allow_open_files(wanted: u64) -> std::io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let allowed = wanted.clamp(soft, hard.max(soft));
    if allowed > soft {
        setrlimit(Resource::RLIMIT_NOFILE, allowed, hard)?;
    }
    Ok(allowed)
}
