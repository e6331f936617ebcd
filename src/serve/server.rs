//! The server behind the listeners, and the files that it serves.

use std::sync::Arc;

use crate::{
    disk::repo::{OpenedRepoFile, RepoError},
    net::http::{FileReply, Peer, Reply, ServedFile},
    serve::engine::Engine,
};

/// The engine behind the listeners.
#[derive(Clone)]
pub(crate) struct Server(pub(crate) Arc<Engine>);

impl Server {
    /// Notes that somebody has asked for a file of a repo.
    pub(crate) fn note_opened(&self, peer: Peer, name: &str, file: &Result<ServedFile, Reply>) {
        let ip = peer.address.ip();
        match file {
            Ok(file) => self.0.note_repo(ip, name, Some(file.blob.size())),
            Err(reply) if reply.status == 404 => self.0.note_repo(ip, name, None),
            // What cannot be read is told of already.
            Err(_) => {}
        }
    }

    pub(crate) fn open(&self, repo: &str, path: &str) -> Result<ServedFile, Reply> {
        let live = self.0.live();
        let Some(source) = live.sources.get(repo) else {
            return Err(Reply::error(404, "there is no such repo here\n"));
        };
        opened(source.open(path), &format!("repo {repo}"))
    }
}

/// The media type of a file, by its name.
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

/// A file that was opened in `place`, or why there is none.
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
