//! What the listeners ask, answered by the engine.

use tokio::sync::mpsc;

use crate::{
    api::{ApiError, Command, Query},
    control::{CallbackOutcome, UrlToken},
    net::http::{
        Backend, BootRequest, Bytes, CallbackReply, CallbackRequest, CheckInReply, CheckInRequest,
        DocumentRequest, EntryRequest, FileReply, LoaderRequest, MbootRequest, Reply, RepoRequest,
        ServedFile, ServerHealth,
    },
    serve::{operator::views::bytes, server::Server},
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

    async fn query(&self, query: Query) -> Result<Bytes, ApiError> {
        let engine = self.0.clone();
        let answered = tokio::task::spawn_blocking(move || engine.query(&query)).await;
        answered.unwrap_or_else(|error| Err(ApiError::new(500, error.to_string())))
    }

    async fn command(&self, command: Command) -> Result<Bytes, ApiError> {
        self.0.command(&command).await.map(|reply| bytes(&reply))
    }

    async fn follow(
        &self,
        node: String,
        after: Option<String>,
    ) -> Result<mpsc::Receiver<Bytes>, ApiError> {
        self.0.clone().follow_log(node, after).await
    }
}

pub(crate) fn random_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}
