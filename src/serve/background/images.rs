//! Verifies each image once against the SHA-256 that the site names.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    disk::repo::{ImageFile, ImageVerification},
    model::RepoName,
    serve::{engine::Engine, reload::external},
};

/// The interval between checks for changed images.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// An image that could not be read is tried again in every fifteenth interval: every 30 s.
const RETRY_EVERY: u32 = 15;

/// Computes the digest of every image that has none yet, one at a time.
pub(crate) async fn run(engine: Arc<Engine>) {
    let mut logged: BTreeMap<RepoName, ImageVerification> = BTreeMap::new();
    let mut round = 0;
    loop {
        round = (round + 1) % RETRY_EVERY;
        if round == 0 {
            engine.failed_images.all().clear();
        }
        for (name, image, expected) in engine.live().expected_images() {
            let before = image.verification(&expected);
            let has_failed = engine.failed_images.all().contains_key(&name);
            if matches!(before, ImageVerification::Unverified(_)) && !has_failed {
                let reading = image.clone();
                let found = tokio::task::spawn_blocking(move || reading.compute_digest()).await;
                if let Err(error) = found.map_err(std::io::Error::other).flatten() {
                    tracing::warn!("repo {name}: {}: {error}", image.path().display());
                    engine
                        .failed_images
                        .all()
                        .insert(name.clone(), error.to_string());
                }
            }
            let now = image.verification(&expected);
            if logged.get(&name) != Some(&now) {
                log(&name, &image, now);
                logged.insert(name, now);
            }
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn log(name: &RepoName, image: &ImageFile, now: ImageVerification) {
    let path = image.path().display();
    match now {
        ImageVerification::Verified => {
            tracing::info!("repo {name}: the SHA-256 of {path} matches the site")
        }
        ImageVerification::Mismatch(found) => tracing::error!(
            "repo {name}: {path} has the SHA-256 {}, which is not the one that the site names: nothing is installed from it",
            external::hex(&found)
        ),
        ImageVerification::Unverified(_) => {}
    }
}
