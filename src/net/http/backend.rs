//! The interface between the HTTP listeners and the server, and the server's replies.

use std::{fmt, time::SystemTime};

use hyper::body::Bytes;
use tokio::sync::mpsc;

use crate::{
    api::{ApiError, Command, Query},
    disk::repo::Blob,
};

use super::{
    BootRequest, CallbackRequest, CheckInRequest, DocumentRequest, EntryRequest, LoaderRequest,
    MbootRequest, Peer, RepoRequest, SealRequest,
};

/// Handles the requests of machines and operators, one method per kind of request. It does not depend on HTTP.
pub trait Backend: Send + Sync + 'static {
    /// Returns the entry script, which sends a machine to `/boot`.
    fn entry(&self, request: EntryRequest) -> impl Future<Output = Reply> + Send;

    /// Returns the script that the machine boots with.
    fn boot(&self, request: BootRequest) -> impl Future<Output = Reply> + Send;

    /// Returns a loader, which firmware starts first.
    fn loader(&self, request: LoaderRequest) -> impl Future<Output = FileReply> + Send;

    /// Returns ESXi's loader, or a file that it loads.
    fn mboot(&self, request: MbootRequest) -> impl Future<Output = FileReply> + Send;

    /// Returns a file of an attempt.
    fn document(&self, request: DocumentRequest) -> impl Future<Output = FileReply> + Send;

    /// Records a callback of a machine.
    fn callback(&self, request: CallbackRequest) -> impl Future<Output = CallbackReply> + Send;

    /// Returns whether an installer may overwrite a disk with a seal. None if the token is unknown.
    fn seal(&self, request: SealRequest) -> impl Future<Output = Option<Reply>> + Send;

    /// Opens a file of the microkernel.
    fn microkernel(&self, name: String) -> impl Future<Output = Result<ServedFile, Reply>> + Send;

    /// Returns the instruction for a machine in the microkernel.
    fn check_in(&self, request: CheckInRequest) -> impl Future<Output = CheckInReply> + Send;

    /// Returns whether a token is that of a machine in the microkernel. The bodies of other requests are not stored.
    fn knows_check_in(&self, token: &str) -> bool;

    /// Returns whether a token is that of an attempt. The bodies of other requests are not stored.
    fn knows_attempt(&self, token: &str) -> bool;

    /// Opens a repo's file.
    fn repo(&self, request: RepoRequest) -> impl Future<Output = Result<ServedFile, Reply>> + Send;

    /// Returns whether requests from an address are answered.
    fn serves(&self, peer: Peer) -> bool;

    fn health(&self) -> ServerHealth;

    /// Returns the answer to an operator's query as JSON (for [`Query::Log`]: one object per line).
    fn query(&self, query: Query) -> impl Future<Output = Result<Bytes, ApiError>> + Send;

    /// Carries out an operator's command and returns its result as JSON.
    fn command(&self, command: Command) -> impl Future<Output = Result<Bytes, ApiError>> + Send;

    /// Streams a machine's log from the position `after`, including new entries. Each chunk consists of whole lines. The
    /// stream ends when the sender is dropped.
    fn follow(
        &self,
        node: String,
        after: Option<String>,
    ) -> impl Future<Output = Result<mpsc::Receiver<Bytes>, ApiError>> + Send;
}

/// A complete reply to a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    pub content_type: &'static str,
    /// Never empty, because some loaders fail on an empty body: an error contains its reason.
    pub body: Bytes,
}

impl Reply {
    /// Plain text, such as an iPXE script.
    pub fn text(body: impl Into<Bytes>) -> Reply {
        Reply::error(200, body)
    }

    /// An error with its reason.
    pub fn error(status: u16, body: impl Into<Bytes>) -> Reply {
        Reply {
            status,
            content_type: "text/plain; charset=utf-8",
            body: body.into(),
        }
    }
}

/// The reply to a request for a file.
#[derive(Debug)]
pub enum FileReply {
    Bytes {
        /// Ranges are only supported with status 200.
        reply: Reply,
        /// Called when the download ends; only for documents, and only if [`DocumentRequest::whole`].
        receipt: Option<DownloadReceipt>,
    },
    /// A file on the disk or in an image, such as `mboot.efi`.
    File(ServedFile),
    /// The token is unknown or expired. Both get the same response, delayed after many such requests.
    UnknownToken,
}

#[derive(Debug)]
pub enum CallbackReply {
    /// The machine gets `ok`.
    Recorded,
    /// The token is unknown or expired.
    UnknownToken,
    /// It could not be recorded. The machine gets the reason and may repeat it.
    Rejected(Reply),
}

/// The reply to a machine in the microkernel.
#[derive(Debug)]
pub enum CheckInReply {
    /// As JSON.
    Instruction(Bytes),
    /// The machine polls too often.
    TooOften,
    /// The token is unknown or expired.
    UnknownToken,
    /// The report is invalid, or could not be recorded.
    Rejected(Reply),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownloadEnd {
    /// The last byte was passed to the socket.
    Completed,
    /// The connection ended earlier.
    Aborted,
}

/// Called exactly once, when a download ends. A receipt that is dropped reports [`DownloadEnd::Aborted`]. The call is made
/// on the connection's task and must not block.
pub struct DownloadReceipt(Option<Box<dyn FnOnce(DownloadEnd) + Send>>);

impl DownloadReceipt {
    pub fn new(then: impl FnOnce(DownloadEnd) + Send + 'static) -> DownloadReceipt {
        DownloadReceipt(Some(Box::new(then)))
    }

    /// Reports that the last byte was passed to the socket.
    pub fn completed(mut self) {
        self.report(DownloadEnd::Completed);
    }

    fn report(&mut self, end: DownloadEnd) {
        if let Some(then) = self.0.take() {
            then(end);
        }
    }
}

impl Drop for DownloadReceipt {
    fn drop(&mut self) {
        self.report(DownloadEnd::Aborted);
    }
}

impl fmt::Debug for DownloadReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DownloadReceipt")
    }
}

/// An open file, to be served.
#[derive(Debug, Clone)]
pub struct ServedFile {
    /// Read at offsets, so several requests may share it. If the file has become shorter, the connection is closed.
    pub blob: Blob,
    pub content_type: &'static str,
    pub modified: SystemTime,
    /// A strong entity tag, with its quotes.
    pub etag: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerHealth {
    Ok,
    /// The server replies, but has this problem.
    Degraded(String),
}
