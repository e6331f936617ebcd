//! The promise that what was appended is on the disk.

use std::io;

use tokio::sync::oneshot;

/// Why a line is not on the disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// There is no room.
    #[error("the disk under the journal is full")]
    Full,
    /// Something else is wrong.
    #[error("the journal cannot be written: {0}")]
    Failed(String),
    /// A checkpoint is being written already.
    #[error("another checkpoint is being written")]
    Busy,
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
}

impl JournalError {
    pub(super) fn new(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => JournalError::Full,
            _ => JournalError::Failed(error.to_string()),
        }
    }
}

/// Where the writer puts its answer.
pub(super) type TicketSender = oneshot::Sender<Result<(), JournalError>>;

/// The promise that what was appended is on the disk.
#[derive(Debug)]
#[must_use = "an answer that rests on the entries must wait for them"]
pub struct Ticket(Option<oneshot::Receiver<Result<(), JournalError>>>);

impl Ticket {
    /// A ticket that needs no waiting.
    pub(super) fn kept() -> Self {
        Ticket(None)
    }

    /// A ticket for what nobody writes.
    pub(super) fn closed() -> Self {
        Ticket::pair().0
    }

    pub(super) fn pair() -> (Ticket, TicketSender) {
        let (answer, receiver) = oneshot::channel();
        (Ticket(Some(receiver)), answer)
    }

    /// Waits until it is so, or is known to fail.
    pub async fn durable(self) -> Result<(), JournalError> {
        match self.0 {
            None => Ok(()),
            Some(receiver) => receiver.await.unwrap_or(Err(JournalError::Closed)),
        }
    }

    /// As [`Ticket::durable`], for threads that may block.
    pub fn wait(self) -> Result<(), JournalError> {
        match self.0 {
            None => Ok(()),
            Some(receiver) => receiver
                .blocking_recv()
                .unwrap_or(Err(JournalError::Closed)),
        }
    }
}
