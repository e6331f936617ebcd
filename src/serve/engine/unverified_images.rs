//! The images that nothing may be installed from: their SHA-256 differs from the site's `sha256`, or is not computed yet.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    disk::repo::{ImageFile, ImageVerification, RepoSource},
    model::RepoName,
    serve::{engine::Engine, reload::external},
};

impl Engine {
    /// Returns the repos that nothing may be installed from now, each with the reason.
    pub(crate) fn unverified_images(&self) -> BTreeMap<RepoName, String> {
        let expected = self.expected_images().into_iter();
        let unverified = expected.filter_map(|(name, image, digest)| {
            let verification = image.verification(&digest);
            let reason = self.reason_against(&name, verification)?;
            Some((name, reason))
        });
        unverified.collect()
    }

    fn reason_against(&self, name: &RepoName, verification: ImageVerification) -> Option<String> {
        Some(match verification {
            ImageVerification::Verified => return None,
            ImageVerification::Mismatch(_) => {
                format!(
                    "the image of repo {name} does not have the SHA-256 that its `sha256` names"
                )
            }
            ImageVerification::Unverified(percent) => match self.failed_images.all().get(name) {
                Some(error) => format!("the image of repo {name} cannot be read: {error}"),
                None => format!("the image of repo {name} is being verified, {percent} %"),
            },
        })
    }

    /// Returns the images with a `sha256` in the site, each with that digest.
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
