//! Serves the files of an attempt to installers.

use std::sync::Arc;

use crate::{
    control::{DownloadRefused, Unconfirmed, UrlToken},
    disk::{
        attempts::{Document, DocumentBody},
        journal::JournalError,
    },
    journal::AttemptId,
    net::http::{DocumentRequest, DownloadEnd, DownloadReceipt, FileReply, Reply},
    serve::{
        engine::{
            Engine,
            documents::{self, DOCUMENT},
        },
        server::{Server, reply},
    },
};

impl Server {
    /// Serves a file of an attempt. While the files of the attempt are rendered again, it waits for the new ones.
    pub(crate) async fn on_document(&self, request: DocumentRequest) -> FileReply {
        let Some(token) = UrlToken::parse(&request.token) else {
            return FileReply::UnknownToken;
        };
        loop {
            let mut prepared = self.0.prepared.subscribe();
            match self.try_document(token, &request).await {
                Ok(reply) => return reply,
                Err(DownloadRefused::Preparing) => {
                    // It fails only when the engine is dropped, which this call keeps.
                    drop(prepared.changed().await);
                }
                Err(DownloadRefused::Unconfirmed(why)) => {
                    return reply(Reply::error(403, format!("{why}\n")));
                }
                Err(DownloadRefused::UnknownToken | DownloadRefused::Ended(_)) => {
                    return FileReply::UnknownToken;
                }
            }
        }
    }

    async fn try_document(
        &self,
        token: UrlToken,
        request: &DocumentRequest,
    ) -> Result<FileReply, DownloadRefused> {
        let engine = &self.0;
        let sender = engine.sender_of(request.peer);
        let authorized =
            engine.transaction(|t| t.authorize_download(token, &request.name, &sender));
        let download = authorized.0?;
        let key = documents::key(download.attempt);
        let document = match engine.attempts.read(key, &request.name) {
            Ok(Some(document)) => document,
            Ok(None) => return Ok(refusal(404, "this attempt has no such file\n")),
            Err(error) => {
                tracing::error!("{}: {error}", request.name);
                return Ok(refusal(
                    500,
                    "the file cannot be read; see the server's log\n",
                ));
            }
        };
        if document.about.secret && !download.is_confirmed {
            let why = Unconfirmed::Secret.to_string();
            let ((), _ticket) = engine.transaction(|transaction| {
                transaction.log_refused_document(download.machine, &request.name, why.clone());
            });
            return Err(DownloadRefused::Unconfirmed(why));
        }
        if document.about.kind != DOCUMENT || !request.whole || request.head {
            if !request.head {
                let ((), _ticket) =
                    engine.transaction(|t| t.on_auxiliary_file(download, &request.name));
            }
            return Ok(self.body(document, None));
        }
        // The state may have changed since the file was read.
        let (begun, ticket) = engine.transaction(|transaction| {
            let download = transaction.authorize_download(token, &request.name, &sender)?;
            let is_running = transaction.is_running(download.attempt);
            transaction.on_serving(download, &request.name);
            Ok(is_running)
        });
        let is_running = begun?;
        match ticket.durable().await {
            Ok(()) => {}
            // The journal has already that the machine may have begun to install.
            Err(JournalError::Full) if is_running && engine.journal.has_room() => {}
            Err(error) => {
                tracing::error!("{error}");
                return Ok(refusal(
                    503,
                    "the journal cannot be written; see the server's log\n",
                ));
            }
        }
        let receipt = receipt(
            engine.clone(),
            download.attempt,
            request.name.clone(),
            &document,
        );
        Ok(self.body(document, Some(receipt)))
    }

    fn body(&self, document: Document, receipt: Option<DownloadReceipt>) -> FileReply {
        match document.body {
            DocumentBody::Bytes(bytes) => FileReply::Bytes {
                reply: Reply {
                    status: 200,
                    content_type: content_type(&document.about.content_type),
                    body: bytes.into(),
                },
                receipt,
            },
            DocumentBody::Repo { repo, path } => match self.open(&repo, &path) {
                Ok(file) => FileReply::File(file),
                Err(refusal) => reply(refusal),
            },
        }
    }
}

/// Records how the download of a document ends.
fn receipt(
    engine: Arc<Engine>,
    attempt: AttemptId,
    name: String,
    document: &Document,
) -> DownloadReceipt {
    let length = match &document.body {
        DocumentBody::Bytes(bytes) => bytes.len() as u64,
        DocumentBody::Repo { .. } => 0,
    };
    DownloadReceipt::new(move |end| {
        let ((), _ticket) = engine.transaction(|transaction| match end {
            DownloadEnd::Completed => transaction.on_read(attempt, &name, length),
            DownloadEnd::Aborted => transaction.on_aborted(attempt, &name),
        });
    })
}

fn refusal(status: u16, text: &'static str) -> FileReply {
    reply(Reply::error(status, text))
}

/// Returns the stored media type as a static text. All media types that tasks set are known.
fn content_type(stored: &str) -> &'static str {
    const KNOWN: [&str; 6] = [
        "text/plain; charset=utf-8",
        "text/plain",
        "text/cloud-config",
        "application/json",
        "application/xml",
        "application/octet-stream",
    ];
    let known = KNOWN.into_iter().find(|one| *one == stored);
    known.unwrap_or("text/plain; charset=utf-8")
}
