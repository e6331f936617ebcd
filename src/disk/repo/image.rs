//! A repo that is an ISO image: its index, created once per image, and its files, read in place.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    Blob, ImageCache, OpenedRepoFile, RepoEntry, RepoError, digest::DigestProgress, folder_parts,
    image_stamp::ImageStamp, parts,
};
use crate::{
    disk::regular,
    iso::{EntryKind, IsoIndex, IsoLookupError},
};

#[derive(Debug)]
pub struct ImageFile {
    path: PathBuf,
    cache: Option<ImageCache>,
    cached: Mutex<Option<IndexedState>>,
    digesting: DigestProgress,
    digest: Mutex<Option<(ImageStamp, [u8; 32])>>,
}

/// Whether an image has the expected SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageVerification {
    Verified,
    /// It has this digest instead.
    Mismatch([u8; 32]),
    /// Not computed yet. The progress in percent.
    Unverified(u64),
}

/// The result of the last indexing.
#[derive(Debug, Clone)]
struct IndexedState {
    stamp: ImageStamp,
    outcome: Result<Arc<IndexedImage>, String>,
}

/// An image that can be served.
#[derive(Debug)]
pub(super) struct IndexedImage {
    pub(super) stamp: ImageStamp,
    pub(super) file: Arc<File>,
    pub(super) index: IsoIndex,
}

