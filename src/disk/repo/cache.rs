//! The cached indexes and digests of images in the state directory: each is computed once per image.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::image_stamp::ImageStamp;
use crate::{
    disk::{atomic, bundle},
    iso::IsoIndex,
};

/// The version of the format.
const VERSION: u32 = 1;

#[derive(Debug, Clone)]
pub struct ImageCache {
    directory: PathBuf,
    writes: bool,
}

#[derive(Serialize, Deserialize)]
struct CacheHeader {
    version: u32,
    path: PathBuf,
    stamp: ImageStamp,
}

impl ImageCache {
    /// Uses `directory`, which is created on the first write.
    pub fn new(directory: PathBuf) -> ImageCache {
        ImageCache {
            directory,
            writes: true,
        }
    }

    /// Reads what another process stores in `directory`.
    pub fn read_only(directory: PathBuf) -> ImageCache {
        ImageCache {
            directory,
            writes: false,
        }
    }

    /// The index of an image, if it is cached and the image has not changed.
    pub(super) fn index(&self, image: &Path, stamp: &ImageStamp) -> io::Result<Option<IsoIndex>> {
        let Some(body) = self.read(image, stamp, "index")? else {
            return Ok(None);
        };
        // An index of an older release is ignored.
        Ok(serde_json::from_slice(&body).ok())
    }

    pub(super) fn store_index(
        &self,
        image: &Path,
        stamp: &ImageStamp,
        index: &IsoIndex,
    ) -> io::Result<()> {
        self.write(image, stamp, "index", &serde_json::to_vec(index)?)
    }

    /// The SHA-256 digest of an image, if it is cached and the image has not changed.
    pub(super) fn digest(&self, image: &Path, stamp: &ImageStamp) -> io::Result<Option<[u8; 32]>> {
        let body = self.read(image, stamp, "sha256")?;
        Ok(body.and_then(|body| body.try_into().ok()))
    }

    pub(super) fn store_digest(
        &self,
        image: &Path,
        stamp: &ImageStamp,
        digest: &[u8; 32],
    ) -> io::Result<()> {
        self.write(image, stamp, "sha256", digest)
    }

    fn read(&self, image: &Path, stamp: &ImageStamp, kind: &str) -> io::Result<Option<Vec<u8>>> {
        let mut cached = match bundle::open::<CacheHeader>(&self.file(image, kind)) {
            Ok(cached) => cached,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // A truncated file is ignored.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
            Err(error) => return Err(error),
        };
        let head = &cached.head;
        if head.version != VERSION || head.path != image || head.stamp != *stamp {
            return Ok(None);
        }
        Ok(cached.bodies()?.into_iter().next())
    }

    fn write(&self, image: &Path, stamp: &ImageStamp, kind: &str, body: &[u8]) -> io::Result<()> {
        if !self.writes {
            return Ok(());
        }
        atomic::create_dir(&self.directory)?;
        let head = CacheHeader {
            version: VERSION,
            path: image.into(),
            stamp: *stamp,
        };
        bundle::write(&self.file(image, kind), &head, &[body])
    }

    fn file(&self, image: &Path, kind: &str) -> PathBuf {
        let name = Sha256::digest(image.as_os_str().as_encoded_bytes());
        let name: String = name[..12]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.directory.join(format!("{name}.{kind}"))
    }
}
