//! The backend of the HTTP listeners, and the files that it serves.

use std::sync::Arc;

use crate::{
    disk::repo::{OpenedRepoFile, RepoError},
    net::http::{FileReply, Peer, Reply, ServedFile},
    serve::engine::Engine,
};

/// The backend of the HTTP listeners.
#[derive(Clone)]
pub(crate) struct Server(pub(crate) Arc<Engine>);

impl Server {
    /// Records that a client has requested a file of a repo.
    pub(crate) fn record_repo_request(
        &self,
        peer: Peer,
        name: &str,
        file: &Result<ServedFile, Reply>,
    ) {
        let ip = peer.address.ip();
        match file {
            Ok(file) => self.0.on_repo_request(ip, name, Some(file.blob.size())),
            Err(reply) if reply.status == 404 => self.0.on_repo_request(ip, name, None),
            // The read error is already logged.
            Err(_) => {}
        }
    }

    pub(crate) fn open(&self, repo: &str, path: &str) -> Result<ServedFile, Reply> {
        let live = self.0.live();
        let Some(source) = live.sources.get(repo) else {
            return Err(Reply::error(404, "no such repo\n"));
        };
        opened(source.open(path), &format!("repo {repo}"))
    }
}

/// Guesses the media type of a file from its name.
fn content_type_of(path: &str) -> &'static str {
    let guess = mime_guess::from_path(path);
    guess.first_raw().unwrap_or("application/octet-stream")
}

pub(crate) fn reply(reply: Reply) -> FileReply {
    FileReply::Bytes {
        reply,
        receipt: None,
    }
}

/// Converts the result of opening a file in `place` to a response.
pub(crate) fn opened(
    opened: Result<OpenedRepoFile, RepoError>,
    place: &str,
) -> Result<ServedFile, Reply> {
    match opened {
        Ok(opened) => Ok(ServedFile {
            content_type: content_type_of(&opened.path),
            blob: opened.blob,
            etag: opened.etag,
            modified: opened.modified,
        }),
        Err(
            error @ (RepoError::Missing(_)
            | RepoError::NotAFile(_)
            | RepoError::BadPath(_)
            | RepoError::Outside(_)),
        ) => Err(Reply::error(404, format!("{error}\n"))),
        Err(error) => {
            tracing::error!("{place}: {error}");
            let reason = "the file cannot be read; see the server's log\n";
            Err(Reply::error(500, reason))
        }
    }
}
