//! The revision of a site's files.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::SiteFiles;
use crate::model::Revision;

/// Returns the revision of files without parsing them.
pub fn revision(files: &SiteFiles) -> Revision {
    let digests = files.content.iter();
    revision_of(digests.map(|(path, content)| (path, Sha256::digest(content).into())))
}

/// Returns the revision of files, each with the SHA-256 of its content, in the order of their paths.
pub(super) fn revision_of<'a>(digests: impl Iterator<Item = (&'a Arc<str>, [u8; 32])>) -> Revision {
    let mut hash = Sha256::new();
    for (path, digest) in digests {
        hash.update((path.len() as u64).to_be_bytes());
        hash.update(path.as_bytes());
        hash.update(digest);
    }
    // 64 bits distinguish the revisions of one site. The revision is on every line of the journal, so it is short.
    let digits: String = hash.finalize()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Revision::new(digits)
}
