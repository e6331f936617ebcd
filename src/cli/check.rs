//! `check`: every mistake of the site at once.

use std::path::Path;

use anyhow::Context;
use serde_json::json;

use super::{
    client::{ApiClient, is_site, no_site},
    failure::{CliResult, Failure},
    terminal::{Terminal, plain},
};
use crate::{
    serve::{Loaded, load, missing_microkernel},
    site::{self, ReportStyle, Severity},
};

/// How wide a report is where nobody watches.
const WIDTH: usize = 120;

pub(super) fn run(root: &Path, json: bool, terminal: &Terminal) -> CliResult {
    let mut loaded = loaded(root)?;
    let missing = missing_microkernel(root, &loaded.snapshot);
    loaded.diagnostics.extend(missing);
    loaded.snapshot.site.sources.sort(&mut loaded.diagnostics);
    let text = match json {
        true => as_json(&loaded),
        false => written(&loaded, running(root), terminal),
    };
    terminal.show(&text)?;
    if loaded.is_sound() {
        Ok(())
    } else {
        Err(Failure::said())
    }
}

/// Loads a site as the server does, everything rendered for everyone.
pub(super) fn loaded(root: &Path) -> CliResult<Loaded> {
    if !is_site(root) {
        return Err(no_site(root));
    }
    let loaded = load::offline(root);
    Ok(loaded.with_context(|| format!("the site `{}` cannot be read", root.display()))?)
}

/// Writes diagnostics for the terminal.
pub(super) fn report(
    loaded: &Loaded,
    diagnostics: &[site::Diagnostic],
    terminal: &Terminal,
) -> String {
    let style = ReportStyle {
        color: terminal.color,
        width: terminal.width.unwrap_or(WIDTH),
    };
    site::report(diagnostics, &loaded.snapshot.site.sources, style)
}

fn written(loaded: &Loaded, running: Option<String>, terminal: &Terminal) -> String {
    let sources = &loaded.snapshot.site.sources;
    let mut text = report(loaded, &loaded.diagnostics, terminal);
    if !text.is_empty() {
        text += "\n";
    }
    let summary = site::summary(&loaded.diagnostics, sources);
    let (documents, nodes) = (loaded.documents, loaded.nodes);
    text += &format!(
        "{summary}; {} of {} rendered.",
        site::counted(documents, "document"),
        site::counted(nodes, "node")
    );
    if let Some(revision) = running.filter(|_| !loaded.is_sound()) {
        text += &format!(" The running server keeps revision {revision}.");
    }
    text + "\n"
}

/// The revision that the running server serves, when there is one and it is this site's.
fn running(root: &Path) -> Option<String> {
    // Whether a server runs is of no consequence for the site's mistakes.
    let (_, status) = ApiClient::find(root).ok()??;
    Some(plain(status.get("revision")?.as_str()?))
}

fn as_json(loaded: &Loaded) -> String {
    let number = |severity| {
        loaded
            .diagnostics
            .iter()
            .filter(|one| one.severity == severity)
            .count()
    };
    let value = json!({
        "errors": number(Severity::Error),
        "warnings": number(Severity::Warning),
        "diagnostics": site::json(&loaded.diagnostics, &loaded.snapshot.site.sources),
    });
    format!("{value:#}\n")
}
