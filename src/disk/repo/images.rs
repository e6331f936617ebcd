//! The images of a site's repos. Each is indexed once, however often the site is reloaded.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{ImageCache, ImageFile};

/// Images by their paths.
#[derive(Debug, Default)]
pub struct ImageRegistry {
    cache: Option<ImageCache>,
    cached: Mutex<BTreeMap<PathBuf, Arc<ImageFile>>>,
}

impl ImageRegistry {
    /// Caches indexes and digests in a directory.
    pub fn with_cache(directory: PathBuf) -> ImageRegistry {
        ImageRegistry {
            cache: Some(ImageCache::new(directory)),
            ..ImageRegistry::default()
        }
    }

    /// Reads cached indexes and digests from a directory and writes nothing.
    pub fn with_read_only_cache(directory: PathBuf) -> ImageRegistry {
        ImageRegistry {
            cache: Some(ImageCache::read_only(directory)),
            ..ImageRegistry::default()
        }
    }

    pub fn at(&self, path: &Path) -> Arc<ImageFile> {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        // Images that no site uses any more are dropped.
        cached.retain(|of, image| of == path || Arc::strong_count(image) > 1);
        let new = || Arc::new(ImageFile::new(path, self.cache.clone()));
        cached.entry(path.into()).or_insert_with(new).clone()
    }
}
