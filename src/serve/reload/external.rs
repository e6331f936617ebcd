//! Looking up what a site refers to outside itself: secrets, password files, repos.

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
    serve::reload::loaders,
    site::{Diagnostic, Site, detect_repo},
};

const SECRETS: &str = "/etc/bootwright/secrets";

/// Looks things up, and remembers what is costly.
pub(crate) struct Lookup {
    root: PathBuf,
    passwords: PasswordHashCache,
    images: Arc<ImageRegistry>,
}

impl Lookup {
    /// Looks up for the site at `root`. `key` is what salts derive from.
    pub(crate) fn new(root: &Path, key: SecretKey, images: Arc<ImageRegistry>) -> Self {
        Lookup {
            root: root.into(),
            passwords: PasswordHashCache::new(key),
            images,
        }
    }

    /// The images that it reads.
    pub(crate) fn images(&self) -> Arc<ImageRegistry> {
        self.images.clone()
    }

    /// Guesses what installs from a repo.
    pub(crate) fn detect_task(&self, site: &Site, repo: &Repo) -> Option<TaskName> {
        let source = source(&self.root, site, repo, &self.images)?;
        detect_repo(|path, text| source.says(path, text))?.task_name()
    }

    /// Looks up everything that `site` refers to.
    pub(crate) fn outside(
        &self,
        site: &Site,
        library: &Library,
    ) -> (ExternalInputs, Vec<Diagnostic>) {
        let mut diagnostics = Vec::new();
        let mut outside = ExternalInputs::default();
        let secrets = site.config.paths.secrets.as_ref();
        let (found, troubles) =
            secrets::read(&secrets.map_or(PathBuf::from(SECRETS), |at| self.root.join(&at.value)));
        outside.secrets = found;
        diagnostics.extend(
            troubles
                .values()
                .map(|trouble| Diagnostic::error(trouble.to_string(), secrets.map(|at| at.span))),
        );
        self.read_passwords(site, &mut outside, &mut diagnostics);
        let sources = self.sources(site, &mut outside);
        look_up(site, library, &sources, &mut outside);
        diagnostics.extend(loaders::missing(&self.root, site));
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
                        stand_in()
                    });
                outside.passwords.insert(at.value.clone(), hash);
            }
        }
    }

    fn sources(&self, site: &Site, outside: &mut ExternalInputs) -> BTreeMap<RepoName, RepoSource> {
        let mut sources = BTreeMap::new();
        for (name, repo) in &site.repos {
            let view = match source(&self.root, site, repo, &self.images) {
                None => match &repo.body.url {
                    Some(url) => RepoContents::Url(url.value.trim_end_matches('/').into()),
                    None => continue,
                },
                Some(source) => match source.trouble() {
                    Some(trouble) => RepoContents::Missing(trouble),
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
}

/// Stands where a password cannot be read, so that what else is wrong shows too; the site does not go live.
fn stand_in() -> PasswordHash {
    format!("$6$unreadable${}", "x".repeat(86))
        .parse()
        .expect("this has the shape of a hash")
}

/// Where a repo's files come from, when they are served here.
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

/// The SHA-256 that a repo's image is to have; none where it says none, or nothing that is one.
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

/// A digest as people write it.
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

/// Looks up what rendering wants, until it wants no more: a boot.cfg names further files.
fn look_up(
    site: &Site,
    library: &Library,
    sources: &BTreeMap<RepoName, RepoSource>,
    outside: &mut ExternalInputs,
) {
    loop {
        let wants = render::needed_lookups(site, library, outside);
        if wants.is_empty() {
            return;
        }
        for want in wants {
            let source = &sources[&want.repo];
            let looked = if want.text {
                source.read(&want.path)
            } else {
                source.look(&want.path)
            };
            let file = match looked {
                Ok(looked) => Some(TreeFile {
                    path: looked.path,
                    size: looked.size,
                    text: looked.text,
                }),
                Err(RepoError::Missing(_)) => None,
                Err(error) => {
                    tracing::warn!("repo {}: {}: {error}", want.repo, want.path);
                    None
                }
            };
            if let Some(RepoContents::Tree { files }) = outside.repos.get_mut(&want.repo) {
                files.insert(want.path, file);
            }
        }
    }
}
