//! A new state of the site in the old one's place.
//!
//! The whole site is loaded and checked first. Without an error it goes live for every request from then on;
//! with one, everything stays as it was, and the mistakes are told.

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
    mut seen: watch::Receiver<ObservedSite>,
) {
    while seen.changed().await.is_ok() {
        let now = seen.borrow_and_update().clone();
        if let Some(trouble) = now.trouble {
            tracing::error!(
                "the site cannot be read: {trouble}; revision {} stays",
                revision(&engine)
            );
            let reason = format!("the site cannot be read: {trouble}");
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
                take(&engine, &loaded, &now.files, &state).await;
            }
            Err(error) => {
                tracing::error!("loading the site failed: {error}");
                return;
            }
        }
    }
}

async fn take(
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
    keep(loaded, files, state);
}

/// Keeps the site as the last good one, off the way of everything else.
pub(crate) fn keep(loaded: &Loaded, files: &Arc<SiteFiles>, state: &StateDirectory) {
    let Some(revision) = loaded.snapshot.site.revision.clone() else {
        return;
    };
    let (files, path) = (files.clone(), state.last_good());
    tokio::task::spawn_blocking(move || {
        if let Err(error) = last_good::write(&path, &revision, &files) {
            tracing::error!("the last good site cannot be kept: {error}");
        }
        memory::give_back();
    });
}

/// Tells the mistakes of a site that does not go live.
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
    tracing::error!("{counted}; revision {} stays\n{report}", revision(engine));
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

/// The server's own settings are read at its start alone.
fn warn_restart(engine: &Engine, loaded: &Loaded) {
    if *engine.started_with != *loaded.snapshot.site.config {
        tracing::warn!("bootwright.toml has changed: restart the server for that");
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
