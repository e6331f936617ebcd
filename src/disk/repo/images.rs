//! The images of a site's repos, each read once, however often the site is loaded anew.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{Cache, Image};

/// Images by their paths.
#[derive(Debug, Default)]
pub struct Images {
    cache: Option<Cache>,
    known: Mutex<BTreeMap<PathBuf, Arc<Image>>>,
}

impl Images {
    /// Images of which what is known is kept in a directory, too.
    pub fn kept_in(directory: PathBuf) -> Images {
        Images {
            cache: Some(Cache::new(directory)),
            ..Images::default()
        }
    }

    /// Images of which what is kept in a directory is known, and nothing is written there.
    pub fn known_from(directory: PathBuf) -> Images {
        Images {
            cache: Some(Cache::read_only(directory)),
            ..Images::default()
        }
    }

    /// The image at a path.
    pub fn at(&self, path: &Path) -> Arc<Image> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // One that no site names any more has nobody else who holds it.
        known.retain(|of, image| of == path || Arc::strong_count(image) > 1);
        let new = || Arc::new(Image::new(path, self.cache.clone()));
        known.entry(path.into()).or_insert_with(new).clone()
    }
}
