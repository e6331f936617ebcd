//! The stored documents of open attempts, as rendered when each attempt was opened.
//!
//! One file per attempt, written atomically: a running installation reads the same documents whatever is edited or
//! restarted meanwhile. They contain secrets, so they are private to their owner, and are removed when the attempt ends.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{atomic, bundle};

/// The directory with a file per attempt.
#[derive(Debug, Clone)]
pub struct AttemptStore {
    path: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptKey {
    /// The machine's internal id.
    pub machine: u64,
    /// The attempt's number.
    pub attempt: u32,
}

/// A document or auxiliary file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub about: DocumentHeader,
    pub body: DocumentBody,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentHeader {
    /// Its name below the attempt's URL, such as `ks.cfg` or `01-52-54-00-00-00-01/boot.cfg`.
    pub name: String,
    /// Whether the installer must read it, or may download it; stored as given.
    pub kind: Cow<'static, str>,
    pub content_type: Cow<'static, str>,
    /// Whether the files of the attempt contain a secret.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentBody {
    Bytes(Vec<u8>),
    /// A file of a repo, served under the document's name.
    Repo {
        repo: String,
        path: String,
    },
}

/// A document in the first line of an attempt's file.
#[derive(Serialize, Deserialize)]
struct ListedDocument<'a> {
    about: Cow<'a, DocumentHeader>,
    repo: Option<(Cow<'a, str>, Cow<'a, str>)>,
}

impl AttemptStore {
    /// Uses the directory at `path`, and creates it if it is missing.
    pub fn open(path: &Path) -> io::Result<AttemptStore> {
        atomic::create_dir(path)?;
        Ok(AttemptStore { path: path.into() })
    }

    /// Stores the documents of an attempt. Once it returns, they survive a crash.
    pub fn write(&self, key: AttemptKey, documents: &[Document]) -> io::Result<()> {
        let listed: Vec<ListedDocument<'_>> = documents.iter().map(ListedDocument::of).collect();
        let bodies: Vec<&[u8]> = documents.iter().map(Document::bytes).collect();
        bundle::write(&self.file(key), &listed, &bodies)
    }

    /// Lists the documents of an attempt; none when it has no file.
    pub fn list(&self, key: AttemptKey) -> io::Result<Option<Vec<DocumentHeader>>> {
        let listed = self.bundle(key)?.map(|bundle| bundle.head);
        Ok(listed.map(|listed| {
            listed
                .into_iter()
                .map(|listed| listed.about.into_owned())
                .collect()
        }))
    }

    /// Reads one document by name; none when there is no such attempt or document.
    pub fn read(&self, key: AttemptKey, name: &str) -> io::Result<Option<Document>> {
        let Some(mut bundle) = self.bundle(key)? else {
            return Ok(None);
        };
        let Some(index) = bundle
            .head
            .iter()
            .position(|listed| listed.about.name == name)
        else {
            return Ok(None);
        };
        let bytes = bundle.body(index)?;
        let listed = bundle.head.swap_remove(index);
        Ok(Some(listed.with(bytes)))
    }

    /// Removes all documents of an attempt but one; returns false if there is none of that name, and all are removed.
    pub fn retain_only(&self, key: AttemptKey, name: &str) -> io::Result<bool> {
        match self.read(key, name)? {
            Some(document) => self.write(key, &[document]).map(|()| true),
            None => self.remove(key).map(|()| false),
        }
    }

    /// Removes the documents of an attempt. A missing file is not an error.
    pub fn remove(&self, key: AttemptKey) -> io::Result<()> {
        atomic::remove(&self.file(key))
    }

