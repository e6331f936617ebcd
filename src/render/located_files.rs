//! Finds the files that a task boots in a repo.

use std::collections::BTreeMap;

use crate::{
    model::{Arch, Repo},
    site::Diagnostic,
};

use super::{
    external::TreeFiles,
    layout::{LayoutVariables, RepoLayout},
    library::Task,
    task::TaskSpec,
};

/// The files of a layout in a repo.
pub(super) struct LocatedFiles {
    pub(super) arch: Arch,
    /// The name of the layout.
    pub(super) layout: String,
    /// Paths by the name that templates use, as the tree spells them.
    pub(super) paths: BTreeMap<String, String>,
}

/// Finds the files that machines boot: of the architecture of this machine, or if that is unknown, of the first one that the
/// repo has files for.
pub(super) fn located(
    task: &Task,
    boot: &Repo,
    tree: Option<&TreeFiles>,
    arch: Option<Arch>,
) -> Result<LocatedFiles, Diagnostic> {
    let arches = match arch {
        Some(arch) => vec![arch],
        None => [Arch::X86_64, Arch::Arm64]
            .into_iter()
            .filter(|arch| task.spec.arch_value(*arch).is_some())
            .collect(),
    };
    let mut first_error = None;
    for arch in arches
        .iter()
        .copied()
        .chain(arches.is_empty().then_some(Arch::X86_64))
    {
        match located_for(task, boot, tree, arch) {
            Ok(found) => return Ok(found),
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    Err(first_error.expect("at least one architecture is tried"))
}

fn located_for(
    task: &Task,
    boot: &Repo,
    tree: Option<&TreeFiles>,
    arch: Arch,
) -> Result<LocatedFiles, Diagnostic> {
    let spec = &task.spec;
    let arch_value = spec.arch_value(arch);
    if arch_value.is_none() && !spec.arch.is_empty() {
        return Err(Diagnostic::error(
            format!("task `{}` cannot install on {arch}", task.name),
            boot.name.span,
        ));
    }
    let variables = LayoutVariables {
        arch: arch_value,
        vars: &boot.body.vars,
    };
    if let Some(missing) = variables.missing(&spec.layouts) {
        let message = format!(
            "task `{}` needs `{missing}` in the `vars` of repo `{}`",
            task.name, boot.name
        );
        return Err(Diagnostic::error(message, boot.name.span));
    }
    let (layout, paths) = match tree {
        Some(files) => matching_layout(spec, files, variables)
            .ok_or_else(|| no_layout_matches(task.name.as_str(), spec, boot, files, variables))?,
        None => declared_layout(spec, boot, variables)?,
    };
    if let Some(error) = unusable_installer(spec, boot, &layout, &paths) {
        return Err(error);
    }
    Ok(LocatedFiles {
        arch,
        layout,
        paths,
    })
}

/// Returns the error for an installer that cannot be started over the network.
fn unusable_installer(
    spec: &TaskSpec,
    boot: &Repo,
    layout: &str,
    paths: &BTreeMap<String, String>,
) -> Option<Diagnostic> {
    let layout = spec.layouts.iter().find(|one| one.name == layout)?;
    let reason = layout.unusable.as_ref()?;
    let kernel = paths.values().next_back()?;
    let message = format!(
        "the installer of repo `{}` (`{kernel}`) cannot be started over the network: {reason}",
        boot.name
    );
    Some(Diagnostic::error(message, span(boot)).help(
        "declare a repo with the files for network boot, and set `installer` of this repo to its name",
    ))
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
    let usable = spec
        .layouts
        .iter()
        .filter(|layout| layout.unusable.is_none());
    let closest = usable
        .clone()
        .map(lacks)
        .min_by_key(Vec::len)
        .unwrap_or_default();
    let mut diagnostic = Diagnostic::error(
        format!("repo `{}` lacks {}", repo.name, closest.join(", ")),
        span(repo),
    );
    diagnostic.label = format!("task {task} boots from it");
    if usable.clone().count() > 1 {
        let names: Vec<String> = usable
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
