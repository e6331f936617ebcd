//! Chooses the revision of the site that goes live when the server starts.

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
    /// The last good site, if it differs. Installations that an edit makes due are determined by comparison with it.
    pub(crate) before: Option<Arc<Snapshot>>,
    /// The current files of the site, if they have errors.
    pub(crate) rejected: Option<Loaded>,
    /// Whether the site has to be stored as the last good one.
    pub(crate) is_new: bool,
}

/// Chooses the current files of the site. If they have errors, it chooses the copy of the last good site, or an empty site
/// without such a copy.
pub(crate) fn choose(
    loader: &mut SiteLoader,
    files: &SiteFiles,
    state: &StateDirectory,
    root: &Path,
) -> anyhow::Result<ChosenSite> {
    let last_good_revision = readable(last_good::revision(&state.last_good()));
    let depth = last_good_revision
        .clone()
        .map_or(Depth::Whole, Depth::Known);
    let loaded = loader.load(files, &depth);
    let same = last_good_revision.is_some() && loaded.snapshot.site.revision == last_good_revision;
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
            if let Some(program) = loader.check_program() {
                of_copy = of_copy.checked_by(program);
            }
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

/// Returns `None` for a copy that cannot be read: the next valid site replaces it.
fn readable<T>(read: std::io::Result<Option<T>>) -> Option<T> {
    read.unwrap_or_else(|error| {
        tracing::warn!("cannot read the copy of the last good site: {error}");
        None
    })
}
