//! The repos of a task: where its machines get the files that they boot, and the packages.

use std::collections::BTreeMap;

use minijinja::Value;

use crate::{
    model::{Arch, Repo, TaskName},
    site::{Diagnostic, Resolved, Site},
};

use super::{
    external::{ExternalInputs, RepoContents, TreeFiles},
    library::{Library, Task},
    located_files::{located, span},
    packages::{self, PackageSource},
    request::RenderRequest,
    task::TaskSpec,
    vars,
};

/// The repos of one task.
#[derive(Debug, Clone)]
pub(super) struct TaskRepo<'a> {
    /// The repo whose files a machine boots: the one of its settings, or the `installer` of that one.
    pub(super) boot: &'a Repo,
    /// The URL from which loaders fetch them, without a trailing `/`.
    pub(super) url: String,
    /// The URL from which the installer fetches files of the same repo.
    installer_url: String,
    /// The name of the layout that they have.
    pub(super) layout: String,
    /// Paths by the name that templates use, as the tree spells them.
    pub(super) paths: BTreeMap<String, String>,
    /// None for a repo from which machines fetch directly.
    pub(super) tree: Option<&'a TreeFiles>,
    /// The architecture of the files.
    pub(super) arch: Arch,
    /// The files of the repo with the packages, if this server serves them.
    packages_tree: Option<&'a TreeFiles>,
    packages: PackageSource,
    mirror: Option<PackageSource>,
}

/// What a task's files are looked up for.
#[derive(Clone, Copy)]
pub(super) struct RepoQuery<'a, 'u> {
    pub(super) site: &'a Site,
    pub(super) external: &'a ExternalInputs,
    pub(super) task: &'a Task,
    pub(super) repo: &'a Repo,
    /// The architecture of the machine; none if it is not known.
    pub(super) arch: Option<Arch>,
    /// The source of packages, if it is not the repo.
    pub(super) mirror: Option<&'a str>,
    /// The URL of this server for loaders.
    pub(super) reached: &'u str,
    /// The URL of this server for the installer.
    pub(super) base: &'u str,
}

/// Finds the files of a task for a machine. A task without layouts needs no repo.
pub(super) fn find<'a>(
    request: &'a RenderRequest<'_>,
    task: &'a Task,
    base: &str,
) -> Result<Option<TaskRepo<'a>>, Diagnostic> {
    let Some(repo) = request.resolved.repo.as_deref() else {
        return match task.spec.layouts.is_empty() {
            true => Ok(None),
            false => Err(Diagnostic::error(
                format!(
                    "task `{}` installs from a repo, but `repo` is not set",
                    task.name
                ),
                None,
            )
            .help("set `repo` in the node or its policy")),
        };
    };
    let query = RepoQuery {
        site: request.site,
        external: request.external,
        task,
        repo,
        arch: wanted_arch(request),
        mirror: vars::find(request.resolved, "mirror").and_then(|at| at.value.as_str()),
        reached: &request.urls.base,
        base,
    };
    query.find().map(Some)
}

/// The architecture that the machine reported, else that of its settings.
pub(super) fn wanted_arch(request: &RenderRequest<'_>) -> Option<Arch> {
    let set = request.resolved.settings.arch.as_deref().map(|at| at.value);
    // BIOS builds of iPXE report i386 on 64-bit machines too.
    request.arch.or(set).map(|arch| match arch {
        Arch::I386 => Arch::X86_64,
        arch => arch,
    })
}

impl<'a> RepoQuery<'a, '_> {
    fn find(self) -> Result<TaskRepo<'a>, Diagnostic> {
        let (repo, spec) = (self.repo, &self.task.spec);
        let (packages_url, packages_tree) = self.contents(repo, self.base)?;
        let boot = self.installer()?.unwrap_or(repo);
        let (installer_url, _) = self.contents(boot, self.base)?;
        let (url, tree) = self.contents(boot, self.reached)?;
        let found = located(self.task, boot, tree, self.arch)?;
        if self.mirror.is_none()
            && let Some(reason) = packages::lacking(spec, packages_tree)
        {
            return Err(no_packages(repo, &reason));
        }
        Ok(TaskRepo {
            boot,
            url,
            installer_url,
            layout: found.layout,
            paths: found.paths,
            tree,
            arch: found.arch,
            packages_tree,
            packages: match self.mirror {
                Some(mirror) => PackageSource::new(mirror),
                None => PackageSource::in_repo(&packages_url),
            },
            mirror: self.mirror.map(PackageSource::new),
        })
    }

    /// Returns the repo whose files machines boot, if it is not the one with the packages.
    fn installer(&self) -> Result<Option<&'a Repo>, Diagnostic> {
        let Some(name) = &self.repo.body.installer else {
            return Ok(None);
        };
        let task = self.task;
        if task.spec.has_boot_cfg() || task.spec.microkernel {
            let message = format!("task `{}` reads all files from one repo", task.name);
            return Err(Diagnostic::error(message, name.span).help("remove `installer`"));
        }
        Ok(self.site.repos.get(&name.value).map(AsRef::as_ref))
    }

    /// Returns the URL of a repo, and its files if this server serves them.
    fn contents(
        &self,
        repo: &Repo,
        base: &str,
    ) -> Result<(String, Option<&'a TreeFiles>), Diagnostic> {
        let name = &repo.name;
        let (url, tree) = match (self.external.repos.get(&name.value), &repo.body.url) {
            (Some(RepoContents::Url(url)), _) => (url.clone(), None),
            (Some(RepoContents::Tree { files }), _) => (format!("{base}/repo/{name}"), Some(files)),
            (None, Some(url)) => (url.value.clone(), None),
            (Some(RepoContents::Missing(reason)), _) => {
                let message = format!("repo `{name}` cannot be read: {reason}");
                return Err(Diagnostic::error(message, span(repo)));
            }
            (None, None) => {
                let message = format!("repo `{name}` was not looked up");
                return Err(Diagnostic::error(message, span(repo)));
            }
        };
        Ok((url.trim_end_matches('/').to_owned(), tree))
    }
}

