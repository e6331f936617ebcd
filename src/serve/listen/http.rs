//! Answers the requests of the HTTP listeners.

use tokio::sync::mpsc;

use crate::{
    api::{ApiError, Command, Query},
    control::{CallbackOutcome, SealVerdict, UrlToken},
    disk::journal::JournalError,
    net::http::{
        Backend, BootRequest, Bytes, CallbackReply, CallbackRequest, CheckInReply, CheckInRequest,
        DocumentRequest, EntryRequest, FileReply, LoaderRequest, MbootRequest, Peer, Reply,
        RepoRequest, SealRequest, ServedFile, ServerHealth,
    },
    serve::{operator::views::bytes, server::Server},
};

impl Backend for Server {
    async fn entry(&self, request: EntryRequest) -> Reply {
        match self.0.entry_script(&request.base) {
            Ok(script) => Reply::text(script),
            Err(error) => Reply::error(500, format!("no random number is available: {error}\n")),
        }
    }

    async fn boot(&self, request: BootRequest) -> Reply {
        self.0.on_boot(&request).await
    }

    async fn loader(&self, request: LoaderRequest) -> FileReply {
        self.0.on_loader(request).await
    }

    async fn mboot(&self, request: MbootRequest) -> FileReply {
        self.on_mboot(request).await
    }

    async fn document(&self, request: DocumentRequest) -> FileReply {
        self.on_document(request).await
    }

    async fn callback(&self, request: CallbackRequest) -> CallbackReply {
        let Some(token) = UrlToken::parse(&request.token) else {
            return CallbackReply::UnknownToken;
        };
        let refused = || {
            let text = "the journal cannot be written; try again\n";
            CallbackReply::Rejected(Reply::error(503, text))
        };
        if !self.0.journal.has_room() {
            return refused();
        }
        let (outcome, ticket) = self
            .0
            .transaction(|transaction| transaction.callback(token, &request.callback));
        match ticket.durable().await {
            // On a full disk it is kept in memory, and written when there is room.
            Ok(()) | Err(JournalError::Full) => {}
            Err(error) => {
                tracing::error!("{error}");
                return refused();
            }
        }
        match outcome {
            CallbackOutcome::Accepted => CallbackReply::Recorded,
            CallbackOutcome::UnknownToken => CallbackReply::UnknownToken,
        }
    }

    async fn seal(&self, request: SealRequest) -> Option<Reply> {
        let refused = || {
            let text = "keep: the journal cannot be written; try again\n";
            Some(Reply::error(503, text))
        };
        let token = UrlToken::parse(&request.token)?;
        if !self.0.journal.has_room() {
            return refused();
        }
        let (verdict, ticket) = self
            .0
            .transaction(|transaction| transaction.check_seal(token, &request.text, request.wipe));
        if let Err(error) = ticket.durable().await
            && error != JournalError::Full
        {
            tracing::error!("{error}");
            return refused();
        }
        Some(Reply::text(match verdict? {
            SealVerdict::Overwrite => "overwrite\n".to_owned(),
            SealVerdict::Keep(reason) => format!("keep: {reason}\n"),
        }))
    }

    async fn microkernel(&self, name: String) -> Result<ServedFile, Reply> {
        self.open_microkernel(&name)
    }

    async fn check_in(&self, request: CheckInRequest) -> CheckInReply {
        self.0.on_check_in(request).await
    }

    fn knows_check_in(&self, token: &str) -> bool {
        let token = UrlToken::parse(token);
        token.is_some_and(|token| self.0.read(|server| server.knows_check_in(token)))
    }

    fn knows_attempt(&self, token: &str) -> bool {
        let token = UrlToken::parse(token);
        token.is_some_and(|token| self.0.read(|server| server.knows_attempt(token)))
    }

    async fn repo(&self, request: RepoRequest) -> Result<ServedFile, Reply> {
        // A replaced image is opened again here, which blocks.
        let (server, path, repo) = (self.clone(), request.path.clone(), request.repo.clone());
        let file = tokio::task::spawn_blocking(move || server.open(&repo, &path))
            .await
            .unwrap_or_else(|error| Err(Reply::error(500, format!("{error}\n"))));
        let name = format!("repo/{}/{}", request.repo, request.path);
        self.record_repo_request(request.peer, &name, &file);
        file
    }

    fn serves(&self, peer: Peer) -> bool {
        self.0.serves(peer.address.ip(), peer.local.ip())
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
