//! Which state of the site goes live at a start.

use std::{path::Path, sync::Arc};

use crate::{
    control::Snapshot,
    disk::{last_good, state::StateDirectory},
    serve::reload::load::{Depth, Loaded, SiteLoader},
    site::SiteFiles,
};

/// The site that goes live at the start.
pub(crate) struct ChosenSite {
    pub(crate) loaded: Loaded,
    pub(crate) snapshot: Arc<Snapshot>,
    /// The last good site, when that is another one: what an edit makes due is judged against it.
    pub(crate) before: Option<Arc<Snapshot>>,
    /// The site as it stands, when it has errors.
    pub(crate) rejected: Option<Loaded>,
    pub(crate) is_new: bool,
}

/// Takes the site as it stands; when it has errors, the last good copy; without one, nothing.
pub(crate) fn choose(
    loader: &mut SiteLoader,
    files: &SiteFiles,
    state: &StateDirectory,
    root: &Path,
) -> anyhow::Result<ChosenSite> {
    let good = readable(last_good::revision(&state.last_good()));
    let depth = good.clone().map_or(Depth::Whole, Depth::Known);
    let loaded = loader.load(files, &depth);
    let same = good.is_some() && loaded.snapshot.site.revision == good;
    if loaded.is_valid() && same {
        return Ok(ChosenSite {
            snapshot: loaded.snapshot.clone(),
            loaded,
            before: None,
            rejected: None,
            is_new: false,
        });
    }
    let copy = match readable(last_good::read(&state.last_good())) {
        Some(copy) => {
            let mut of_copy = SiteLoader::new(root, state.password_key()?, loader.images());
            Some(of_copy.load(&copy.files, &Depth::Known(copy.revision)))
        }
        None => None,
    };
    if loaded.is_valid() {
        let before = copy.map(|copy| copy.snapshot);
        return Ok(ChosenSite {
            snapshot: loaded.snapshot.clone(),
            loaded,
            before,
            rejected: None,
            is_new: true,
        });
    }
    let snapshot = copy.map_or_else(Default::default, |copy| copy.snapshot);
    Ok(ChosenSite {
        snapshot,
        loaded: loaded.clone(),
        before: None,
        rejected: Some(loaded),
        is_new: false,
    })
}

/// A copy that cannot be read is none: the next sound site takes its place.
fn readable<T>(read: std::io::Result<Option<T>>) -> Option<T> {
    read.unwrap_or_else(|error| {
        tracing::warn!("the copy of the last good site cannot be read: {error}");
        None
    })
}
