//! A copy of the last site without errors, which the server uses when it starts with a broken site.

use std::{io, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};

use super::bundle;
use crate::{model::Revision, site::SiteFiles};

/// A site without errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastGood {
    pub revision: Revision,
    pub files: SiteFiles,
}

#[derive(Serialize, Deserialize)]
struct LastGoodHeader {
    revision: Revision,
    names: Vec<Arc<str>>,
}

/// Stores `files` as the last good site in the file at `path`, atomically. It writes and syncs all of them,
/// so it must not run while a request waits.
pub fn write(path: &Path, revision: &Revision, files: &SiteFiles) -> io::Result<()> {
    let head = LastGoodHeader {
        revision: revision.clone(),
        names: files.content.keys().cloned().collect(),
    };
    let bodies: Vec<&[u8]> = files.content.values().map(|content| &**content).collect();
    bundle::write(path, &head, &bodies)
}

/// Reads the last good site; none when none is stored.
pub fn read(path: &Path) -> io::Result<Option<LastGood>> {
    let mut bundle = match bundle::open::<LastGoodHeader>(path) {
        Ok(bundle) => bundle,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let bodies = bundle.bodies()?.into_iter().map(Arc::from);
    let files = SiteFiles {
        content: bundle.head.names.into_iter().zip(bodies).collect(),
        ..SiteFiles::default()
    };
    Ok(Some(LastGood {
        revision: bundle.head.revision,
        files,
    }))
}

/// Reads only the revision of the last good site; none when none is stored.
pub fn revision(path: &Path) -> io::Result<Option<Revision>> {
    match bundle::open::<LastGoodHeader>(path) {
        Ok(bundle) => Ok(Some(bundle.head.revision)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_good_site_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("last-good");
        assert_eq!(read(&path).unwrap(), None);
        let mut files = SiteFiles::default();
        for (name, content) in [
            ("policies.d/a.toml", "a"),
            ("templates/x", "\0"),
            ("bootwright.toml", ""),
        ] {
            files.content.insert(name.into(), content.as_bytes().into());
        }
        let good = LastGood {
            revision: Revision::new("0123abc"),
            files,
        };
        write(&path, &good.revision, &good.files).unwrap();
        assert_eq!(revision(&path).unwrap(), Some(good.revision.clone()));
        assert_eq!(read(&path).unwrap(), Some(good));
        std::fs::write(&path, "{}").unwrap();
        assert!(read(&path).is_err());
    }
}
