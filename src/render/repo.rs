//! Where a repo has the files that a task boots.

use std::collections::BTreeMap;

use minijinja::Value;

use crate::{
    model::{Arch, Repo},
    site::Diagnostic,
};

use super::{
    external::{ExternalInputs, RepoContents, TreeFile},
    layout::{LayoutVariables, RepoLayout},
    task::TaskSpec,
};

/// A repo, as one task finds its files there.
#[derive(Debug, Clone)]
pub(super) struct TaskRepo<'a> {
    /// The repo.
    pub(super) repo: &'a Repo,
    /// Where machines fetch it from, without a `/` at its end.
    pub(super) url: String,
    /// The layout that fits.
    pub(super) layout: String,
    /// Paths by the name that templates use, in the spelling of the tree.
    pub(super) paths: BTreeMap<String, String>,
    /// What was looked up; none of a repo that machines fetch from directly.
    pub(super) tree: Option<&'a BTreeMap<String, Option<TreeFile>>>,
}

/// Finds a task's files. A task without layouts needs no repo.
pub(super) fn find<'a>(
    task: &str,
    spec: &TaskSpec,
    repo: Option<&'a Repo>,
    external: &'a ExternalInputs,
    arch: Arch,
    base: &str,
) -> Result<Option<TaskRepo<'a>>, Diagnostic> {
    let Some(repo) = repo else {
        return match spec.layouts.is_empty() {
            true => Ok(None),
            false => Err(Diagnostic::error(
                format!("task `{task}` installs from a repo, and none is set"),
                None,
            )
            .help("set `repo` in the node or its policy")),
        };
    };
    let word = spec.arch_word(arch);
    if word.is_none() && !spec.arch.is_empty() {
        return Err(Diagnostic::error(
            format!("task `{task}` cannot install on {arch}"),
            repo.name.span,
        ));
    }
    let words = LayoutVariables {
        arch: word,
        vars: &repo.body.vars,
    };
    if let Some(lacking) = words.lacking(&spec.layouts) {
        let message = format!(
            "task `{task}` needs `{lacking}` in the `vars` of repo `{}`",
            repo.name
        );
        return Err(Diagnostic::error(message, repo.name.span));
    }
    let view = external.repos.get(&repo.name.value);
    let (url, tree) = match (view, &repo.body.url) {
        (Some(RepoContents::Missing(reason)), _) => {
            return Err(Diagnostic::error(
                format!("repo `{}` cannot be read: {reason}", repo.name),
                span(repo),
            ));
        }
        (Some(RepoContents::Url(url)), _) => (url.clone(), None),
        (Some(RepoContents::Tree { files }), _) => {
            (format!("{base}/repo/{}", repo.name), Some(files))
        }
        (None, Some(url)) => (url.value.clone(), None),
        (None, None) => {
            return Err(Diagnostic::error(
                format!("repo `{}` was not looked up", repo.name),
                span(repo),
            ));
        }
    };
    let (layout, paths) = match tree {
        Some(files) => fitting(spec, files, words)
            .ok_or_else(|| nothing_fits(task, spec, repo, files, words))?,
        None => chosen(spec, repo, words)?,
    };
    Ok(Some(TaskRepo {
        repo,
        url: url.trim_end_matches('/').to_string(),
        layout,
        paths,
        tree,
    }))
}

/// Warns of files that an image usually has and that this one lacks.
pub(super) fn doubts(spec: &TaskSpec, found: &TaskRepo<'_>) -> Vec<Diagnostic> {
    let layout = spec
        .layouts
        .iter()
        .find(|layout| layout.name == found.layout);
    let missing = layout
        .into_iter()
        .flat_map(|layout| &layout.expected)
        .filter(|(key, _)| !found.paths.contains_key(*key));
    missing
        .map(|(_, path)| {
            let message = format!("repo `{}` lacks `{path}`: is it whole?", found.repo.name);
            Diagnostic::warning(message, span(found.repo))
        })
        .collect()
}

/// Where a repo says what it is.
pub(super) fn span(repo: &Repo) -> crate::model::SourceSpan {
    let body = &repo.body;
    let span = [&body.path, &body.iso, &body.url]
        .into_iter()
        .flatten()
        .next()
        .map(|at| at.span);
    span.unwrap_or(repo.name.span)
}

type LayoutPaths = (String, BTreeMap<String, String>);

/// The first layout all of whose files are there.
fn fitting(
    spec: &TaskSpec,
    files: &BTreeMap<String, Option<TreeFile>>,
    words: LayoutVariables<'_>,
) -> Option<LayoutPaths> {
    if spec.layouts.is_empty() {
        return Some(LayoutPaths::default());
    }
    let lookup = |path: &str| {
        Some(
            files
                .get(&words.filled(path).to_lowercase())?
                .as_ref()?
                .path
                .clone(),
        )
    };
    spec.layouts.iter().find_map(|layout| {
        let needed: Option<BTreeMap<_, _>> = layout
            .files
            .iter()
            .map(|(key, path)| Some((key.clone(), lookup(path)?)))
            .collect();
        let mut paths = needed?;
        let extra = layout
            .extra()
            .filter_map(|(key, path)| Some((key.clone(), lookup(path)?)));
        paths.extend(extra);
        Some((layout.name.clone(), paths))
    })
}

