//! `render`: prints the documents that the server sends to a node, without changing any state.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};

use super::{
    check,
    client::ApiClient,
    failure::{CliResult, Failure},
    offline,
    terminal::Terminal,
};
use crate::{
    api::Query,
    model::{Facts, RepoName},
    render::{FileBody, RenderedAttempt, RenderedFile},
    serve::{self, Loaded},
    site::Site,
};

pub(super) fn run(
    root: &Path,
    node: &str,
    document: Option<&str>,
    terminal: &Terminal,
) -> CliResult {
    let loaded = check::loaded(root)?;
    let rendered =
        serve::rendered(&loaded.snapshot, node, &facts(root, node)).map_err(|diagnostics| {
            // Standard output is only for documents.
            terminal.show_error_text(&check::report(&loaded, &diagnostics, terminal));
            if !loaded.snapshot.site.nodes.contains_key(node) {
                return Failure::already_reported();
            }
            Failure::refused(anyhow!("cannot render the documents of {node}"))
                .help("`bootwright check` shows every error in the site")
        })?;
    match document {
        Some(name) => one(root, &loaded, &rendered, node, name, terminal),
        None => all(&rendered, terminal),
    }
}

/// The machine's facts, which templates may use.
fn facts(root: &Path, node: &str) -> Facts {
    let question = Query::Facts(node.into());
    let answer = match ApiClient::find(root) {
        Ok(Some((client, _))) => client.query(&question),
        Ok(None) | Err(_) => offline::query(root, &question),
    };
    // A machine that has never booted has no facts; neither has any if the state is unreadable.
    answer
        .ok()
        .and_then(|answer| serde_json::from_slice(&answer).ok())
        .unwrap_or_default()
}

fn all(rendered: &RenderedAttempt, terminal: &Terminal) -> CliResult {
    rendered
        .files
        .iter()
        .try_for_each(|file| print_file(file, terminal))
}

/// Prints one file under its name.
pub(super) fn print_file(file: &RenderedFile, terminal: &Terminal) -> CliResult {
    terminal.show(&format!("==> {} <==\n", file.name))?;
    match &file.body {
        FileBody::Bytes(bytes) => {
            terminal.show_bytes(bytes)?;
            if !bytes.ends_with(b"\n") {
                terminal.show("\n")?;
            }
        }
        FileBody::Repo { repo, path } => terminal.show(&format!("({path} of repo {repo})\n"))?,
    }
    Ok(terminal.show("\n")?)
}

fn one(
    root: &Path,
    loaded: &Loaded,
    rendered: &RenderedAttempt,
    node: &str,
    name: &str,
    terminal: &Terminal,
) -> CliResult {
    let Some(file) = rendered.files.iter().find(|file| file.name == name) else {
        let names: Vec<&str> = rendered
            .files
            .iter()
            .map(|file| file.name.as_str())
            .collect();
        return Err(Failure::refused(anyhow!("{node} has no document `{name}`"))
            .help(format!("its documents: {}", names.join(", "))));
    };
    Ok(terminal.show_bytes(&bytes(root, loaded, file)?)?)
}

fn bytes(root: &Path, loaded: &Loaded, file: &RenderedFile) -> CliResult<Vec<u8>> {
    let (repo, path) = match &file.body {
        FileBody::Bytes(bytes) => return Ok(bytes.clone()),
        FileBody::Repo { repo, path } => (repo, path),
    };
    let Some(directory) = directory(root, &loaded.snapshot.site, repo) else {
        return Err(Failure::refused(anyhow!(
            "`{}` is {path} of repo {repo}, which is not a directory",
            file.name
        )));
    };
    let path = directory.join(path);
    Ok(fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?)
}

/// The directory of a repo's files; `None` if the repo is an image or a URL.
pub(super) fn directory(root: &Path, site: &Site, repo: &RepoName) -> Option<PathBuf> {
    let directory = site.repos.get(repo)?.body.path.as_ref()?;
    let repos = site.config.paths.repos.as_ref();
    let repos = repos.map_or(".", |repos| &repos.value);
    Some(root.join(repos).join(&directory.value))
}
