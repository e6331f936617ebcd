//! Finds the files that a task boots in a repo.

use std::collections::BTreeMap;

use minijinja::Value;

use crate::{
    model::{Arch, Repo},
    site::Diagnostic,
};

use super::{
    external::{ExternalInputs, RepoContents, TreeFiles},
    layout::{LayoutVariables, RepoLayout},
    task::TaskSpec,
};

/// A repo with the files of one task.
#[derive(Debug, Clone)]
pub(super) struct TaskRepo<'a> {
    pub(super) declared: &'a Repo,
    /// The URL from which machines fetch, without a trailing `/`.
    pub(super) url: String,
    /// The name of the layout that the repo has.
    pub(super) layout: String,
    /// Paths by the name that templates use, as the tree spells them.
    pub(super) paths: BTreeMap<String, String>,
    /// None for a repo from which machines fetch directly.
    pub(super) tree: Option<&'a TreeFiles>,
}

/// Finds the files of a task. A task without layouts needs no repo.
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
                format!("task `{task}` installs from a repo, but `repo` is not set"),
                None,
            )
            .help("set `repo` in the node or its policy")),
        };
    };
    let arch_value = spec.arch_value(arch);
    if arch_value.is_none() && !spec.arch.is_empty() {
        return Err(Diagnostic::error(
            format!("task `{task}` cannot install on {arch}"),
            repo.name.span,
        ));
    }
    let variables = LayoutVariables {
        arch: arch_value,
        vars: &repo.body.vars,
    };
    if let Some(missing) = variables.missing(&spec.layouts) {
        let message = format!(
            "task `{task}` needs `{missing}` in the `vars` of repo `{}`",
            repo.name
        );
        return Err(Diagnostic::error(message, repo.name.span));
    }
    let (url, tree) = contents(repo, external, base)?;
    let (layout, paths) = match tree {
        Some(files) => matching_layout(spec, files, variables)
            .ok_or_else(|| no_layout_matches(task, spec, repo, files, variables))?,
        None => declared_layout(spec, repo, variables)?,
    };
    Ok(Some(TaskRepo {
        declared: repo,
        url: url.trim_end_matches('/').to_string(),
        layout,
        paths,
        tree,
    }))
}

/// Returns the URL of a repo, and its files if this server serves them.
fn contents<'a>(
    repo: &Repo,
    external: &'a ExternalInputs,
    base: &str,
) -> Result<(String, Option<&'a TreeFiles>), Diagnostic> {
    let name = &repo.name;
    let message = match (external.repos.get(&name.value), &repo.body.url) {
        (Some(RepoContents::Url(url)), _) => return Ok((url.clone(), None)),
        (Some(RepoContents::Tree { files }), _) => {
            return Ok((format!("{base}/repo/{name}"), Some(files)));
        }
        (None, Some(url)) => return Ok((url.value.clone(), None)),
        (Some(RepoContents::Missing(reason)), _) => {
            format!("repo `{name}` cannot be read: {reason}")
        }
        (None, None) => format!("repo `{name}` was not looked up"),
    };
    Err(Diagnostic::error(message, span(repo)))
}

/// Warns about missing files that a complete image has.
pub(super) fn missing_files(spec: &TaskSpec, repo: &TaskRepo<'_>) -> Vec<Diagnostic> {
    let layout = spec
        .layouts
        .iter()
        .find(|layout| layout.name == repo.layout);
    let missing = layout
        .into_iter()
        .flat_map(|layout| &layout.expected)
        .filter(|(key, _)| !repo.paths.contains_key(*key));
    missing
        .map(|(_, path)| {
            let message = format!(
                "repo `{}` lacks `{path}`; it may be incomplete",
                repo.declared.name
            );
            Diagnostic::warning(message, span(repo.declared))
        })
        .collect()
}

/// The span of the repo's location.
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

/// Returns the first layout whose required files all exist.
fn matching_layout(
    spec: &TaskSpec,
    files: &TreeFiles,
    variables: LayoutVariables<'_>,
) -> Option<LayoutPaths> {
    if spec.layouts.is_empty() {
        return Some(LayoutPaths::default());
    }
    let lookup = |path: &str| {
        Some(
            files
                .get(&variables.expand(path).to_lowercase())?
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

/// Returns the layout that the repo's `vars` name, else the first one, for a repo without lookups.
fn declared_layout(
    spec: &TaskSpec,
    repo: &Repo,
    variables: LayoutVariables<'_>,
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
        all.map(|(key, path)| (key.clone(), variables.expand(path)))
            .collect(),
    ))
}

fn no_layout_matches(
    task: &str,
    spec: &TaskSpec,
    repo: &Repo,
    files: &TreeFiles,
    variables: LayoutVariables<'_>,
) -> Diagnostic {
    let lacks = |layout: &RepoLayout| -> Vec<String> {
        let paths = layout.files.values().map(|path| variables.expand(path));
        paths
            .filter(|path| !matches!(files.get(&path.to_lowercase()), Some(Some(_))))
            .map(|path| format!("`{path}`"))
            .collect()
    };
    // The layout with the fewest missing files makes the best message.
    let closest = spec
        .layouts
        .iter()
        .map(lacks)
        .min_by_key(Vec::len)
        .unwrap_or_default();
    let mut diagnostic = Diagnostic::error(
        format!("repo `{}` lacks {}", repo.name, closest.join(", ")),
        span(repo),
    );
    diagnostic.label = format!("task {task} boots from it");
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
                        .map(|path| variables.expand(path))
                        .collect::<Vec<_>>()
                        .join(", ")
                )
            })
            .collect();
        diagnostic.help = Some(format!("supported layouts: {}", names.join("; ")));
    }
    diagnostic
}

impl TaskRepo<'_> {
    /// Returns `repo` of the templates.
    pub(super) fn value(&self) -> Value {
        let files: BTreeMap<&str, Value> = self
            .paths
            .iter()
            .map(|(key, path)| {
                (
                    key.as_str(),
                    Value::from(format!("{}/{}", self.url, encoded_path(path))),
                )
            })
            .collect();
        let mirror = self
            .declared
            .body
            .vars
            .get("mirror")
            .and_then(|at| at.value.as_str());
        minijinja::context! {
            name => self.declared.name.value.as_str(),
            url => self.url.as_str(),
            layout => self.layout.as_str(),
            files => Value::from(files),
            mirror => mirror.map(Mirror::new).map(Value::from),
            packages => Value::from(Mirror { is_repo: mirror.is_none(), ..Mirror::new(mirror.unwrap_or(&self.url)) }),
        }
    }
}

/// A path, percent-encoded.
fn encoded_path(path: &str) -> String {
    path.split('/')
        .map(super::urls::encoded)
        .collect::<Vec<_>>()
        .join("/")
}

/// A source of packages, in the parts that Debian's installer needs.
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
