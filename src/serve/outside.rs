//! Looking up what a site refers to outside itself: secrets, password files, repos.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    disk::{
        repo::{RepoError, Tree},
        secrets::{self, Passwords},
        state::Key,
    },
    model::{At, PasswordHash, Repo, RepoName, Settings},
    render::{self, Library, Outside, RepoFile, RepoView},
    site::{Diagnostic, Site},
};

const SECRETS: &str = "/etc/bootwright/secrets";

/// Looks things up, and remembers what is costly.
pub(crate) struct Lookup {
    root: PathBuf,
    passwords: Passwords,
}

impl Lookup {
    /// Looks up for the site at `root`. `key` is what salts derive from.
    pub(crate) fn new(root: &Path, key: Key) -> Self {
        Lookup {
            root: root.into(),
            passwords: Passwords::new(key),
        }
    }

    /// Looks up everything that `site` refers to.
    pub(crate) fn outside(&self, site: &Site, library: &Library) -> (Outside, Vec<Diagnostic>) {
        let mut diagnostics = Vec::new();
        let mut outside = Outside::default();
        let secrets = site.config.paths.secrets.as_ref();
        let (found, troubles) =
            secrets::read(&secrets.map_or(PathBuf::from(SECRETS), |at| self.root.join(&at.value)));
        outside.secrets = found;
        diagnostics.extend(
            troubles
                .values()
                .map(|trouble| Diagnostic::error(trouble.to_string(), secrets.map(|at| at.place))),
        );
        self.read_passwords(site, &mut outside, &mut diagnostics);
        let trees = self.trees(site, &mut outside, &mut diagnostics);
        look_up(site, library, &trees, &mut outside);
        (outside, diagnostics)
    }

    fn read_passwords(
        &self,
        site: &Site,
        outside: &mut Outside,
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
                        diagnostics.push(Diagnostic::error(error.to_string(), at.place));
                        stand_in()
                    });
                outside.passwords.insert(at.value.clone(), hash);
            }
        }
    }

    fn trees(
        &self,
        site: &Site,
        outside: &mut Outside,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> BTreeMap<RepoName, Tree> {
        let mut trees = BTreeMap::new();
        for (name, repo) in &site.repos {
            let view = match tree(&self.root, site, repo) {
                None => match (&repo.body.url, &repo.body.iso) {
                    (Some(url), _) => RepoView::Url(url.value.trim_end_matches('/').into()),
                    (None, Some(iso)) => {
                        let reason =
                            "images are not read yet: unpack it and name the directory by `path`";
                        diagnostics.push(Diagnostic::error(
                            format!("repo `{name}`: {reason}"),
                            iso.place,
                        ));
                        RepoView::Missing(reason.into())
                    }
                    (None, None) => continue,
                },
                Some(tree) => match tree.trouble() {
                    Some(trouble) => RepoView::Missing(trouble),
                    None => {
                        trees.insert(name.clone(), tree);
                        RepoView::Tree {
                            files: BTreeMap::new(),
                        }
                    }
                },
            };
            outside.repos.insert(name.clone(), view);
        }
        trees
    }
}

/// Stands where a password cannot be read, so that what else is wrong shows too; the site does not go live.
fn stand_in() -> PasswordHash {
    format!("$6$unreadable${}", "x".repeat(86))
        .parse()
        .expect("this has the shape of a hash")
}

/// The directory of a repo that is one.
pub(crate) fn tree(root: &Path, site: &Site, repo: &Repo) -> Option<Tree> {
    let path = repo.body.path.as_ref()?;
    let base = site
        .config
        .paths
        .repos
        .as_ref()
        .map_or(root.to_path_buf(), |repos| root.join(&repos.value));
    Some(Tree::new(&base.join(&path.value)))
}

fn password_files(settings: &Settings) -> impl Iterator<Item = &At<String>> {
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
    trees: &BTreeMap<RepoName, Tree>,
    outside: &mut Outside,
) {
    loop {
        let wants = render::wants(site, library, outside);
        if wants.is_empty() {
            return;
        }
        for want in wants {
            let tree = &trees[&want.repo];
            let looked = if want.text {
                tree.read(&want.path)
            } else {
                tree.look(&want.path)
            };
            let file = match looked {
                Ok(looked) => Some(RepoFile {
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
            if let Some(RepoView::Tree { files }) = outside.repos.get_mut(&want.repo) {
                files.insert(want.path, file);
            }
        }
    }
}
