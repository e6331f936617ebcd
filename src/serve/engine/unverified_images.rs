//! From which images nothing may be installed: those whose SHA-256 is not, or not yet, the one that the site names.

use std::sync::Arc;

use crate::{
    control::Transaction,
    disk::repo::{ImageFile, ImageVerification, RepoSource},
    model::RepoName,
    serve::{engine::Engine, reload::external},
};

impl Engine {
    /// Records in a transaction from which repos nothing may be installed now, and why.
    pub(crate) fn note_unverified_images(&self, transaction: &mut Transaction<'_>) {
        let unverified =
            self.expected_images()
                .into_iter()
                .filter_map(|(name, image, expected)| {
                    let why = match image.verification(&expected) {
                        ImageVerification::Verified => return None,
                        ImageVerification::Mismatch(_) => {
                            format!(
                                "the image of repo {name} is not the one that its `sha256` names"
                            )
                        }
                        ImageVerification::Unverified(percent) => {
                            match self.failed_images.all().get(&name) {
                                Some(error) => {
                                    format!("the image of repo {name} cannot be read: {error}")
                                }
                                None => format!(
                                    "the image of repo {name} is being verified, {percent} %"
                                ),
                            }
                        }
                    };
                    Some((name, why))
                });
        transaction.on_images(unverified.collect());
    }

    /// The images whose digest the site names.
    pub(crate) fn expected_images(&self) -> Vec<(RepoName, Arc<ImageFile>, [u8; 32])> {
        let live = self.live();
        let repos = live.snapshot.site.repos.iter();
        repos
            .filter_map(|(name, repo)| {
                let digest = external::digest(repo)?;
                match live.sources.get(name).map(|source| &**source) {
                    Some(RepoSource::Image(image)) => Some((name.clone(), image.clone(), digest)),
                    Some(RepoSource::Directory(_)) | None => None,
                }
            })
            .collect()
    }
}
