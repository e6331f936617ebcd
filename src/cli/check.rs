//! `check`: reports every error in the site.

use std::path::Path;

use anyhow::Context;
use serde_json::json;

use super::{
    client::{ApiClient, is_site, no_site},
    failure::{CliResult, Failure},
    terminal::{Terminal, plain},
};
use crate::{
    serve::{CheckProgram, Loaded, load, missing_microkernel},
    site::{self, ReportStyle, Severity},
};

/// The width of a report in columns if standard output is not a terminal.
const WIDTH: usize = 120;

pub(super) fn run(root: &Path, json: bool, terminal: &Terminal) -> CliResult {
    let mut loaded = checked(root)?;
    let missing = missing_microkernel(root, &loaded.snapshot);
    loaded.diagnostics.extend(missing);
    loaded.snapshot.site.sources.sort(&mut loaded.diagnostics);
    let text = match json {
        true => as_json(&loaded),
        false => report_text(&loaded, running_revision(root), terminal),
    };
    terminal.show(&text)?;
    if loaded.is_valid() {
        Ok(())
    } else {
        Err(Failure::already_reported())
    }
}

/// Loads a site as the server does, with all documents of all nodes rendered. A site whose check ended early is an error.
pub(super) fn loaded(root: &Path) -> CliResult<Loaded> {
    let loaded = checked(root)?;
    match loaded.failure {
        Some(failure) => Err(anyhow::Error::new(failure).into()),
        None => Ok(loaded),
    }
}

fn checked(root: &Path) -> CliResult<Loaded> {
    if !is_site(root) {
        return Err(no_site(root));
    }
    let loaded = load::offline(root, &CheckProgram::default());
    Ok(loaded.with_context(|| format!("cannot read the site `{}`", root.display()))?)
}

/// Formats diagnostics for the terminal.
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

fn report_text(loaded: &Loaded, running: Option<String>, terminal: &Terminal) -> String {
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
    if let Some(revision) = running.filter(|_| !loaded.is_valid()) {
        text += &format!(" The running server still serves revision {revision}.");
    }
    text + "\n"
}

/// The revision that this site's running server serves.
fn running_revision(root: &Path) -> Option<String> {
    // An error here does not affect the result of `check`.
    let (_, status) = ApiClient::find(root).ok()??;
    status.revision.as_deref().map(plain)
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
