//! The SHA-256 of an image, computed once per image.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use sha2::{Digest, Sha256};

use super::{ImageCache, image_stamp::ImageStamp};
use crate::disk::regular;

/// The size of one read in bytes.
const READ_SIZE: usize = 1 << 20;

/// The progress of the computation.
#[derive(Debug, Default)]
pub(super) struct DigestProgress {
    /// Bytes read so far.
    read: AtomicU64,
    /// The size of the image in bytes.
    size: AtomicU64,
}

impl DigestProgress {
    pub(super) fn percent(&self) -> u64 {
        let size = self.size.load(Ordering::Relaxed).max(1);
        self.read.load(Ordering::Relaxed) * 100 / size
    }

    /// Returns the digest of an image and the stamp of the version that it is of. Reads the whole image unless the digest
    /// is cached.
    pub(super) fn digest(
        &self,
        path: &Path,
        cache: Option<&ImageCache>,
    ) -> io::Result<(ImageStamp, [u8; 32])> {
        let file = regular::open(path)?;
        let stamp = ImageStamp::of(&file.metadata()?);
        if let Some(cache) = cache
            && let Some(digest) = cache.digest(path, &stamp)?
        {
            return Ok((stamp, digest));
        }
        self.size.store(stamp.size(), Ordering::Relaxed);
        self.read.store(0, Ordering::Relaxed);
        let digest = self.read(&file)?;
        if ImageStamp::of(&file.metadata()?) != stamp {
            return Err(io::Error::other("the image was changed while it was read"));
        }
        if let Some(cache) = cache {
            cache.store_digest(path, &stamp, &digest)?;
        }
        Ok((stamp, digest))
    }

    fn read(&self, file: &File) -> io::Result<[u8; 32]> {
        let mut hash = Sha256::new();
        let mut piece = vec![0; READ_SIZE];
        let mut at = 0;
        loop {
            let count = file.read_at(&mut piece, at)?;
            if count == 0 {
                return Ok(hash.finalize().into());
            }
            hash.update(&piece[..count]);
            at += count as u64;
            self.read.store(at, Ordering::Relaxed);
        }
    }
}