impl ImageFile {
    /// The image at `path`. It need not exist yet and may be replaced.
    pub fn new(path: &Path, cache: Option<ImageCache>) -> ImageFile {
        ImageFile {
            path: path.into(),
            cache,
            cached: Mutex::default(),
            digesting: DigestProgress::default(),
            digest: Mutex::default(),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// In bytes.
    pub fn size(&self) -> io::Result<u64> {
        std::fs::metadata(&self.path).map(|metadata| metadata.len())
    }

    /// Whether the present image has the expected digest, if it has been computed.
    pub fn verification(&self, expected: &[u8; 32]) -> ImageVerification {
        // A missing image is unverified; its problem is reported separately.
        let now = std::fs::metadata(&self.path).map(|metadata| ImageStamp::of(&metadata));
        let mut digest = self.digest.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = match (&now, *digest) {
            (Ok(now), cached) if cached.is_none_or(|(stamp, _)| stamp != *now) => {
                self.cached_digest(now)
            }
            (_, cached) => cached,
        };
        *digest = cached;
        drop(digest);
        match (now, cached) {
            (Ok(now), Some((stamp, digest))) if now == stamp && digest == *expected => {
                ImageVerification::Verified
            }
            (Ok(now), Some((stamp, digest))) if now == stamp => ImageVerification::Mismatch(digest),
            _ => ImageVerification::Unverified(self.digesting.percent()),
        }
    }

    /// The digest that an earlier run stored.
    fn cached_digest(&self, now: &ImageStamp) -> Option<(ImageStamp, [u8; 32])> {
        // If it cannot be read, it is computed again.
        let stored = self.cache.as_ref()?.digest(&self.path, now).ok()??;
        Some((*now, stored))
    }

    /// Computes the digest, which reads the whole image unless the digest is cached.
    pub fn compute_digest(&self) -> io::Result<[u8; 32]> {
        let (stamp, digest) = self.digesting.digest(&self.path, self.cache.as_ref())?;
        let mut cached = self.digest.lock().unwrap_or_else(PoisonError::into_inner);
        *cached = Some((stamp, digest));
        Ok(digest)
    }

    /// Why it cannot be served; none when it can.
    pub fn trouble(&self) -> Option<String> {
        self.indexed().err().map(|error| error.to_string())
    }

    /// Calls `with_index` with the index.
    pub fn with_index<T>(&self, with_index: impl FnOnce(&IsoIndex) -> T) -> Result<T, RepoError> {
        Ok(with_index(&self.indexed()?.index))
    }

    pub(super) fn open(&self, path: &str) -> Result<OpenedRepoFile, RepoError> {
        let parts = parts(path)?;
        let image = self.indexed()?;
        let found = image.index.file(&parts).map_err(|error| match error {
            IsoLookupError::NotFound => RepoError::Missing(path.into()),
            IsoLookupError::NotAFile => RepoError::NotAFile(path.into()),
            IsoLookupError::LinkOutside => RepoError::Outside(path.into()),
        })?;
        let stamp = image.stamp;
        let etag = stamp.etag(found.extents);
        Ok(OpenedRepoFile {
            blob: Blob::of_image(image.file.clone(), found.extents.clone(), stamp),
            path: found.path.to_owned(),
            modified: stamp.modified(),
            etag,
        })
    }

    pub(super) fn list(&self, path: &str) -> Result<Vec<RepoEntry>, RepoError> {
        let parts = folder_parts(path)?;
        let image = self.indexed()?;
        let list = image.index.list(&parts).into_iter().map(|entry| RepoEntry {
            name: entry.path.rsplit('/').next().unwrap_or_default().to_owned(),
            size: match &entry.kind {
                EntryKind::File(extents) => Some(extents.size()),
                EntryKind::Directory | EntryKind::Link(_) => None,
            },
            link: match &entry.kind {
                EntryKind::Link(target) => Some(target.to_string()),
                EntryKind::Directory | EntryKind::File(_) => None,
            },
        });
        Ok(list.collect())
    }

    /// The index of the present image; it is created again when the image was changed.
    pub(super) fn indexed(&self) -> Result<Arc<IndexedImage>, RepoError> {
        let failed = |reason: String| RepoError::Image {
            path: self.path.display().to_string(),
            reason,
        };
        let metadata = std::fs::metadata(&self.path);
        let metadata = metadata.map_err(|error| failed(crate::disk::site::reason(&error)))?;
        let stamp = ImageStamp::of(&metadata);
        let mut cached = self.cached();
        if cached.as_ref().is_none_or(|cached| cached.stamp != stamp) {
            // Concurrent requests for the same image wait here instead of reading it again.
            *cached = Some(self.read(stamp));
        }
        let outcome = cached.as_ref().map(|cached| cached.outcome.clone());
        outcome
            .unwrap_or_else(|| Err("the image was not read".into()))
            .map_err(failed)
    }

    fn read(&self, stamp: ImageStamp) -> IndexedState {
        let file = match regular::open(&self.path) {
            Ok(file) => file,
            Err(error) => {
                let outcome = Err(crate::disk::site::reason(&error));
                return IndexedState { stamp, outcome };
            }
        };
        // It may have been replaced since: the open file counts.
        let (stamp, outcome) = match file.metadata() {
            Ok(metadata) => {
                let stamp = ImageStamp::of(&metadata);
                (stamp, self.index(&file, &stamp))
            }
            Err(error) => (stamp, Err(error.to_string())),
        };
        let outcome = outcome.map(|index| {
            Arc::new(IndexedImage {
                stamp,
                file: Arc::new(file),
                index,
            })
        });
        IndexedState { stamp, outcome }
    }

    fn index(&self, file: &File, stamp: &ImageStamp) -> Result<IsoIndex, String> {
        let log = |error: io::Error| {
            tracing::warn!("cannot cache the index of {}: {error}", self.path.display());
        };
        if let Some(cache) = &self.cache {
            match cache.index(&self.path, stamp) {
                Ok(Some(index)) => return Ok(index),
                Ok(None) => {}
                Err(error) => log(error),
            }
        }
        let index = IsoIndex::read(file).map_err(|error| error.to_string())?;
        if let Some(cache) = &self.cache
            && let Err(error) = cache.store_index(&self.path, stamp, &index)
        {
            log(error);
        }
        Ok(index)
    }

    fn cached(&self) -> MutexGuard<'_, Option<IndexedState>> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
