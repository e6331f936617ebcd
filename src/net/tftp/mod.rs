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

pub use server::{TftpHandle, TftpServer};

use crate::disk::repo::Blob;

/// The server's port (RFC 1350 section 4).
pub const PORT: u16 = 69;

/// What stands behind the socket.
pub trait TftpFiles: Send + Sync + 'static {
    /// Finds what a client asks for. All transfers wait meanwhile.
    fn open(&self, ask: &FileRequest) -> Result<OpenedFile, TftpRefusal>;
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRequest {
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
pub enum FileContent {
    /// These bytes.
    Bytes(Bytes),
    /// A file, as long as it was when it was opened.
    File(Blob),
}

/// A file that was found.
#[derive(Debug)]
pub struct OpenedFile {
    /// Its content.
    pub content: FileContent,
    /// Whom to tell how it ended.
    pub told: OutcomeCallback,
}

/// Why a client gets an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TftpRefusal {
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
pub enum TransferOutcome {
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
        no_response: bool,
    },
}

/// Whom to tell how a transfer ended; tells exactly once.
pub struct OutcomeCallback(Option<Box<dyn FnOnce(TransferOutcome) + Send>>);

impl OutcomeCallback {
    /// Tells `then`.
    pub fn new(then: impl FnOnce(TransferOutcome) + Send + 'static) -> OutcomeCallback {
        OutcomeCallback(Some(Box::new(then)))
    }

    /// Tells nobody.
    pub fn nobody() -> OutcomeCallback {
        OutcomeCallback(None)
    }

    pub(crate) fn tell(mut self, outcome: TransferOutcome) {
        if let Some(then) = self.0.take() {
            then(outcome);
        }
    }
}

impl Drop for OutcomeCallback {
    fn drop(&mut self) {
        if let Some(then) = self.0.take() {
            then(TransferOutcome::Failed {
                reason: "the server ended".into(),
                delivered: 0,
                no_response: false,
            });
        }
    }
}

impl fmt::Debug for OutcomeCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
    }
}

impl FileContent {
    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        match self {
            FileContent::Bytes(bytes) => bytes.len() as u64,
            FileContent::File(blob) => blob.size(),
        }
    }
}
