//! `render`: what a node is served, byte for byte, without changing anything.

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
    model::{Facts, RepoName},
    net::http::OperatorQuery,
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
        serve::rendered(&loaded.snapshot, node, &facts(root, node)).map_err(|found| {
            // Standard output is for documents alone.
            terminal.show_aside(&check::report(&loaded, &found, terminal));
            if !loaded.snapshot.site.nodes.contains_key(node) {
                return Failure::said();
            }
            Failure::refused(anyhow!("{node} cannot be rendered"))
                .help("`bootwright check` shows every mistake of the site")
        })?;
    match document {
        Some(name) => one(root, &loaded, &rendered, node, name, terminal),
        None => all(&rendered, terminal),
    }
}

/// What is known of the machine: templates may speak of it.
fn facts(root: &Path, node: &str) -> Facts {
    let question = OperatorQuery::Facts(node.into());
    let answer = match ApiClient::find(root) {
        Ok(Some((client, _))) => client.ask(&question),
        Ok(None) | Err(_) => offline::ask(root, &question),
    };
    // Nothing is known of a machine that was never seen, nor where nobody can be asked.
    answer
        .ok()
        .and_then(|answer| serde_json::from_slice(&answer).ok())
        .unwrap_or_default()
}

fn all(rendered: &RenderedAttempt, terminal: &Terminal) -> CliResult {
    rendered
        .files
        .iter()
        .try_for_each(|file| shown(file, terminal))
}

/// Shows one file under its name.
pub(super) fn shown(file: &RenderedFile, terminal: &Terminal) -> CliResult {
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
        return Err(Failure::refused(anyhow!("{node} is served no `{name}`"))
            .help(format!("there are: {}", names.join(", "))));
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
            "`{}` is {path} of repo {repo}, which is no directory",
            file.name
        )));
    };
    let path = directory.join(path);
    Ok(fs::read(&path).with_context(|| format!("`{}` cannot be read", path.display()))?)
}

/// Where a repo's files are; none of a repo that is no directory.
pub(super) fn directory(root: &Path, site: &Site, repo: &RepoName) -> Option<PathBuf> {
    let directory = site.repos.get(repo)?.body.path.as_ref()?;
    let repos = site.config.paths.repos.as_ref();
    let repos = repos.map_or(".", |repos| &repos.value);
    Some(root.join(repos).join(&directory.value))
}