    /// Removes the files of attempts that are not in `live`, and returns those attempts. Files of interrupted writes are
    /// removed too.
    pub fn sweep(&self, live: &BTreeSet<AttemptKey>) -> io::Result<Vec<AttemptKey>> {
        let mut swept = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let key = AttemptKey::parse(&name);
            if key.is_some_and(|key| !live.contains(&key)) || atomic::is_leftover(&name) {
                fs::remove_file(entry.path())?;
                swept.extend(key);
            }
        }
        atomic::sync_dir(&self.path)?;
        swept.sort_unstable();
        Ok(swept)
    }

    fn bundle(
        &self,
        key: AttemptKey,
    ) -> io::Result<Option<bundle::Bundle<Vec<ListedDocument<'static>>>>> {
        match bundle::open(&self.file(key)) {
            Ok(bundle) => Ok(Some(bundle)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn file(&self, key: AttemptKey) -> PathBuf {
        self.path.join(key.to_string())
    }
}

impl AttemptKey {
    fn parse(name: &str) -> Option<AttemptKey> {
        let (machine, attempt) = name.split_once('-')?;
        let key = AttemptKey {
            machine: u64::from_str_radix(machine, 16).ok()?,
            attempt: attempt.parse().ok()?,
        };
        (key.to_string() == name).then_some(key)
    }
}

impl fmt::Display for AttemptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.machine, self.attempt)
    }
}

impl Document {
    fn bytes(&self) -> &[u8] {
        match &self.body {
            DocumentBody::Bytes(bytes) => bytes,
            DocumentBody::Repo { .. } => &[],
        }
    }
}

impl ListedDocument<'_> {
    fn of(document: &Document) -> ListedDocument<'_> {
        let repo = match &document.body {
            DocumentBody::Bytes(_) => None,
            DocumentBody::Repo { repo, path } => Some((repo.into(), path.into())),
        };
        ListedDocument {
            about: Cow::Borrowed(&document.about),
            repo,
        }
    }

    fn with(self, bytes: Vec<u8>) -> Document {
        let body = match self.repo {
            Some((repo, path)) => DocumentBody::Repo {
                repo: repo.into_owned(),
                path: path.into_owned(),
            },
            None => DocumentBody::Bytes(bytes),
        };
        Document {
            about: self.about.into_owned(),
            body,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn document(name: &str, body: DocumentBody) -> Document {
        let about = DocumentHeader {
            name: name.into(),
            kind: "document".into(),
            secret: false,
            content_type: "text/plain".into(),
        };
        Document { about, body }
    }

    fn key(machine: u64, attempt: u32) -> AttemptKey {
        AttemptKey { machine, attempt }
    }

    #[test]
    fn documents_are_stored_until_the_attempt_ends() {
        let dir = tempfile::tempdir().unwrap();
        let attempts = AttemptStore::open(&dir.path().join("attempts")).unwrap();
        let mboot = DocumentBody::Repo {
            repo: "esxi".into(),
            path: "EFI/BOOT/BOOTX64.EFI".into(),
        };
        let documents = [
            document("ks.cfg", DocumentBody::Bytes(b"rootpw \xff\n".into())),
            document("mboot.efi", mboot),
            document(
                "01-52-54-00-00-00-01/boot.cfg",
                DocumentBody::Bytes(b"modules=\n".into()),
            ),
        ];
        attempts.write(key(7, 1), &documents).unwrap();
        for document in &documents {
            let read = attempts.read(key(7, 1), &document.about.name).unwrap();
            assert_eq!(read.as_ref(), Some(document));
        }
        let abouts = documents.iter().map(|document| document.about.clone());
        assert_eq!(attempts.list(key(7, 1)).unwrap(), Some(abouts.collect()));
        assert_eq!(attempts.read(key(7, 1), "boot.cfg").unwrap(), None);
        assert_eq!(attempts.read(key(7, 2), "ks.cfg").unwrap(), None);
        let file = dir.path().join("attempts/0000000000000007-1");
        assert_eq!(
            fs::metadata(file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        attempts.remove(key(7, 1)).unwrap();
        attempts.remove(key(7, 1)).unwrap();
        assert_eq!(attempts.list(key(7, 1)).unwrap(), None);
    }

    #[test]
    fn files_of_ended_attempts_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let attempts = AttemptStore::open(dir.path()).unwrap();
        let keys = [key(1, 1), key(2, 3), key(u64::MAX, u32::MAX)];
        for key in keys {
            attempts.write(key, &[]).unwrap();
        }
        fs::write(dir.path().join(".new-1-1"), "half").unwrap();
        fs::write(dir.path().join("README"), "not ours").unwrap();
        let swept = attempts.sweep(&BTreeSet::from([keys[1]])).unwrap();
        assert_eq!(swept, [keys[0], keys[2]]);
        assert_eq!(attempts.list(keys[1]).unwrap(), Some(vec![]));
        let mut left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["0000000000000002-3", "README"]);
    }
}
