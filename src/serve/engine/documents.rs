//! The stored files of an attempt.

use crate::{
    disk::attempts::{AttemptKey, AttemptStore, Document, DocumentBody, DocumentHeader},
    journal::AttemptId,
    render::{FileBody, FileKind, RenderedAttempt, RenderedFile},
};

/// The iPXE script of an attempt, which `/boot` returns.
pub(crate) const SCRIPT: &str = "boot.ipxe";

/// The configuration of an attempt that GRUB reads.
pub(crate) const GRUB: &str = "boot.grub";

/// The configuration of an attempt that ESXi's loader reads.
pub(crate) const BOOT_CFG: &str = "boot.cfg";

/// The stored kind of a file that starts the installation when it is read. Other files have the kind `hand-out`.
pub(crate) const DOCUMENT: &str = "document";

/// Stores the files of an attempt.
pub(crate) fn store(
    attempts: &AttemptStore,
    attempt: AttemptId,
    rendered: RenderedAttempt,
) -> std::io::Result<()> {
    let secret = rendered.uses_secrets;
    let files = rendered.files.into_iter();
    let documents: Vec<Document> = files.map(|file| document(file, secret)).collect();
    attempts.write(key(attempt), &documents)
}

/// Returns the script among the files of an attempt.
pub(crate) fn script_of(rendered: &RenderedAttempt) -> Result<Vec<u8>, String> {
    let script = rendered.files.iter().find(|file| file.name == SCRIPT);
    match script.map(|script| &script.body) {
        Some(FileBody::Bytes(bytes)) => Ok(bytes.clone()),
        _ => Err(format!("its task renders no {SCRIPT}")),
    }
}

/// Reads the script of an open attempt.
pub(crate) fn read_script(attempts: &AttemptStore, attempt: AttemptId) -> Result<Vec<u8>, String> {
    match attempts.read(key(attempt), SCRIPT) {
        Ok(Some(Document {
            body: DocumentBody::Bytes(bytes),
            ..
        })) => Ok(bytes),
        Ok(_) => Err(
            "its documents are missing from the state directory: run `bootwright reinstall`".into(),
        ),
        Err(error) => Err(format!("its documents cannot be read: {error}")),
    }
}

fn document(file: RenderedFile, secret: bool) -> Document {
    let kind = match file.kind {
        FileKind::Document => DOCUMENT,
        FileKind::Auxiliary => "hand-out",
    };
    Document {
        about: DocumentHeader {
            name: file.name,
            kind: kind.into(),
            content_type: file.content_type.into(),
            secret,
        },
        body: match file.body {
            FileBody::Bytes(bytes) => DocumentBody::Bytes(bytes),
            FileBody::Repo { repo, path } => DocumentBody::Repo {
                repo: repo.to_string(),
                path,
            },
        },
    }
}

pub(crate) fn key(attempt: AttemptId) -> AttemptKey {
    AttemptKey {
        machine: attempt.machine.0,
        attempt: attempt.number,
    }
}
