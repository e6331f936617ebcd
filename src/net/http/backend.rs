//! What stands behind the listeners, and what it answers.

use std::{fmt, time::SystemTime};

use hyper::body::Bytes;
use tokio::sync::mpsc;

use crate::disk::repo::Blob;

use super::{
    BootRequest, CallbackRequest, CheckInRequest, DocumentRequest, EntryRequest, LoaderRequest,
    MbootRequest, OperatorCommand, OperatorQuery, RepoRequest,
};

/// Answers what machines and operators ask. One method for each kind of question; HTTP ends above it.
pub trait Backend: Send + Sync + 'static {
    /// Answers with the entry script, which leads a machine to `/boot`.
    fn entry(&self, ask: EntryRequest) -> impl Future<Output = Reply> + Send;

    /// Answers with the script that the machine boots by.
    fn boot(&self, ask: BootRequest) -> impl Future<Output = Reply> + Send;

    /// Answers with a loader, which firmware starts first.
    fn loader(&self, ask: LoaderRequest) -> impl Future<Output = FileReply> + Send;

    /// Answers with ESXi's loader, or with what it looks for beside itself.
    fn mboot(&self, ask: MbootRequest) -> impl Future<Output = FileReply> + Send;

    /// Answers with one file of an attempt.
    fn document(&self, ask: DocumentRequest) -> impl Future<Output = FileReply> + Send;

    /// Takes what a machine tells.
    fn callback(&self, ask: CallbackRequest) -> impl Future<Output = CallbackReply> + Send;

    /// Opens a file of the microkernel.
    fn microkernel(&self, name: String) -> impl Future<Output = Result<ServedFile, Reply>> + Send;

    /// Tells a machine in the microkernel what to do.
    fn check_in(&self, ask: CheckInRequest) -> impl Future<Output = CheckInReply> + Send;

    /// Opens a repo's file.
    fn repo(&self, ask: RepoRequest) -> impl Future<Output = Result<ServedFile, Reply>> + Send;

    /// Tells how the server is.
    fn health(&self) -> ServerHealth;

    /// Answers an operator's question with JSON (of [`OperatorQuery::Log`]: one object a line).
    fn query(&self, query: OperatorQuery) -> impl Future<Output = Result<Bytes, ApiError>> + Send;

    /// Does what an operator orders and answers with JSON.
    fn command(
        &self,
        command: OperatorCommand,
    ) -> impl Future<Output = Result<Bytes, ApiError>> + Send;

    /// Answers with a machine's log after `after`, line by line, and goes on as it grows. Each chunk is
    /// whole lines. The stream ends when the sender is dropped.
    fn follow(
        &self,
        node: String,
        after: Option<String>,
    ) -> impl Future<Output = Result<mpsc::Receiver<Bytes>, ApiError>> + Send;
}

/// A whole answer to a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The kind of body.
    pub content_type: &'static str,
    /// The body. Loaders stumble over answers without one: an error carries its reason.
    pub body: Bytes,
}

impl Reply {
    /// Plain text, such as an iPXE script.
    pub fn text(body: impl Into<Bytes>) -> Reply {
        Reply::refusal(200, body)
    }

    /// An error with its reason.
    pub fn refusal(status: u16, body: impl Into<Bytes>) -> Reply {
        Reply {
            status,
            content_type: "text/plain; charset=utf-8",
            body: body.into(),
        }
    }
}

/// What came of asking for a file of an attempt.
#[derive(Debug)]
pub enum FileReply {
    /// Its bytes.
    Bytes {
        /// The answer; only a status of 200 is sent in parts where the machine asks for parts.
        reply: Reply,
        /// Whom to tell how the delivery ended; only for documents, and only when [`DocumentRequest::whole`].
        receipt: Option<DownloadReceipt>,
    },
    /// A repo's file under the attempt's own name, such as `mboot.efi`.
    File(ServedFile),
    /// The token is unknown or dead. All of these get the same answer, late where there are many.
    UnknownToken,
}

/// What came of a callback.
#[derive(Debug)]
pub enum CallbackReply {
    /// It is recorded: the machine hears `ok`.
    Recorded,
    /// The token is unknown or dead.
    UnknownToken,
    /// It could not be recorded: the machine hears why and may repeat it.
    Refused(Reply),
}

/// What a machine in the microkernel is answered.
#[derive(Debug)]
pub enum CheckInReply {
    /// What it is to do, as JSON.
    Instruction(Bytes),
    /// It reports too often.
    TooOften,
    /// The token is unknown or dead.
    UnknownToken,
    /// What it sent is no report, or could not be recorded.
    Refused(Reply),
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownloadEnd {
    /// The last byte was handed to the socket.
    Completed,
    /// The connection ended before.
    Aborted,
}

/// Whom to tell how a delivery ended. It tells exactly once: one that is dropped tells [`DownloadEnd::Aborted`].
/// It tells on the connection's own task, so what it calls must not block.
pub struct DownloadReceipt(Option<Box<dyn FnOnce(DownloadEnd) + Send>>);

impl DownloadReceipt {
    /// Makes a receipt that calls `then`.
    pub fn new(then: impl FnOnce(DownloadEnd) + Send + 'static) -> DownloadReceipt {
        DownloadReceipt(Some(Box::new(then)))
    }

    /// Tells that the last byte was handed to the socket.
    pub fn completed(mut self) {
        self.tell(DownloadEnd::Completed);
    }

    fn tell(&mut self, delivery: DownloadEnd) {
        if let Some(then) = self.0.take() {
            then(delivery);
        }
    }
}

impl Drop for DownloadReceipt {
    fn drop(&mut self) {
        self.tell(DownloadEnd::Aborted);
    }
}

impl fmt::Debug for DownloadReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}

/// An open file of a repo.
#[derive(Debug, Clone)]
pub struct ServedFile {
    /// Its bytes, read at offsets: several requests may share them. A file that turns out shorter ends the connection.
    pub blob: Blob,
    /// Its media type.
    pub content_type: &'static str,
    /// When it was last changed.
    pub modified: SystemTime,
    /// What tells this version of the file from any other, as in the header, with its quotes.
    pub etag: String,
}

/// How the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerHealth {
    /// All is well.
    Ok,
    /// It answers, but something is wrong.
    Degraded(String),
}

/// Why an operator does not get what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// What is wrong.
    pub error: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl ApiError {
    /// A refusal with nothing to advise.
    pub fn new(status: u16, error: impl Into<String>) -> ApiError {
        ApiError {
            status,
            error: error.into(),
            help: None,
        }
    }

    /// The same with advice.
    pub fn help(self, help: impl Into<String>) -> ApiError {
        ApiError {
            help: Some(help.into()),
            ..self
        }
    }
}