/// The layout that the repo's `vars` name, else the first: nothing can be looked up.
fn chosen(
    spec: &TaskSpec,
    repo: &Repo,
    words: LayoutVariables<'_>,
) -> Result<LayoutPaths, Diagnostic> {
    let wanted = repo
        .body
        .vars
        .get("layout")
        .and_then(|at| Some((at.value.as_str()?, at.span)));
    let layout: Option<&RepoLayout> = match wanted {
        Some((name, span)) => {
            let found = spec.layouts.iter().find(|layout| layout.name == name);
            let known: Vec<&str> = spec
                .layouts
                .iter()
                .map(|layout| layout.name.as_str())
                .collect();
            Some(found.ok_or_else(|| {
                Diagnostic::error(format!("there is no layout `{name}`"), span)
                    .help(format!("there are {}", known.join(", ")))
            })?)
        }
        None => spec.layouts.first(),
    };
    let Some(layout) = layout else {
        return Ok(LayoutPaths::default());
    };
    let all = layout.files.iter().chain(layout.extra());
    Ok((
        layout.name.clone(),
        all.map(|(key, path)| (key.clone(), words.filled(path)))
            .collect(),
    ))
}

fn nothing_fits(
    task: &str,
    spec: &TaskSpec,
    repo: &Repo,
    files: &BTreeMap<String, Option<TreeFile>>,
    words: LayoutVariables<'_>,
) -> Diagnostic {
    let lacks = |layout: &RepoLayout| -> Vec<String> {
        let paths = layout.files.values().map(|path| words.filled(path));
        paths
            .filter(|path| !matches!(files.get(&path.to_lowercase()), Some(Some(_))))
            .map(|path| format!("`{path}`"))
            .collect()
    };
    // The layout that comes closest says most.
    let closest = spec
        .layouts
        .iter()
        .map(lacks)
        .min_by_key(Vec::len)
        .unwrap_or_default();
    let mut found = Diagnostic::error(
        format!("repo `{}` lacks {}", repo.name, closest.join(", ")),
        span(repo),
    );
    found.label = format!("task {task} boots from it");
    if let [_, _, ..] = spec.layouts.as_slice() {
        let names: Vec<String> = spec
            .layouts
            .iter()
            .map(|layout| {
                format!(
                    "{} ({})",
                    layout.name,
                    layout
                        .files
                        .values()
                        .map(|path| words.filled(path))
                        .collect::<Vec<_>>()
                        .join(", ")
                )
            })
            .collect();
        found.help = Some(format!("layouts that fit: {}", names.join("; ")));
    }
    found
}

impl TaskRepo<'_> {
    /// `repo` in templates.
    pub(super) fn seen(&self) -> Value {
        let files: BTreeMap<&str, Value> = self
            .paths
            .iter()
            .map(|(key, path)| {
                (
                    key.as_str(),
                    Value::from(format!("{}/{}", self.url, escaped(path))),
                )
            })
            .collect();
        let mirror = self
            .repo
            .body
            .vars
            .get("mirror")
            .and_then(|at| at.value.as_str());
        minijinja::context! {
            name => self.repo.name.value.as_str(),
            url => self.url.as_str(),
            layout => self.layout.as_str(),
            files => Value::from(files),
            mirror => mirror.map(Mirror::new).map(Value::from),
            packages => Value::from(Mirror { is_repo: mirror.is_none(), ..Mirror::new(mirror.unwrap_or(&self.url)) }),
        }
    }
}

/// A path as it stands in a URL.
fn escaped(path: &str) -> String {
    path.split('/')
        .map(super::urls::encoded)
        .collect::<Vec<_>>()
        .join("/")
}

/// Where packages come from, in the parts that Debian asks for one by one.
struct Mirror {
    url: String,
    protocol: String,
    host: String,
    directory: String,
    is_repo: bool,
}

impl Mirror {
    fn new(url: &str) -> Mirror {
        let url = url.trim_end_matches('/');
        let (protocol, rest) = url.split_once("://").unwrap_or(("http", url));
        let (host, directory) = rest.split_once('/').unwrap_or((rest, ""));
        Mirror {
            url: url.into(),
            protocol: protocol.into(),
            host: host.into(),
            directory: format!("/{directory}"),
            is_repo: false,
        }
    }
}

impl From<Mirror> for Value {
    fn from(mirror: Mirror) -> Value {
        minijinja::context! {
            url => mirror.url,
            protocol => mirror.protocol,
            host => mirror.host,
            directory => mirror.directory,
            local => mirror.is_repo,
        }
    }
}
