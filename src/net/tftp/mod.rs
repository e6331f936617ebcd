//! The TFTP server: one port for requests and transfers, so that firewalls, NAT and containers need one rule. Transfers of addresses
//! that cannot be checked may have other ports, which another host does not have.

mod socket;
mod ports;
mod origin;
mod credit;
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

/// The files that are served.
pub trait TftpFiles: Send + Sync + 'static {
    /// Opens the file that a client requests. All transfers wait meanwhile.
    fn open(&self, request: &FileRequest) -> Result<OpenedFile, TftpRefusal>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRequest {
    /// A relative path without `..`.
    pub name: String,
    /// The client's address. It never identifies a machine.
    pub peer: SocketAddr,
    /// This host's address that received the request.
    pub local: IpAddr,
    /// The requested block size in bytes.
    pub block: Option<u16>,
    /// The requested window in blocks.
    pub window: Option<u16>,
}

#[derive(Debug, Clone)]
pub enum FileContent {
    Bytes(Bytes),
    /// A file, with the length it had when it was opened.
    File(Blob),
}

#[derive(Debug)]
pub struct OpenedFile {
    pub content: FileContent,
    /// Called when the transfer ends.
    pub on_end: OutcomeCallback,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TftpRefusal {
    /// Code 1.
    NotFound,
    /// Code 2.
    Forbidden,
    /// Code 0.
    Other(String),
    /// Not decided yet: no reply is sent, and the client repeats its request (RFC 1350 section 2).
    NotReady,
    /// The client's network is not served: no reply is sent.
    NotServed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferOutcome {
    /// The last block was acknowledged.
    Completed {
        bytes: u64,
        /// Since the request.
        took: Duration,
    },
    /// The client only requested the size.
    Probe,
    Failed {
        reason: String,
        /// How many bytes the client acknowledged.
        delivered: u64,
        /// Whether the client acknowledged nothing and sent no error.
        no_response: bool,
    },
}

/// Called exactly once, when a transfer ends.
pub struct OutcomeCallback(Option<Box<dyn FnOnce(TransferOutcome) + Send>>);

impl OutcomeCallback {
    pub fn new(then: impl FnOnce(TransferOutcome) + Send + 'static) -> OutcomeCallback {
        OutcomeCallback(Some(Box::new(then)))
    }

    /// A callback that does nothing.
    pub fn none() -> OutcomeCallback {
        OutcomeCallback(None)
    }

    pub(crate) fn call(mut self, outcome: TransferOutcome) {
        if let Some(then) = self.0.take() {
            then(outcome);
        }
    }
}

impl Drop for OutcomeCallback {
    fn drop(&mut self) {
        if let Some(then) = self.0.take() {
            then(TransferOutcome::Failed {
                reason: "the server stopped".into(),
                delivered: 0,
                no_response: false,
            });
        }
    }
}

impl fmt::Debug for OutcomeCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OutcomeCallback")
    }
}

impl FileContent {
    /// In bytes.
    pub fn length(&self) -> u64 {
        match self {
            FileContent::Bytes(bytes) => bytes.len() as u64,
            FileContent::File(blob) => blob.size(),
        }
    }
}
