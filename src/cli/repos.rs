//! `repos`: lists the repos, and the files in them.

use std::{
    io::{self, Write},
    path::Path,
};

use anyhow::{Context, anyhow};

use super::{
    arguments::{self, RepoAction},
    client::{is_site, no_site},
    failure::{CliResult, Failure},
    table::{Cell, table},
    terminal::{Terminal, plain},
};
use crate::{
    disk::repo::{RepoError, RepoSource},
    model::ByteSize,
    serve::{self, RepoShown, Repos},
    site::suggest,
};

pub(super) fn run(site: &Path, repos: &arguments::ReposArgs, terminal: &Terminal) -> CliResult {
    if !is_site(site) {
        return Err(no_site(site));
    }
    let root = std::path::absolute(site).map_err(Failure::unreachable)?;
    let all = Repos::read(&root)
        .with_context(|| format!("cannot read the site `{}`", site.display()))
        .map_err(Failure::unreachable)?;
    let Some(name) = &repos.name else {
        return list_all(&all.all(), repos.json, terminal);
    };
    let source = all.source(name).ok_or_else(|| unknown_repo(name, &all))?;
    let Some(source) = source else {
        let error = anyhow!(
            "repo `{name}` is a URL: machines fetch from it directly, and this server has none of its files"
        );
        return Err(Failure::refused(error));
    };
    let path = repos.path.as_deref().unwrap_or_default();
    match repos.of.unwrap_or(RepoAction::Ls) {
        RepoAction::Ls => list(&source, path, terminal),
        RepoAction::Cat => cat(&source, path),
    }
}

fn unknown_repo(name: &str, known: &Repos) -> Failure {
    let failure = Failure::refused(anyhow!("the site has no repo `{name}`"));
    let similar = suggest(name, known.names());
    failure.maybe_help(similar.map(|similar| format!("did you mean `{similar}`?")))
}

fn list_all(repos: &[RepoShown], json: bool, terminal: &Terminal) -> CliResult {
    if json {
        let text = serde_json::to_string_pretty(repos).context("cannot format the repos as JSON");
        return Ok(terminal.show(&(text? + "\n"))?);
    }
    if repos.is_empty() {
        terminal.note("the site has no repos; declare one under policies.d/");
    }
    let headers = ["REPO", "KIND", "SIZE", "FILES", "TASK", "HEALTH"];
    let rows: Vec<Vec<Cell>> = repos.iter().map(row).collect();
    Ok(terminal.show(&table(&headers, &rows, terminal))?)
}

fn row(repo: &RepoShown) -> Vec<Cell> {
    let task = match (&repo.task, repo.system) {
        (Some(task), _) if repo.guessed => format!("{task} (detected)"),
        (Some(task), _) => task.clone(),
        (None, Some(system)) => format!("no task for {system}"),
        (None, None) => String::new(),
    };
    let health = match &repo.trouble {
        Some(trouble) => trouble.clone(),
        None if repo.kind == "url" => format!("not checked: machines fetch from {}", repo.at),
        None => "good".into(),
    };
    let number = |number: Option<u64>| number.map_or(String::new(), |number| number.to_string());
    [
        repo.name.clone(),
        repo.kind.to_owned(),
        repo.bytes
            .map_or(String::new(), |bytes| ByteSize(bytes).to_string()),
        number(repo.files),
        task,
        health,
    ]
    .iter()
    .map(|text| Cell::new(text))
    .collect()
}

fn list(source: &RepoSource, path: &str, terminal: &Terminal) -> CliResult {
    let listed = serve::list(source, path.trim_matches('/')).map_err(repo_failure)?;
    let widest = listed.iter().filter_map(|one| one.size);
    let width = widest.max().unwrap_or(0).to_string().len();
    let lines = listed.iter().map(|one| {
        let size = one.size.map_or("-".into(), |size| size.to_string());
        let name = plain(&one.name);
        let name = match (&one.link, one.size) {
            (Some(target), _) => format!("{name} -> {}", plain(target)),
            (None, Some(_)) => name,
            (None, None) => name + "/",
        };
        format!("{size:>width$}  {name}\n")
    });
    Ok(terminal.show(&lines.collect::<String>())?)
}

/// Writes a file's bytes to standard output.
fn cat(source: &RepoSource, path: &str) -> CliResult {
    if path.is_empty() {
        return Err(Failure::usage(
            "`cat` needs a path: `bootwright repos NAME cat PATH`",
        ));
    }
    let opened = source
        .open(path.trim_start_matches('/'))
        .map_err(repo_failure)?;
    let mut out = io::stdout().lock();
    let mut piece = vec![0; 1 << 20];
    let (mut at, size) = (0, opened.blob.size());
    while at < size {
        let count = piece
            .len()
            .min(usize::try_from(size - at).unwrap_or(usize::MAX));
        opened.blob.read_exact_at(&mut piece[..count], at)?;
        out.write_all(&piece[..count])?;
        at += count as u64;
    }
    Ok(out.flush()?)
}

fn repo_failure(error: RepoError) -> Failure {
    match error {
        RepoError::Io { .. } | RepoError::Image { .. } => Failure::unreachable(error),
        error => Failure::refused(error),
    }
}
