//! Images are held to the SHA-256 that the site names: in the background, once for each image.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{engine::Engine, outside};
use crate::{
    control::Transaction,
    disk::repo::{ImageFile, ImageVerification, RepoSource},
    model::RepoName,
};

/// Between two looks at whether an image is another one now.
const LOOK: Duration = Duration::from_secs(2);
/// An image that could not be read is tried again after so many of them.
const AGAIN: u32 = 15;

/// Why an image could not be read to its end, of late.
#[derive(Debug, Default)]
pub(crate) struct Failed(Mutex<BTreeMap<RepoName, String>>);

/// Reads, one after the other, every image whose digest is not known.
pub(crate) async fn prove(engine: Arc<Engine>) {
    let mut told: BTreeMap<RepoName, ImageVerification> = BTreeMap::new();
    let mut round = 0;
    loop {
        round = (round + 1) % AGAIN;
        if round == 0 {
            engine.failed.all().clear();
        }
        for (name, image, expected) in engine.expected() {
            let before = image.verification(&expected);
            let has_failed = engine.failed.all().contains_key(&name);
            if matches!(before, ImageVerification::Unverified(_)) && !has_failed {
                let proving = image.clone();
                let found = tokio::task::spawn_blocking(move || proving.compute_digest()).await;
                if let Err(error) = found.map_err(std::io::Error::other).flatten() {
                    tracing::warn!("repo {name}: {}: {error}", image.path().display());
                    engine.failed.all().insert(name.clone(), error.to_string());
                }
            }
            let now = image.verification(&expected);
            if told.get(&name) != Some(&now) {
                tell(&name, &image, now);
                told.insert(name, now);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn tell(name: &RepoName, image: &ImageFile, now: ImageVerification) {
    let path = image.path().display();
    match now {
        ImageVerification::Verified => {
            tracing::info!("repo {name}: {path} has the SHA-256 that the site names")
        }
        ImageVerification::Mismatch(found) => tracing::error!(
            "repo {name}: {path} has the SHA-256 {}, which is not the one that the site names: nothing is installed from it",
            outside::hex(&found)
        ),
        ImageVerification::Unverified(_) => {}
    }
}

impl Failed {
    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<RepoName, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Tells a turn from which repos nothing may be installed now, and why.
    pub(crate) fn tell_of_images(&self, transaction: &mut Transaction<'_>) {
        let unverified = self
            .expected()
            .into_iter()
            .filter_map(|(name, image, expected)| {
                let why = match image.verification(&expected) {
                    ImageVerification::Verified => return None,
                    ImageVerification::Mismatch(_) => {
                        format!("the image of repo {name} is not the one that its `sha256` names")
                    }
                    ImageVerification::Unverified(percent) => match self.failed.all().get(&name) {
                        Some(error) => format!("the image of repo {name} cannot be read: {error}"),
                        None => format!("the image of repo {name} is being verified, {percent} %"),
                    },
                };
                Some((name, why))
            });
        transaction.on_images(unverified.collect());
    }

    /// The images that are to have a digest.
    fn expected(&self) -> Vec<(RepoName, Arc<ImageFile>, [u8; 32])> {
        let live = self.live();
        let repos = live.snapshot.site.repos.iter();
        repos
            .filter_map(|(name, repo)| {
                let digest = outside::digest(repo)?;
                match live.sources.get(name).map(|source| &**source) {
                    Some(RepoSource::Image(image)) => Some((name.clone(), image.clone(), digest)),
                    Some(RepoSource::Directory(_)) | None => None,
                }
            })
            .collect()
    }
}
