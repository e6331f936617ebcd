//! The repos of a site as they are on the disk: what `bootwright repos` shows.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{
    disk::{
        self,
        repo::{ImageRegistry, ImageVerification, RepoError, RepoSource},
        state::StateDirectory,
    },
    model::Repo,
    serve::{reload::external, site_id},
    site::{self, LoadCache, Site, detect_repo},
};

/// A repo, and what is found of it.
#[derive(Debug, Clone, Serialize)]
pub struct RepoShown {
    /// Its name.
    pub name: String,
    /// `iso`, `path` or `url`.
    pub kind: &'static str,
    /// What that key says.
    pub at: String,
    /// How many bytes its files have; none where that is not known.
    pub bytes: Option<u64>,
    /// How many files it has.
    pub files: Option<u64>,
    /// What installs from it: what the site says, else what is guessed.
    pub task: Option<String>,
    /// Whether the task is a guess.
    pub guessed: bool,
    /// The operating system that is recognised.
    pub system: Option<&'static str>,
    /// What is wrong with it; nothing when it can be served.
    pub trouble: Option<String>,
}

/// The repos of a site, read without a server.
#[derive(Debug)]
pub struct Repos {
    root: PathBuf,
    site: Site,
    images: ImageRegistry,
}

impl Repos {
    /// Reads what the site declares.
    pub fn read(root: &Path) -> std::io::Result<Repos> {
        let files = disk::site::read(root)?;
        let (site, _) = site::load(&files, &mut LoadCache::default());
        let state = site_id::state_path(root, &site.config)?;
        // What the server knows of images already is not found out again.
        let images = StateDirectory::existing(&state)
            .map(|state| ImageRegistry::with_read_only_cache(state.images()));
        Ok(Repos {
            root: root.into(),
            site,
            images: images.unwrap_or_default(),
        })
    }

    /// Every repo, by name.
    pub fn all(&self) -> Vec<RepoShown> {
        let repos = self.site.repos.values();
        repos.map(|repo| self.shown(repo)).collect()
    }

    /// The names of all repos.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.site.repos.keys().map(|name| name.as_str())
    }

    /// The files of one repo; none when there is no such repo, an empty answer when machines fetch from it directly.
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
            (None, None, None) => return nothing(repo),
        };
        let source = external::source(&self.root, &self.site, repo, &self.images);
        let observation = source
            .as_ref()
            .and_then(|source| detect_repo(|path, text| source.says(path, text)));
        let told = body.task.as_ref().map(|at| at.value.to_string());
        let guessed = observation
            .and_then(|observation| observation.task)
            .map(str::to_owned);
        let trouble = source.as_ref().and_then(|source| {
            let trouble = source.trouble();
            trouble.or_else(|| not_genuine(repo, source))
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
            guessed: told.is_none() && guessed.is_some(),
            task: told.or(guessed),
            system: observation.map(|observation| observation.title),
            trouble,
        }
    }
}

/// What the digest says, as far as it is known.
fn not_genuine(repo: &Repo, source: &RepoSource) -> Option<String> {
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

fn nothing(repo: &Repo) -> RepoShown {
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

/// Lists a directory of a repo, in which a name that is no directory lists itself.
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
