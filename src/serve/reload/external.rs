//! Reads what a site refers to outside itself: secrets, password files and repos.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    disk::{
        repo::{ImageRegistry, RepoDirectory, RepoError, RepoSource},
        secrets::{self, PasswordHashCache},
        state::SecretKey,
    },
    model::{PasswordHash, Repo, RepoName, Settings, Spanned, TaskName},
    render::{self, ExternalInputs, Library, RepoContents, TreeFile},
    serve::{
        listen::operator_tls,
        reload::{loaders, protected},
    },
    site::{Diagnostic, Site, detect_repo},
};

/// Reads external inputs, and caches what is expensive.
pub(crate) struct Lookup {
    root: PathBuf,
    passwords: PasswordHashCache,
    images: Arc<ImageRegistry>,
    /// The state directory, if it is not the one that the site names.
    pub(super) state: Option<PathBuf>,
}

impl Lookup {
    /// Creates a lookup for the site at `root`. Salts of passwords are derived from `key`.
    pub(crate) fn new(root: &Path, key: SecretKey, images: Arc<ImageRegistry>) -> Self {
        Lookup {
            root: root.into(),
            passwords: PasswordHashCache::new(key),
            images,
            state: None,
        }
    }

    /// Returns the registry of images that it reads.
    pub(crate) fn images(&self) -> Arc<ImageRegistry> {
        self.images.clone()
    }

    /// Detects the task that installs from a repo.
    pub(crate) fn detect_task(&self, site: &Site, repo: &Repo) -> Option<TaskName> {
        detect_task(&self.root, site, repo, &self.images)
    }

    /// Reads everything that `site` refers to.
    pub(crate) fn outside(
        &self,
        site: &Site,
        library: &Library,
    ) -> (ExternalInputs, Vec<Diagnostic>) {
        let mut diagnostics = Vec::new();
        let mut outside = ExternalInputs::default();
        let paths = &site.config.paths;
        let (found, errors) = secrets::read(&self.root.join(paths.effective().secrets));
        outside.secrets = found;
        diagnostics.extend(errors.values().map(|error| {
            Diagnostic::error(error.to_string(), paths.secrets.as_ref().map(|at| at.span))
        }));
        self.read_passwords(site, &mut outside, &mut diagnostics);
        let sources = self.sources(site, &mut outside, &mut diagnostics);
        read_files(site, library, &sources, &mut outside);
        diagnostics.extend(loaders::missing(&self.root, site));
        diagnostics.extend(operator_tls::check(&self.root, &site.config.operator));
        (outside, diagnostics)
    }

    fn read_passwords(
        &self,
        site: &Site,
        outside: &mut ExternalInputs,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let layers = std::iter::once(&site.defaults.settings)
            .chain(site.policies.values().map(|policy| &policy.settings))
            .chain(site.nodes.values().map(|node| &node.settings));
        for settings in layers {
            for at in password_files(settings) {
                if outside.passwords.contains_key(&at.value) {
                    continue;
                }
                let hash = self
                    .passwords
                    .read(&self.root.join(&at.value))
                    .unwrap_or_else(|error| {
                        diagnostics.push(Diagnostic::error(error.to_string(), at.span));
                        placeholder_hash()
                    });
                outside.passwords.insert(at.value.clone(), hash);
            }
        }
    }

