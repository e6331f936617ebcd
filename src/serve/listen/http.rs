//! What the listeners ask, answered by the engine.

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    control::{CallbackOutcome, Operation, OperationError, UrlToken},
    disk::journal::JournalHealth as Journal,
    net::http::{
        ApiError, Backend, BootRequest, Bytes, CallbackReply, CallbackRequest, CheckInReply,
        CheckInRequest, DocumentRequest, EntryRequest, FileReply, LoaderRequest, MbootRequest,
        OperatorCommand, OperatorQuery, Reply, RepoRequest, ServedFile, ServerHealth,
    },
    serve::{
        operator::{
            inventory,
            views::{self, bytes},
        },
        server::Server,
    },
};

impl Backend for Server {
    async fn entry(&self, ask: EntryRequest) -> Reply {
        let boot = match random_id() {
            Ok(boot) => boot,
            Err(error) => return Reply::error(500, format!("no random number: {error}\n")),
        };
        Reply::text(
            self.0
                .snapshot()
                .library
                .ipxe_scripts()
                .entry(&ask.base, &boot),
        )
    }

    async fn boot(&self, ask: BootRequest) -> Reply {
        self.0.on_boot(&ask).await
    }

    async fn loader(&self, ask: LoaderRequest) -> FileReply {
        self.0.on_loader(ask).await
    }

    async fn mboot(&self, ask: MbootRequest) -> FileReply {
        self.on_mboot(ask).await
    }

    async fn document(&self, ask: DocumentRequest) -> FileReply {
        self.on_document(ask).await
    }

    async fn callback(&self, ask: CallbackRequest) -> CallbackReply {
        let Some(token) = UrlToken::parse(&ask.token) else {
            return CallbackReply::UnknownToken;
        };
        let (heard, ticket) = self
            .0
            .transaction(|transaction| transaction.callback(token, &ask.callback));
        if let Err(error) = ticket.durable().await {
            tracing::error!("{error}");
            return CallbackReply::Rejected(Reply::error(
                503,
                "the journal cannot be written; try again\n",
            ));
        }
        match heard {
            CallbackOutcome::Accepted => CallbackReply::Recorded,
            CallbackOutcome::UnknownToken => CallbackReply::UnknownToken,
        }
    }

    async fn microkernel(&self, name: String) -> Result<ServedFile, Reply> {
        self.open_microkernel(&name)
    }

    async fn check_in(&self, ask: CheckInRequest) -> CheckInReply {
        self.0.on_check_in(ask).await
    }

    async fn repo(&self, ask: RepoRequest) -> Result<ServedFile, Reply> {
        // An image that was replaced is read anew when it is asked for.
        let (server, path, repo) = (self.clone(), ask.path.clone(), ask.repo.clone());
        let file = tokio::task::spawn_blocking(move || server.open(&repo, &path))
            .await
            .unwrap_or_else(|error| Err(Reply::error(500, format!("{error}\n"))));
        let name = format!("repo/{}/{}", ask.repo, ask.path);
        self.note_opened(ask.peer, &name, &file);
        file
    }

    fn health(&self) -> ServerHealth {
        self.0
            .trouble()
            .map_or(ServerHealth::Ok, ServerHealth::Degraded)
    }

    async fn query(&self, query: OperatorQuery) -> Result<Bytes, ApiError> {
        let engine = self.0.clone();
        let answered = tokio::task::spawn_blocking(move || match query {
            OperatorQuery::Nodes => Ok(bytes(&engine.read(views::nodes))),
            OperatorQuery::Node(name) => engine
                .read(|transaction| views::node(transaction, &name))
                .map(|value| bytes(&value)),
            OperatorQuery::Facts(name) => engine
                .read(|transaction| views::facts(transaction, &name))
                .map(|value| bytes(&value)),
            OperatorQuery::Explain(name) => engine
                .read(|transaction| views::explained(transaction, &name))
                .map(|value| bytes(&value)),
            OperatorQuery::Inventory => Ok(bytes(&engine.transaction(inventory::inventory).0)),
            OperatorQuery::Status => Ok(bytes(&engine.status())),
            OperatorQuery::Log { node, after } => engine.log(&node, after.as_deref()),
        });
        answered
            .await
            .unwrap_or_else(|error| Err(ApiError::new(500, error.to_string())))
    }

    async fn command(&self, command: OperatorCommand) -> Result<Bytes, ApiError> {
        const HELP: &str = "make room on the disk under the state directory";
        // What is refused must not happen later by itself.
        if self.0.health() != Journal::Good {
            let trouble = self.0.trouble().unwrap_or_default();
            return Err(ApiError::new(503, trouble).help(HELP));
        }
        let (outcome, ticket) = self.obey(command);
        if let Err(error) = ticket.durable().await {
            let error = format!("{error}; the order is carried out when it can be");
            return Err(ApiError::new(503, error).help(HELP));
        }
        outcome.map(|value| bytes(&value))
    }

    async fn follow(
        &self,
        node: String,
        after: Option<String>,
    ) -> Result<mpsc::Receiver<Bytes>, ApiError> {
        self.0.clone().follow_log(node, after).await
    }
}

impl Server {
    fn obey(
        &self,
        order: OperatorCommand,
    ) -> (Result<Value, ApiError>, crate::disk::journal::Ticket) {
        let one = |node: String, operation: Operation| {
            let (outcome, ticket) = self
                .0
                .transaction(|transaction| transaction.operate(&node, &operation));
            (
                outcome
                    .map(|said| json!({ "said": said }))
                    .map_err(|error| self.refusal(&node, error)),
                ticket,
            )
        };
        match order {
            OperatorCommand::Reinstall(node) => one(node, Operation::Reinstall),
            OperatorCommand::Hold { node, reason } => one(
                node,
                Operation::Hold {
                    reason: reason.unwrap_or_else(|| "no reason given".into()),
                },
            ),
            OperatorCommand::Release(node) => one(node, Operation::Release),
            OperatorCommand::Mark { node, state } if state == "installed" => {
                one(node, Operation::Mark)
            }
            OperatorCommand::Mark { state, .. } => {
                let refusal = ApiError::new(400, format!("a machine cannot be marked `{state}`"));
                let ((), ticket) = self.0.transaction(|_| ());
                (Err(refusal.help("only `installed` can be marked")), ticket)
            }
            OperatorCommand::Forget { node, wipe_allowed } => {
                one(node, Operation::Forget { wipe_allowed })
            }
            OperatorCommand::PowerOff(node) => one(node, Operation::PowerOff),
            OperatorCommand::Pause => {
                let ((), ticket) = self.0.transaction(|transaction| transaction.pause());
                (
                    Ok(json!({ "said": "no installation begins until `bootwright resume`" })),
                    ticket,
                )
            }
            OperatorCommand::Resume => {
                let ((), ticket) = self.0.transaction(|transaction| transaction.resume());
                (Ok(json!({ "said": "installations begin again" })), ticket)
            }
            OperatorCommand::ReleaseAll => {
                let (count, ticket) = self.0.transaction(|transaction| transaction.release_all());
                (
                    Ok(json!({ "said": format!("{count} machines are released") })),
                    ticket,
                )
            }
        }
    }

    fn refusal(&self, node: &str, error: OperationError) -> ApiError {
        match error {
            OperationError::Unknown(_) => views::unknown(node, &self.0.snapshot()),
            OperationError::Refused(why) => ApiError::new(409, why),
        }
    }
}

pub(crate) fn random_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}
