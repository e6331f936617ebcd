//! Answers the queries and commands of operators.

use super::{
    inventory::inventory,
    views::{self, bytes, unknown},
};
use crate::{
    api::{ApiError, Command, CommandReply, Query},
    control::{CommandError, Transaction},
    disk::journal::JournalHealth,
    net::http::Bytes,
    serve::engine::Engine,
};

/// How to fix a journal that cannot be written.
const DISK_HELP: &str = "make room on the disk under the state directory";

impl Engine {
    /// Returns the answer as JSON; a log as lines of JSON.
    pub(crate) fn query(&self, query: &Query) -> Result<Bytes, ApiError> {
        match query {
            Query::Status => Ok(bytes(&self.status())),
            Query::Log { node, after } => self.log(node, after.as_deref()),
            // What the next boot gets depends on the images as they are now.
            Query::Explain(_) => {
                self.transaction_with_images(|transaction, _| answer(transaction, query))
                    .0
            }
            _ => {
                let unwritable = self.journal_trouble();
                let unwritable = unwritable.map(|why| format!("waits: {why}"));
                let act = |transaction: &mut Transaction<'_>| {
                    transaction.on_journal(unwritable);
                    answer(transaction, query)
                };
                self.transaction(act).0
            }
        }
    }

    /// Carries out a command. Its events are durable before the reply.
    pub(crate) async fn command(&self, command: &Command) -> Result<CommandReply, ApiError> {
        // A command that is refused must not be carried out later.
        if self.health() != JournalHealth::Good {
            let trouble = self.trouble().unwrap_or_default();
            return Err(ApiError::new(503, trouble).help(DISK_HELP));
        }
        let (reply, ticket) = self.transaction(|transaction| carry_out(transaction, command));
        if let Err(error) = ticket.durable().await {
            let error = format!("{error}; the command takes effect once the journal is written");
            return Err(ApiError::new(503, error).help(DISK_HELP));
        }
        reply
    }
}

/// Answers a query about machines as JSON. The caller answers the others; without a server they have no answer.
pub(crate) fn answer(transaction: &Transaction<'_>, query: &Query) -> Result<Bytes, ApiError> {
    Ok(match query {
        Query::Nodes => bytes(&views::nodes(transaction)),
        Query::Node(name) => bytes(&views::node(transaction, name)?),
        Query::Facts(name) => bytes(&views::facts(transaction, name)?),
        Query::Explain(name) => bytes(&views::explained(transaction, name)?),
        Query::Inventory => bytes(&inventory(transaction)),
        Query::Status | Query::Log { .. } => return Err(ApiError::new(503, "server not running")),
    })
}

/// Carries out a command.
pub(crate) fn carry_out(
    transaction: &mut Transaction<'_>,
    command: &Command,
) -> Result<CommandReply, ApiError> {
    match transaction.operate(command) {
        Ok(message) => Ok(CommandReply { message }),
        Err(CommandError::UnknownNode(name)) => Err(unknown(&name, transaction.snapshot)),
        Err(CommandError::Refused(reason)) => Err(ApiError::new(409, reason)),
    }
}
