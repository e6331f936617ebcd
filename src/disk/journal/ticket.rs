//! A ticket completes when appended lines are on the disk.

use std::io;

use tokio::sync::oneshot;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    #[error("the disk under the journal is full")]
    Full,
    #[error("the journal cannot be written: {0}")]
    Failed(String),
    #[error("another checkpoint is being written")]
    Busy,
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

/// Completes a ticket.
pub(super) type TicketSender = oneshot::Sender<Result<(), JournalError>>;

/// Completes when appended lines are on the disk.
#[derive(Debug)]
#[must_use = "a reply that depends on the entries must wait for them"]
pub struct Ticket(Option<oneshot::Receiver<Result<(), JournalError>>>);

impl Ticket {
    /// A completed ticket.
    pub(super) fn completed() -> Self {
        Ticket(None)
    }

    /// A ticket that fails: the journal is closed.
    pub(super) fn closed() -> Self {
        Ticket::pair().0
    }

    pub(super) fn pair() -> (Ticket, TicketSender) {
        let (answer, receiver) = oneshot::channel();
        (Ticket(Some(receiver)), answer)
    }

    /// Waits until the lines are on the disk, or their write fails.
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
