//! TFTP's socket: one port for requests and transfers, so that firewalls, NAT and containers need to know one.

mod socket;
mod transfers;
mod server;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hyper::body::Bytes;

pub use server::{Handle, Server};

use crate::disk::repo::Blob;

/// The server's port (RFC 1350 section 4).
pub const PORT: u16 = 69;

/// What stands behind the socket.
pub trait Files: Send + Sync + 'static {
    /// Finds what a client asks for. All transfers wait meanwhile.
    fn open(&self, ask: &Ask) -> Result<Found, Refusal>;
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// A relative path that climbs nowhere.
    pub name: String,
    /// The client's end. It never identifies a machine.
    pub peer: SocketAddr,
    /// Our address that it asked.
    pub local: IpAddr,
    /// The block size that it asked for, in bytes.
    pub block: Option<u16>,
    /// The window that it asked for, in blocks.
    pub window: Option<u16>,
}

/// What is sent.
#[derive(Debug, Clone)]
pub enum Content {
    /// These bytes.
    Bytes(Bytes),
    /// A file, as long as it was when it was opened.
    File(Blob),
}

/// A file that was found.
#[derive(Debug)]
pub struct Found {
    /// Its content.
    pub content: Content,
    /// Whom to tell how it ended.
    pub told: Told,
}

/// Why a client gets an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such file (code 1).
    NotFound,
    /// It may not be had (code 2).
    Forbidden,
    /// Something else (code 0).
    Other(String),
    /// It is not known yet: nothing is said, and the client asks again by itself (RFC 1350 section 2).
    Later,
}

/// How a transfer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The last block was acknowledged.
    Completed {
        /// The file's length.
        bytes: u64,
        /// From the request on.
        took: Duration,
    },
    /// The client wanted to know the size alone.
    Probe,
    /// It died.
    Failed {
        /// Why.
        reason: String,
        /// How much of it arrived.
        delivered: u64,
        /// Whether the client acknowledged nothing at all, and said nothing.
        is_unheard: bool,
    },
}

/// Whom to tell how a transfer ended; tells exactly once.
pub struct Told(Option<Box<dyn FnOnce(Outcome) + Send>>);

impl Told {
    /// Tells `then`.
    pub fn new(then: impl FnOnce(Outcome) + Send + 'static) -> Told {
        Told(Some(Box::new(then)))
    }

    /// Tells nobody.
    pub fn nobody() -> Told {
        Told(None)
    }

    pub(crate) fn tell(mut self, outcome: Outcome) {
        if let Some(then) = self.0.take() {
            then(outcome);
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(then) = self.0.take() {
            then(Outcome::Failed {
                reason: "the server ended".into(),
                delivered: 0,
                is_unheard: false,
            });
        }
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
    }
}

impl Content {
    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::File(blob) => blob.size(),
        }
    }
}
