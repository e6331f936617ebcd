//! The images that nothing may be installed from: their SHA-256 differs from the site's `sha256`, or is not computed yet.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    control::{Snapshot, Transaction},
    disk::{
        journal::Ticket,
        repo::{ImageFile, ImageVerification, RepoSource},
    },
    model::RepoName,
    serve::{
        engine::{Engine, Live},
        reload::external,
    },
};

impl Engine {
    /// Runs a transaction that may decide about an installation. The state of the images is read before the state of the
    /// machines is locked, for the site that is live then.
    pub(crate) fn transaction_with_images<T>(
        &self,
        mut act: impl FnMut(&mut Transaction<'_>, &Arc<Snapshot>) -> T,
    ) -> (T, Ticket) {
        loop {
            let live = self.live().clone();
            let unverified = self.unverified_images(&live);
            let (result, ticket) = self.transaction_at(|transaction, snapshot| {
                // After a reload, other images may have to be verified.
                Arc::ptr_eq(snapshot, &live.snapshot).then(|| {
                    transaction.on_unverified_images(unverified);
                    act(transaction, snapshot)
                })
            });
            if let Some(result) = result {
                return (result, ticket);
            }
        }
    }

    /// Returns the repos that nothing may be installed from now, each with the reason.
    fn unverified_images(&self, live: &Live) -> BTreeMap<RepoName, String> {
        let expected = live.expected_images().into_iter();
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
}

impl Live {
    /// Returns the images with a `sha256` in the site, each with that digest.
    pub(crate) fn expected_images(&self) -> Vec<(RepoName, Arc<ImageFile>, [u8; 32])> {
        let repos = self.snapshot.site.repos.iter();
        repos
            .filter_map(|(name, repo)| {
                let digest = external::digest(repo)?;
                match self.sources.get(name).map(|source| &**source) {
                    Some(RepoSource::Image(image)) => Some((name.clone(), image.clone(), digest)),
                    Some(RepoSource::Directory(_)) | None => None,
                }
            })
            .collect()
    }
}
