//! What is known of images, kept in the state directory, so that it is found out once for each image.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::image::ImageStamp;
use crate::{
    disk::{atomic, bundle},
    iso::IsoIndex,
};

/// Another form of what is kept has another number.
const VERSION: u32 = 1;

/// The directory where it is kept.
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
    /// Keeps it in `directory`, which is made when something is kept.
    pub fn new(directory: PathBuf) -> ImageCache {
        ImageCache {
            directory,
            writes: true,
        }
    }

    /// What another program keeps in `directory`.
    pub fn read_only(directory: PathBuf) -> ImageCache {
        ImageCache {
            directory,
            writes: false,
        }
    }

    /// The index of an image, if it is kept and the image is still the same.
    pub(super) fn index(&self, image: &Path, stamp: &ImageStamp) -> io::Result<Option<IsoIndex>> {
        let Some(body) = self.read(image, stamp, "index")? else {
            return Ok(None);
        };
        // What an older release wrote is as good as nothing.
        Ok(serde_json::from_slice(&body).ok())
    }

    pub(super) fn keep_index(
        &self,
        image: &Path,
        stamp: &ImageStamp,
        index: &IsoIndex,
    ) -> io::Result<()> {
        self.write(image, stamp, "index", &serde_json::to_vec(index)?)
    }

    /// The SHA-256 digest of an image, if it is kept and the image is still the same.
    pub(super) fn digest(&self, image: &Path, stamp: &ImageStamp) -> io::Result<Option<[u8; 32]>> {
        let body = self.read(image, stamp, "sha256")?;
        Ok(body.and_then(|body| body.try_into().ok()))
    }

    pub(super) fn keep_digest(
        &self,
        image: &Path,
        stamp: &ImageStamp,
        digest: &[u8; 32],
    ) -> io::Result<()> {
        self.write(image, stamp, "sha256", digest)
    }

    fn read(&self, image: &Path, stamp: &ImageStamp, kind: &str) -> io::Result<Option<Vec<u8>>> {
        let mut kept = match bundle::open::<CacheHeader>(&self.file(image, kind)) {
            Ok(kept) => kept,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // Half of something that was kept is nothing.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
            Err(error) => return Err(error),
        };
        let head = &kept.head;
        if head.version != VERSION || head.path != image || head.stamp != *stamp {
            return Ok(None);
        }
        Ok(kept.bodies()?.into_iter().next())
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