    fn sources(
        &self,
        site: &Site,
        outside: &mut ExternalInputs,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> BTreeMap<RepoName, RepoSource> {
        let protected = protected::protected_paths(&self.root, site, self.state.as_deref());
        for repo in site.repos.values() {
            let source = source(&self.root, site, repo, &self.images);
            if let Some(RepoSource::Directory(directory)) = &source {
                diagnostics.extend(protected::overlap(repo, directory.root(), &protected));
            }
        }
        sources(&self.root, site, &self.images, outside)
    }
}

/// Detects the task that installs from a repo.
pub(crate) fn detect_task(
    root: &Path,
    site: &Site,
    repo: &Repo,
    images: &ImageRegistry,
) -> Option<TaskName> {
    let source = source(root, site, repo, images)?;
    detect_repo(|path, text| source.contains_text(path, text))?.task_name()
}

/// Looks up the files of all repos that rendering needs, and nothing else.
pub(crate) fn repo_files(
    root: &Path,
    site: &Site,
    library: &Library,
    images: &ImageRegistry,
) -> ExternalInputs {
    let mut outside = ExternalInputs::default();
    let sources = sources(root, site, images, &mut outside);
    read_files(site, library, &sources, &mut outside);
    outside
}

/// Returns the sources of repos that this server serves, and records which repos it can read.
fn sources(
    root: &Path,
    site: &Site,
    images: &ImageRegistry,
    outside: &mut ExternalInputs,
) -> BTreeMap<RepoName, RepoSource> {
    let mut sources = BTreeMap::new();
    for (name, repo) in &site.repos {
        let view = match source(root, site, repo, images) {
            None => match &repo.body.url {
                Some(url) => RepoContents::Url(url.value.trim_end_matches('/').into()),
                None => continue,
            },
            Some(source) => match source.trouble() {
                Some(error) => RepoContents::Missing(error),
                None => {
                    sources.insert(name.clone(), source);
                    RepoContents::Tree {
                        files: BTreeMap::new(),
                    }
                }
            },
        };
        outside.repos.insert(name.clone(), view);
    }
    sources
}

/// Returns a placeholder for a password that cannot be read, so that further errors are found too. The site does not go live.
fn placeholder_hash() -> PasswordHash {
    format!("$6$unreadable${}", "x".repeat(86))
        .parse()
        .expect("this has the shape of a hash")
}

/// Returns the source of a repo's files, or `None` if this server does not serve them.
pub(crate) fn source(
    root: &Path,
    site: &Site,
    repo: &Repo,
    images: &ImageRegistry,
) -> Option<RepoSource> {
    let body = &repo.body;
    let base = site
        .config
        .paths
        .repos
        .as_ref()
        .map_or(root.to_path_buf(), |repos| root.join(&repos.value));
    match (&body.path, &body.iso) {
        (Some(path), _) => Some(RepoSource::Directory(RepoDirectory::new(
            &base.join(&path.value),
        ))),
        (None, Some(iso)) => Some(RepoSource::Image(images.at(&base.join(&iso.value)))),
        (None, None) => None,
    }
}

/// Returns the declared SHA-256 of a repo's image, or `None` if there is none or it is invalid.
pub(crate) fn digest(repo: &Repo) -> Option<[u8; 32]> {
    let text = &repo.body.sha256.as_ref()?.value;
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(digest)
}

/// Formats a digest as hexadecimal digits.
pub(crate) fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn password_files(settings: &Settings) -> impl Iterator<Item = &Spanned<String>> {
    let user = settings
        .user
        .as_deref()
        .and_then(|user| user.value.password_file.as_ref());
    settings
        .root_password_file
        .as_deref()
        .into_iter()
        .chain(user)
}

/// Reads the files that rendering needs, until it needs no more: a boot.cfg names further files.
fn read_files(
    site: &Site,
    library: &Library,
    sources: &BTreeMap<RepoName, RepoSource>,
    outside: &mut ExternalInputs,
) {
    loop {
        let lookups = render::needed_lookups(site, library, outside);
        if lookups.is_empty() {
            return;
        }
        for lookup in lookups {
            let source = &sources[&lookup.repo];
            let outcome = if lookup.text {
                source.read(&lookup.path)
            } else {
                source.details(&lookup.path)
            };
            let file = match outcome {
                Ok(outcome) => Some(TreeFile {
                    path: outcome.path,
                    size: outcome.size,
                    text: outcome.text,
                }),
                Err(RepoError::Missing(_)) => None,
                Err(error) => {
                    tracing::warn!("repo {}: {}: {error}", lookup.repo, lookup.path);
                    None
                }
            };
            if let Some(RepoContents::Tree { files }) = outside.repos.get_mut(&lookup.repo) {
                files.insert(lookup.path, file);
            }
        }
    }
}
