//! The source of the packages that an installation needs.

use minijinja::Value;

use super::{external::TreeFiles, layout::PackageRule, task::TaskSpec};

/// Returns why a repo lacks packages, if so. The files of a repo by `url` are not known.
pub(super) fn lacking(spec: &TaskSpec, tree: Option<&TreeFiles>) -> Option<String> {
    let tree = tree?;
    let applies = |rule: &&PackageRule| rule.image.as_ref().is_none_or(|file| has(tree, file));
    broken(spec.packages.iter().find(applies)?, tree)
}

fn broken(rule: &PackageRule, tree: &TreeFiles) -> Option<String> {
    let text = |file: &str| tree.get(&file.to_lowercase())?.as_ref()?.text.clone();
    let incomplete = rule
        .incomplete
        .iter()
        .find(|(file, word)| text(file).is_some_and(|text| text.contains(word.as_str())));
    if let Some((file, word)) = incomplete {
        return Some(format!("lacks packages: its `{file}` contains `{word}`"));
    }
    let found = rule.any.iter().any(|file| has(tree, file));
    let first = rule.any.first()?;
    let others = if rule.any.len() > 1 {
        ", nor the like"
    } else {
        ""
    };
    (!found).then(|| format!("has no packages: there is no `{first}`{others}"))
}

/// Returns the sources of packages that a repo names outside of itself. Machines cannot fetch from there.
pub(super) fn outside(spec: &TaskSpec, tree: &TreeFiles) -> Vec<String> {
    let texts = spec.packages.iter().filter_map(|rule| {
        let file = rule.variants.as_ref()?;
        tree.get(&file.to_lowercase())?.as_ref()?.text.clone()
    });
    let mut found = Vec::new();
    for text in texts {
        for line in text.lines() {
            let value = line
                .split_once('=')
                .filter(|(key, _)| key.trim() == "repository");
            found.extend(
                value
                    .map(|(_, path)| path.trim())
                    .filter(|path| path.starts_with("../"))
                    .map(String::from),
            );
        }
    }
    found
}

fn has(tree: &TreeFiles, file: &str) -> bool {
    matches!(tree.get(&file.to_lowercase()), Some(Some(_)))
}

/// A source of packages, in the parts that Debian's installer needs.
#[derive(Debug, Clone)]
pub(super) struct PackageSource {
    url: String,
    protocol: String,
    host: String,
    directory: String,
    is_repo: bool,
}

impl PackageSource {
    pub(super) fn new(url: &str) -> PackageSource {
        let url = url.trim_end_matches('/');
        let (protocol, rest) = url.split_once("://").unwrap_or(("http", url));
        let (host, directory) = rest.split_once('/').unwrap_or((rest, ""));
        PackageSource {
            url: url.into(),
            protocol: protocol.into(),
            host: host.into(),
            directory: format!("/{directory}"),
            is_repo: false,
        }
    }

    /// The packages of a repo at this URL.
    pub(super) fn in_repo(url: &str) -> PackageSource {
        PackageSource {
            is_repo: true,
            ..PackageSource::new(url)
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Returns `repo.mirror` and `repo.packages` of the templates.
    pub(super) fn value(&self) -> Value {
        minijinja::context! {
            url => self.url.as_str(),
            protocol => self.protocol.as_str(),
            host => self.host.as_str(),
            directory => self.directory.as_str(),
            local => self.is_repo,
        }
    }
}
