//! The repos of a site as they are on the disk, for `bootwright repos`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    disk::{
        self,
        repo::{ImageRegistry, ImageVerification, RepoError, RepoSource},
        state::StateDirectory,
    },
    model::{Repo, RepoName},
    render,
    serve::{reload::external, site_id},
    site::{self, LoadCache, Site, SiteFiles, detect_repo},
};

/// A repo, and what was detected in it.
#[derive(Debug, Clone, Serialize)]
pub struct RepoShown {
    pub name: String,
    /// The key that names its source: `iso`, `path` or `url`.
    pub kind: &'static str,
    /// The value of that key.
    pub at: String,
    /// The total size of its files in bytes, if known.
    pub bytes: Option<u64>,
    /// The number of its files, if known.
    pub files: Option<u64>,
    /// The task that installs from it: as declared, else as detected.
    pub task: Option<String>,
    /// Whether the task is detected, not declared.
    pub guessed: bool,
    /// The detected operating system.
    pub system: Option<&'static str>,
    /// Why it cannot be served, or why its task cannot install from it.
    pub trouble: Option<String>,
}

/// The repos of a site, read without a server.
#[derive(Debug)]
pub struct Repos {
    root: PathBuf,
    files: SiteFiles,
    site: Site,
    images: ImageRegistry,
}

impl Repos {
    /// Reads the site's declarations.
    pub fn read(root: &Path) -> std::io::Result<Repos> {
        let files = disk::site::read(root)?;
        let (site, _) = site::load(&files, &mut LoadCache::default());
        let state = site_id::state_path(root, &site.config)?;
        // The server's cache already has the contents and digests of images.
        let images = StateDirectory::existing(&state)
            .map(|state| ImageRegistry::with_read_only_cache(state.images()));
        Ok(Repos {
            root: root.into(),
            files,
            site,
            images: images.unwrap_or_default(),
        })
    }

    /// Returns every repo, ordered by name.
    pub fn all(&self) -> Vec<RepoShown> {
        let mut problems = self.problems();
        let repos = self.site.repos.values();
        repos
            .map(|repo| {
                let mut shown = self.shown(repo);
                shown.trouble = shown.trouble.or(problems.remove(&repo.name.value));
                shown
            })
            .collect()
    }

    /// Returns why the tasks of repos cannot install from them.
    fn problems(&self) -> BTreeMap<RepoName, String> {
        let detect =
            |site: &Site, repo: &Repo| external::detect_task(&self.root, site, repo, &self.images);
        let (site, _) = site::load_detecting(&self.files, &mut LoadCache::default(), detect);
        let (library, _) = render::compile(&site, &self.files, None);
        let external = external::repo_files(&self.root, &site, &library, &self.images);
        let problems = site.repos.iter().filter_map(|(name, repo)| {
            let task = &repo.body.task.as_ref()?.value;
            let problem = render::repo_problem(&site, &library, &external, repo, task)?;
            Some((name.clone(), problem))
        });
        problems.collect()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.site.repos.keys().map(|name| name.as_str())
    }

    /// Returns the source of a repo's files. The outer `None` means that there is no such repo, the inner `None` that machines
    /// download from its URL directly.
    pub fn source(&self, name: &str) -> Option<Option<RepoSource>> {
        let repo = self.site.repos.get(name)?;
        Some(external::source(&self.root, &self.site, repo, &self.images))
    }

    fn shown(&self, repo: &Repo) -> RepoShown {
        let body = &repo.body;
        let (kind, at) = match (&body.iso, &body.path, &body.url) {
            (Some(iso), ..) => ("iso", &iso.value),
            (None, Some(path), _) => ("path", &path.value),
            (None, None, Some(url)) => ("url", &url.value),
            (None, None, None) => return without_source(repo),
        };
        let source = external::source(&self.root, &self.site, repo, &self.images);
        let observation = source
            .as_ref()
            .and_then(|source| detect_repo(|path, text| source.contains_text(path, text)));
        let declared = body.task.as_ref().map(|at| at.value.to_string());
        let guessed = observation
            .and_then(|observation| observation.task)
            .map(str::to_owned);
        let trouble = source.as_ref().and_then(|source| {
            let trouble = source.trouble();
            trouble.or_else(|| digest_mismatch(repo, source))
        });
        let totals = source
            .as_ref()
            .filter(|_| trouble.is_none())
            .and_then(|source| source.totals().ok());
        RepoShown {
            name: repo.name.value.to_string(),
            kind,
            at: at.clone(),
            bytes: totals.map(|(_, bytes)| bytes),
            files: totals.map(|(files, _)| files),
            guessed: declared.is_none() && guessed.is_some(),
            task: declared.or(guessed),
            system: observation.map(|observation| observation.title),
            trouble,
        }
    }
}

/// Returns that an image has another SHA-256 than declared, if that is already known.
fn digest_mismatch(repo: &Repo, source: &RepoSource) -> Option<String> {
    let RepoSource::Image(image) = source else {
        return None;
    };
    let expected = external::digest(repo)?;
    match image.verification(&expected) {
        ImageVerification::Verified | ImageVerification::Unverified(_) => None,
        ImageVerification::Mismatch(found) => {
            Some(format!("its SHA-256 is {}", external::hex(&found)))
        }
    }
}

fn without_source(repo: &Repo) -> RepoShown {
    RepoShown {
        name: repo.name.value.to_string(),
        kind: "none",
        at: String::new(),
        bytes: None,
        files: None,
        task: None,
        guessed: false,
        system: None,
        trouble: Some("it has none of `iso`, `path` and `url`".into()),
    }
}

/// Lists a directory of a repo. The path of a file lists that file.
pub fn list(source: &RepoSource, path: &str) -> Result<Vec<disk::repo::RepoEntry>, RepoError> {
    match source.list(path) {
        Err(RepoError::Missing(_) | RepoError::NotAFile(_) | RepoError::Io { .. }) => {
            let found = source.read(path)?;
            let name = found.path.rsplit('/').next().unwrap_or_default();
            Ok(vec![disk::repo::RepoEntry {
                name: name.to_owned(),
                size: Some(found.size),
                link: None,
            }])
        }
        listed => listed,
    }
}
