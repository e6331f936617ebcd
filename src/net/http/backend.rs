//! What stands behind the listeners, and what it answers.

use std::{fmt, time::SystemTime};

use hyper::body::Bytes;
use tokio::sync::mpsc;

use crate::disk::repo::Blob;

use super::{
    BootAsk, CallbackAsk, CheckInAsk, DocumentAsk, EntryAsk, LoaderAsk, MbootAsk, Order, Question,
    RepoAsk,
};

/// Answers what machines and operators ask. One method for each kind of question; HTTP ends above it.
pub trait Backend: Send + Sync + 'static {
    /// Answers with the entry script, which leads a machine to `/boot`.
    fn entry(&self, ask: EntryAsk) -> impl Future<Output = Reply> + Send;

    /// Answers with the script that the machine boots by.
    fn boot(&self, ask: BootAsk) -> impl Future<Output = Reply> + Send;

    /// Answers with a loader, which firmware starts first.
    fn loader(&self, ask: LoaderAsk) -> impl Future<Output = Served> + Send;

    /// Answers with ESXi's loader, or with what it looks for beside itself.
    fn mboot(&self, ask: MbootAsk) -> impl Future<Output = Served> + Send;

    /// Answers with one file of an attempt.
    fn document(&self, ask: DocumentAsk) -> impl Future<Output = Served> + Send;

    /// Takes what a machine tells.
    fn callback(&self, ask: CallbackAsk) -> impl Future<Output = Heard> + Send;

    /// Opens a file of the microkernel.
    fn microkernel(&self, name: String) -> impl Future<Output = Result<RepoFile, Reply>> + Send;

    /// Tells a machine in the microkernel what to do.
    fn check_in(&self, ask: CheckInAsk) -> impl Future<Output = CheckInReply> + Send;

    /// Opens a repo's file.
    fn repo(&self, ask: RepoAsk) -> impl Future<Output = Result<RepoFile, Reply>> + Send;

    /// Tells how the server is.
    fn health(&self) -> Health;

    /// Answers an operator's question with JSON (of [`Question::Log`]: one object a line).
    fn question(&self, question: Question) -> impl Future<Output = Result<Bytes, Refusal>> + Send;

    /// Does what an operator orders and answers with JSON.
    fn order(&self, order: Order) -> impl Future<Output = Result<Bytes, Refusal>> + Send;

    /// Answers with a machine's log after `after`, line by line, and goes on as it grows. Each chunk is
    /// whole lines. The stream ends when the sender is dropped.
    fn follow(
        &self,
        node: String,
        after: Option<String>,
    ) -> impl Future<Output = Result<mpsc::Receiver<Bytes>, Refusal>> + Send;
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
pub enum Served {
    /// Its bytes.
    Bytes {
        /// The answer; only a status of 200 is sent in parts where the machine asks for parts.
        reply: Reply,
        /// Whom to tell how the delivery ended; only for documents, and only when [`DocumentAsk::whole`].
        receipt: Option<Receipt>,
    },
    /// A repo's file under the attempt's own name, such as `mboot.efi`.
    File(RepoFile),
    /// The token is unknown or dead. All of these get the same answer, late where there are many.
    UnknownToken,
}

/// What came of a callback.
#[derive(Debug)]
pub enum Heard {
    /// It is recorded: the machine hears `ok`.
    Taken,
    /// The token is unknown or dead.
    UnknownToken,
    /// It could not be recorded: the machine hears why and may repeat it.
    Refused(Reply),
}

/// What a machine in the microkernel is answered.
#[derive(Debug)]
pub enum CheckInReply {
    /// What it is to do, as JSON.
    Order(Bytes),
    /// It reports too often.
    TooOften,
    /// The token is unknown or dead.
    UnknownToken,
    /// What it sent is no report, or could not be recorded.
    Refused(Reply),
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The last byte was handed to the socket.
    Completed,
    /// The connection ended before.
    Aborted,
}

/// Whom to tell how a delivery ended. It tells exactly once: one that is dropped tells [`Delivery::Aborted`].
/// It tells on the connection's own task, so what it calls must not block.
pub struct Receipt(Option<Box<dyn FnOnce(Delivery) + Send>>);

impl Receipt {
    /// Makes a receipt that calls `then`.
    pub fn new(then: impl FnOnce(Delivery) + Send + 'static) -> Receipt {
        Receipt(Some(Box::new(then)))
    }

    /// Tells that the last byte was handed to the socket.
    pub fn completed(mut self) {
        self.tell(Delivery::Completed);
    }

    fn tell(&mut self, delivery: Delivery) {
        if let Some(then) = self.0.take() {
            then(delivery);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.tell(Delivery::Aborted);
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}

/// An open file of a repo.
#[derive(Debug, Clone)]
pub struct RepoFile {
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
pub enum Health {
    /// All is well.
    Ok,
    /// It answers, but something is wrong.
    Degraded(String),
}

/// Why an operator does not get what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// What is wrong.
    pub error: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Refusal {
    /// A refusal with nothing to advise.
    pub fn new(status: u16, error: impl Into<String>) -> Refusal {
        Refusal {
            status,
            error: error.into(),
            help: None,
        }
    }

    /// The same with advice.
    pub fn help(self, help: impl Into<String>) -> Refusal {
        Refusal {
            help: Some(help.into()),
            ..self
        }
    }
}