/// Returns why a task cannot install from a repo, if so. A repo that is the `installer` of another one needs no packages.
pub fn repo_problem(
    site: &Site,
    library: &Library,
    external: &ExternalInputs,
    repo: &Repo,
    task: &TaskName,
) -> Option<String> {
    let task = library.task(task)?;
    let own = repo
        .body
        .vars
        .get("mirror")
        .and_then(|at| at.value.as_str());
    let name = &repo.name.value;
    let is_installer = site.repos.values().any(|other| other.has_installer(name));
    // A machine may have a mirror of its own.
    let has_other_source =
        is_installer || site.layers().any(|layer| layer.vars.contains_key("mirror"));
    let query = RepoQuery {
        site,
        external,
        task,
        repo,
        arch: None,
        mirror: own.or(has_other_source.then_some("")),
        reached: "",
        base: "",
    };
    query.find().err().map(|problem| problem.message)
}

fn no_packages(repo: &Repo, reason: &str) -> Diagnostic {
    Diagnostic::error(format!("repo `{}` {reason}", repo.name), span(repo)).help(
        "set the source of packages: `mirror` in its `vars`; or use a repo that has packages, with this one as its `installer`",
    )
}

/// Warns about missing files that a complete image has. The image may be the repo with the packages.
pub(super) fn missing_files(spec: &TaskSpec, repo: &TaskRepo<'_>) -> Vec<Diagnostic> {
    let layout = spec
        .layouts
        .iter()
        .find(|layout| layout.name == repo.layout);
    let missing = layout
        .into_iter()
        .flat_map(|layout| &layout.expected)
        .filter(|(key, _)| !repo.paths.contains_key(*key))
        .filter(|(_, path)| {
            let elsewhere = repo
                .packages_tree
                .and_then(|tree| tree.get(&path.to_lowercase()));
            !matches!(elsewhere, Some(Some(_)))
        });
    let missing = missing.map(|(_, path)| {
        let message = format!(
            "repo `{}` lacks `{path}`; it may be incomplete",
            repo.boot.name
        );
        Diagnostic::warning(message, span(repo.boot))
    });
    missing.collect()
}

/// Warns about sources of packages that the repo names outside of itself, if no other source is set.
pub(super) fn packages_outside(
    resolved: &Resolved,
    spec: &TaskSpec,
    repo: &TaskRepo<'_>,
) -> Option<Diagnostic> {
    let declared = resolved.repo.as_deref()?;
    let outside = packages::outside(spec, repo.packages_tree?);
    let first = outside.first()?;
    let has_other_source = repo.mirror.is_some() || vars::find(resolved, "repos").is_some();
    (!has_other_source).then(|| {
        let message = format!(
            "repo `{}` names packages outside of it: `{first}`; machines cannot fetch them",
            declared.name
        );
        Diagnostic::warning(message, span(declared)).help(
            "declare that directory as a repo too, and set its URL on this server in `vars.repos`, such as \
             `vars.repos = { appstream = \"http://192.0.2.1/repo/appstream\" }`",
        )
    })
}

impl TaskRepo<'_> {
    /// The URL of the packages.
    pub(super) fn packages_url(&self) -> &str {
        self.packages.url()
    }

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
        minijinja::context! {
            name => self.boot.name.value.as_str(),
            url => self.installer_url.as_str(),
            layout => self.layout.as_str(),
            files => Value::from(files),
            mirror => self.mirror.as_ref().map(PackageSource::value),
            packages => self.packages.value(),
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
