//! An image's SHA-256, found out once for each image.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use sha2::{Digest, Sha256};

use super::{ImageCache, image::ImageStamp};

/// What is read at once, in bytes.
const PIECE: usize = 1 << 20;

/// A digest, and how far it is.
#[derive(Debug, Default)]
pub(super) struct DigestProgress {
    /// How many bytes were read.
    read: AtomicU64,
    /// How many there are.
    size: AtomicU64,
}

impl DigestProgress {
    /// How much was read, in percent.
    pub(super) fn percent(&self) -> u64 {
        let size = self.size.load(Ordering::Relaxed).max(1);
        self.read.load(Ordering::Relaxed) * 100 / size
    }

    /// Reads all of an image, unless its digest is kept; returns which image it was, too. It takes as long as reading it
    /// does.
    pub(super) fn digest(
        &self,
        path: &Path,
        cache: Option<&ImageCache>,
    ) -> io::Result<(ImageStamp, [u8; 32])> {
        let file = File::open(path)?;
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
            return Err(io::Error::other("it was changed while it was read"));
        }
        if let Some(cache) = cache {
            cache.keep_digest(path, &stamp, &digest)?;
        }
        Ok((stamp, digest))
    }

    fn read(&self, file: &File) -> io::Result<[u8; 32]> {
        let mut hash = Sha256::new();
        let mut piece = vec![0; PIECE];
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
