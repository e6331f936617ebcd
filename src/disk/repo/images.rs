//! The images of a site's repos, each read once, however often the site is loaded anew.

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
    known: Mutex<BTreeMap<PathBuf, Arc<ImageFile>>>,
}

impl ImageRegistry {
    /// Images of which what is known is kept in a directory, too.
    pub fn with_cache(directory: PathBuf) -> ImageRegistry {
        ImageRegistry {
            cache: Some(ImageCache::new(directory)),
            ..ImageRegistry::default()
        }
    }

    /// Images of which what is kept in a directory is known, and nothing is written there.
    pub fn with_read_only_cache(directory: PathBuf) -> ImageRegistry {
        ImageRegistry {
            cache: Some(ImageCache::read_only(directory)),
            ..ImageRegistry::default()
        }
    }

    /// The image at a path.
    pub fn at(&self, path: &Path) -> Arc<ImageFile> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // One that no site names any more has nobody else who holds it.
        known.retain(|of, image| of == path || Arc::strong_count(image) > 1);
        let new = || Arc::new(ImageFile::new(path, self.cache.clone()));
        known.entry(path.into()).or_insert_with(new).clone()
    }
}
