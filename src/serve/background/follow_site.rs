//! Reloads the site when its files change.
//!
//! The whole site is loaded and checked first. Without errors it goes live for all further requests. With errors the current
//! revision stays live, and the errors are logged.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    disk::{last_good, state::StateDirectory, watch::ObservedSite},
    serve::{
        engine::{Engine, Rejected},
        memory,
        reload::load::{Depth, Loaded, SiteLoader},
    },
    site::{self, ReportStyle, Severity, SiteFiles},
};

/// Follows the site until its watch ends.
pub(crate) async fn follow(
    engine: Arc<Engine>,
    mut loader: SiteLoader,
    state: StateDirectory,
    mut site_changes: watch::Receiver<ObservedSite>,
) {
    while site_changes.changed().await.is_ok() {
        let now = site_changes.borrow_and_update().clone();
        if let Some(error) = now.trouble {
            tracing::error!(
                "the site cannot be read: {error}; revision {} stays live",
                revision(&engine)
            );
            let reason = format!("the site cannot be read: {error}");
            engine.rejected.store(Arc::new(Rejected {
                reason: Some(reason),
                ..Rejected::default()
            }));
            continue;
        }
        let files = now.files.clone();
        let loading = tokio::task::spawn_blocking(move || {
            let loaded = loader.load(&files, &Depth::Whole);
            (loader, loaded)
        });
        match loading.await {
            Ok((returned, loaded)) => {
                loader = returned;
                apply(&engine, &loaded, &now.files, &state).await;
            }
            Err(error) => {
                tracing::error!("loading the site failed: {error}");
                return;
            }
        }
    }
}

async fn apply(
    engine: &Arc<Engine>,
    loaded: &Loaded,
    files: &Arc<SiteFiles>,
    state: &StateDirectory,
) {
    if !loaded.is_valid() {
        reject(engine, loaded);
        return;
    }
    let revision = loaded.snapshot.site.revision.clone();
    let same = engine.snapshot().site.revision == revision;
    if let Err(error) = engine.replace(loaded.snapshot.clone()).durable().await {
        tracing::error!("{error}");
    }
    engine.rejected.store(Arc::default());
    warn_restart(engine, loaded);
    if !same {
        tracing::info!(
            "revision {}: {}, live",
            self::revision(engine),
            site::counted(loaded.nodes, "node")
        );
    }
    store_last_good(loaded, files, state);
}

/// Stores the site as the last good one, on a thread that may block.
pub(crate) fn store_last_good(loaded: &Loaded, files: &Arc<SiteFiles>, state: &StateDirectory) {
    let Some(revision) = loaded.snapshot.site.revision.clone() else {
        return;
    };
    let (files, path) = (files.clone(), state.last_good());
    tokio::task::spawn_blocking(move || {
        if let Err(error) = last_good::write(&path, &revision, &files) {
            tracing::error!("cannot store the last good site: {error}");
        }
        memory::release_free_memory();
    });
}

/// Logs and stores the errors of a site that does not go live.
pub(crate) fn reject(engine: &Engine, loaded: &Loaded) {
    let sources = &loaded.snapshot.site.sources;
    let count = |severity| {
        loaded
            .diagnostics
            .iter()
            .filter(|one| one.severity == severity)
            .count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let report = site::report(&loaded.diagnostics, sources, ReportStyle::PLAIN);
    let counted = if errors == 1 {
        "1 error".into()
    } else {
        format!("{errors} errors")
    };
    tracing::error!(
        "{counted}; revision {} stays live\n{report}",
        revision(engine)
    );
    engine.rejected.store(Arc::new(Rejected {
        revision: loaded.snapshot.site.revision.clone(),
        errors,
        warnings,
        diagnostics: site::json(&loaded.diagnostics, sources),
        reason: Some(format!(
            "the site has {counted}; revision {} is served",
            revision(engine)
        )),
    }));
}

/// Warns if the server's own settings have changed: they are read only at its start.
fn warn_restart(engine: &Engine, loaded: &Loaded) {
    if *engine.started_with != *loaded.snapshot.site.config {
        tracing::warn!("bootwright.toml has changed: restart the server to apply it");
    }
}

fn revision(engine: &Engine) -> String {
    engine
        .snapshot()
        .site
        .revision
        .as_ref()
        .map_or_else(|| "(none)".into(), ToString::to_string)
}
