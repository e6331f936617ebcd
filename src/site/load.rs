//! Assembles the objects of all files into a [`Site`], and caches the files that have not changed.

use std::{collections::BTreeMap, sync::Arc};

use sha2::{Digest, Sha256};

use crate::model::{
    FileId, Node, Repo, RepoName, Revision, ServerConfig, SourceSpan, Spanned, TaskName,
};

use super::{
    Diagnostic, Severity, Site, SiteFiles, SourceMap,
    assemble::order,
    journal_limits::journal_limits,
    kdl,
    object::{Object, ObjectKind, object, unknown_kind},
    read::read,
    revision::revision_of,
    rules,
    source::without_bom,
    toml,
    tree::Declaration,
};

/// The data that one load keeps for the next: each file's content and objects, and the file numbers.
#[derive(Debug, Default)]
pub struct LoadCache {
    sources: Arc<SourceMap>,
    files: BTreeMap<Arc<str>, LoadedFile>,
    /// Files that could not be read at the last load. Their texts are empty.
    unreadable: Vec<Arc<str>>,
    /// Repos whose task was detected, each with the declaration that it was made from.
    detected: BTreeMap<RepoName, (Arc<Repo>, Arc<Repo>)>,
}

/// A file at its last load.
#[derive(Debug)]
struct LoadedFile {
    content: Arc<[u8]>,
    digest: [u8; 32],
    outcome: ParsedFile,
}

impl LoadedFile {
    fn is(&self, content: &Arc<[u8]>) -> bool {
        Arc::ptr_eq(&self.content, content) || self.content == *content
    }
}

/// The result of parsing a file.
#[derive(Debug, Default)]
struct ParsedFile {
    /// The content of [`CONFIG`].
    config: Option<Arc<ServerConfig>>,
    objects: Vec<Object>,
    diagnostics: Vec<Diagnostic>,
    /// Whether some declarations may be missing: the file has a syntax error, or a part of it is not an object.
    is_incomplete: bool,
    /// Objects that contain mistakes.
    flawed: Vec<(ObjectKind, String)>,
}

/// The file of the server's own configuration.
pub const CONFIG: &str = "bootwright.toml";

/// Loads a site. Returns it with all diagnostics, in file order.
pub fn load(files: &SiteFiles, cache: &mut LoadCache) -> (Site, Vec<Diagnostic>) {
    load_detecting(files, cache, |_, _| None)
}

/// Like [`load`], but `detect_task` detects the task of each repo that sets none.
pub fn load_detecting(
    files: &SiteFiles,
    cache: &mut LoadCache,
    detect_task: impl Fn(&Site, &Repo) -> Option<TaskName>,
) -> (Site, Vec<Diagnostic>) {
    let (mut site, mut diagnostics) = declared(files, cache);
    cache.detect_task(&mut site, detect_task);
    diagnostics.extend(rules::check(&site));
    site.sources.sort(&mut diagnostics);
    (site, diagnostics)
}

/// Reads all declarations without checking them against each other.
pub(super) fn declared(files: &SiteFiles, cache: &mut LoadCache) -> (Site, Vec<Diagnostic>) {
    cache.update(files);
    let mut diagnostics = cache.unreadable(files);
    let mut site = Site {
        revision: Some(cache.revision()),
        ..Site::default()
    };
    for path in files.unreadable.keys().filter(|path| declares(path)) {
        site.unread.files.insert(path.clone());
    }
    let mut defaults_span = None;
    for (path, loaded) in &cache.files {
        let outcome = &loaded.outcome;
        diagnostics.extend(outcome.diagnostics.iter().cloned());
        site.unread.objects.extend(outcome.flawed.iter().cloned());
        if outcome.is_incomplete {
            site.unread.files.insert(path.clone());
        }
        if let Some(config) = &outcome.config {
            site.config = config.clone();
        }
        if !outcome.objects.iter().all(|one| one.node().is_some()) {
            site.common_files.insert(path.clone());
        }
        for object in &outcome.objects {
            diagnostics.extend(site.declare(object, &mut defaults_span));
        }
    }
    site.order = order(&site);
    site.sources = cache.sources.clone();
    (site, diagnostics)
}

/// Reads only `bootwright.toml`, with all diagnostics on it. Without the file, every value is its default.
pub fn read_config(
    files: &SiteFiles,
    cache: &mut LoadCache,
) -> (Arc<ServerConfig>, Vec<Diagnostic>) {
    let file = files.content.get_key_value(CONFIG);
    if let Some((path, content)) = file {
        cache.read_file(path, content);
    }
    let outcome = file.map(|_| &cache.files[CONFIG].outcome);
    let config = outcome.and_then(|outcome| outcome.config.clone());
    let diagnostics = outcome.map(|outcome| outcome.diagnostics.clone());
    (config.unwrap_or_default(), diagnostics.unwrap_or_default())
}

/// Reads a declared type from another TOML file, such as a `task.toml`.
pub(crate) fn read_toml<T: serde::de::DeserializeOwned>(
    text: &str,
    file: FileId,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<T> {
    match toml::table(text, file) {
        Ok(tree) => read(tree, diagnostics),
        Err(mistakes) => {
            diagnostics.extend(mistakes);
            None
        }
    }
}

fn declares(path: &str) -> bool {
    path.starts_with("policies.d/") && (path.ends_with(".toml") || path.ends_with(".kdl"))
}

impl LoadCache {
    /// The texts of the files that were last loaded.
    pub fn sources(&self) -> &Arc<SourceMap> {
        &self.sources
    }

    /// Returns the nodes of a file that was last read with this content, if it declares nodes and nothing else.
    pub fn unchanged_nodes(
        &self,
        path: &str,
        content: &Arc<[u8]>,
    ) -> Option<impl Iterator<Item = &Node>> {
        let loaded = self.files.get(path)?;
        let objects = &loaded.outcome.objects;
        let has_only_nodes = !objects.is_empty() && objects.iter().all(|one| one.node().is_some());
        (has_only_nodes && loaded.is(content)).then(|| objects.iter().filter_map(Object::node))
    }

    /// Sets the detected task of each repo that declares none. The `Arc` of a repo stays the same while its declaration and
    /// its detected task do.
    fn detect_task(
        &mut self,
        site: &mut Site,
        detect_task: impl Fn(&Site, &Repo) -> Option<TaskName>,
    ) {
        let without_task = site.repos.values().filter(|repo| repo.body.task.is_none());
        let found: Vec<_> = without_task
            .filter_map(|repo| Some((repo.clone(), detect_task(site, repo)?)))
            .collect();
        let mut before = std::mem::take(&mut self.detected);
        for (declared, task) in found {
            let name = declared.name.value.clone();
            let kept = before.remove(&name).filter(|(of, repo)| {
                let same = repo.body.task.as_ref().is_some_and(|at| at.value == task);
                Arc::ptr_eq(of, &declared) && same
            });
            let (_, repo) = kept.unwrap_or_else(|| (declared.clone(), with_task(&declared, task)));
            site.repos.insert(name.clone(), repo.clone());
            self.detected.insert(name, (declared, repo));
        }
    }

    /// Reads new and changed files, and removes deleted ones.
    fn update(&mut self, files: &SiteFiles) {
        let sources = &mut self.sources;
        for path in self.unreadable.drain(..) {
            Arc::make_mut(sources).remove(&path);
        }
        self.files.retain(|path, _| {
            let stays = files.content.contains_key(path);
            if !stays {
                Arc::make_mut(sources).remove(path);
            }
            stays
        });
        for (path, content) in &files.content {
            self.read_file(path, content);
        }
    }

    /// Reads a file if its content has changed, as a load does.
    pub fn read_file(&mut self, path: &Arc<str>, content: &Arc<[u8]>) {
        match self.files.get_mut(path) {
            Some(loaded) if loaded.is(content) => loaded.content = content.clone(),
            _ => {
                let loaded = LoadedFile {
                    content: content.clone(),
                    digest: Sha256::digest(content).into(),
                    outcome: parse_file(path, content, Arc::make_mut(&mut self.sources)),
                };
                self.files.insert(path.clone(), loaded);
            }
        }
    }

    fn revision(&self) -> Revision {
        revision_of(
            self.files
                .iter()
                .map(|(path, loaded)| (path, loaded.digest)),
        )
    }

    fn unreadable(&mut self, files: &SiteFiles) -> Vec<Diagnostic> {
        let mistakes = files.unreadable.iter().map(|(path, reason)| {
            let file = Arc::make_mut(&mut self.sources).put(path, Arc::default());
            self.unreadable.push(path.clone());
            Diagnostic::error(format!("`{path}` cannot be read: {reason}"), start(file))
        });
        mistakes.collect()
    }
}

/// Returns the repo with a task, whose span is that of the repo's `iso` or `path`.
fn with_task(repo: &Repo, task: TaskName) -> Arc<Repo> {
    let body = &repo.body;
    let span = [&body.iso, &body.path].into_iter().flatten().next();
    let span = span.map_or(repo.name.span, |at| at.span);
    let mut repo = repo.clone();
    repo.body.task = Some(Spanned { value: task, span });
    Arc::new(repo)
}

fn start(file: FileId) -> SourceSpan {
    SourceSpan {
        file,
        start: 0,
        end: 0,
    }
}

fn parse_file(path: &Arc<str>, content: &Arc<[u8]>, sources: &mut SourceMap) -> ParsedFile {
    let file = sources.put(path, content.clone());
    if path.starts_with("templates/") {
        return ParsedFile::default();
    }
    let content = without_bom(content);
    let text = String::from_utf8_lossy(content);
    if let Err(error) = std::str::from_utf8(content) {
        return ParsedFile::unparsed(vec![not_utf8(content, file, error.valid_up_to())]);
    }
    if &**path == CONFIG {
        return config(&text, file);
    }
    let mut diagnostics = Vec::new();
    let declarations = match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("toml") => toml::declarations(&text, file, &mut diagnostics),
        Some("kdl") => kdl::declarations(&text, file, &mut diagnostics),
        Some("yaml" | "yml" | "json") => {
            let message = format!("`{path}` is ignored: site files are TOML or KDL");
            diagnostics.push(Diagnostic::warning(message, start(file)));
            Ok(Vec::new())
        }
        _ => Ok(Vec::new()),
    };
    match declarations {
        Ok(declarations) => objects(declarations, diagnostics),
        Err(mistakes) => ParsedFile::unparsed(mistakes),
    }
}

fn config(text: &str, file: FileId) -> ParsedFile {
    let tree = match toml::table(text, file) {
        Ok(tree) => tree,
        Err(mistakes) => return ParsedFile::unparsed(mistakes),
    };
    let mut outcome = ParsedFile::default();
    let config: Option<ServerConfig> = read(tree, &mut outcome.diagnostics);
    outcome
        .diagnostics
        .extend(config.iter().flat_map(journal_limits));
    outcome.config = config.map(Arc::new);
    outcome
}

fn objects(declarations: Vec<Declaration>, diagnostics: Vec<Diagnostic>) -> ParsedFile {
    let is_error = |one: &Diagnostic| one.severity == Severity::Error;
    let mut outcome = ParsedFile {
        is_incomplete: diagnostics.iter().any(is_error),
        diagnostics,
        ..ParsedFile::default()
    };
    let mut unknown = std::collections::BTreeSet::new();
    for declaration in declarations {
        let Some(kind) = ObjectKind::of(&declaration.kind.value) else {
            if unknown.insert(declaration.kind.value.clone()) {
                outcome.is_incomplete = true;
                outcome.diagnostics.push(unknown_kind(&declaration.kind));
            }
            continue;
        };
        let name = declaration.name.as_ref().map(|name| name.value.clone());
        let before = outcome.diagnostics.len();
        outcome
            .objects
            .extend(object(kind, declaration, &mut outcome.diagnostics));
        if outcome.diagnostics.len() > before {
            outcome.flawed.extend(name.map(|name| (kind, name)));
        }
    }
    explain_errors(&mut outcome.diagnostics);
    outcome
}

/// Removes each error whose span overlaps that of a warning, and makes that warning an error: a slip explains why the value
/// cannot be read.
fn explain_errors(diagnostics: &mut Vec<Diagnostic>) {
    let is_error = |one: &Diagnostic| one.severity == Severity::Error;
    let (errors, mut all): (Vec<_>, Vec<_>) = diagnostics.drain(..).partition(is_error);
    let warnings = all.len();
    for error in errors {
        let explains = |warning: &&mut Diagnostic| overlap(warning.span, error.span);
        match all[..warnings].iter_mut().find(explains) {
            Some(warning) => warning.severity = Severity::Error,
            None => all.push(error),
        }
    }
    *diagnostics = all;
}

fn overlap(one: Option<SourceSpan>, other: Option<SourceSpan>) -> bool {
    let both = one.zip(other);
    both.is_some_and(|(one, other)| {
        one.file == other.file && one.start < other.end && other.start < one.end
    })
}

fn not_utf8(content: &[u8], file: FileId, at: usize) -> Diagnostic {
    let at = at as u32;
    let span = SourceSpan {
        file,
        start: at,
        end: at + 3,
    };
    let wide = content.starts_with(&[0xff, 0xfe]) || content.starts_with(&[0xfe, 0xff]);
    let encoding = if wide { "UTF-16" } else { "another encoding" };
    Diagnostic::error("this is not UTF-8", span).help(format!(
        "the file seems to be in {encoding}: save it as UTF-8"
    ))
}

impl ParsedFile {
    fn unparsed(diagnostics: Vec<Diagnostic>) -> Self {
        ParsedFile {
            diagnostics,
            is_incomplete: true,
            ..ParsedFile::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{ReportStyle, report};

    fn files(list: &[(&str, &str)]) -> SiteFiles {
        let content = list
            .iter()
            .map(|(path, text)| ((*path).into(), text.as_bytes().into()));
        SiteFiles {
            content: content.collect(),
            ..SiteFiles::default()
        }
    }

    #[test]
    fn both_formats_declare_equal_objects() {
        let toml = files(&[(
            "policies.d/site.toml",
            include_str!("../../tests/fixtures/site.toml"),
        )]);
        let kdl = files(&[(
            "policies.d/site.kdl",
            include_str!("../../tests/fixtures/site.kdl"),
        )]);
        let [toml, kdl] = [toml, kdl].map(|files| {
            let (site, diagnostics) = load(&files, &mut LoadCache::default());
            let style = ReportStyle {
                color: false,
                width: 100,
            };
            assert_eq!(report(&diagnostics, &site.sources, style), "");
            site
        });
        assert!(toml.nodes.len() > 1 && toml.order.len() > 1);
        assert_eq!(toml.defaults, kdl.defaults);
        assert_eq!(toml.repos, kdl.repos);
        assert_eq!(toml.networks, kdl.networks);
        assert_eq!(toml.tags, kdl.tags);
        assert_eq!(toml.policies, kdl.policies);
        assert_eq!(toml.order, kdl.order);
        assert_eq!(toml.nodes, kdl.nodes);
        assert_eq!(toml.brokers, kdl.brokers);
        assert_eq!(toml.hooks, kdl.hooks);
    }

    #[test]
    fn an_unchanged_file_is_not_read_again() {
        let node = |mac: &str| format!("node.n.mac = \"{mac}\"");
        let one = files(&[
            ("policies.d/a.toml", "[tag.t]"),
            ("policies.d/b.toml", &node("00:50:56:aa:bb:01")),
        ]);
        let other = files(&[
            ("policies.d/a.toml", "[tag.t]"),
            ("policies.d/b.toml", &node("00:50:56:aa:bb:02")),
        ]);
        let mut cache = LoadCache::default();
        let (first, _) = load(&one, &mut cache);
        let (second, _) = load(&other, &mut cache);
        assert!(Arc::ptr_eq(&first.tags["t"], &second.tags["t"]));
        assert_ne!(first.nodes, second.nodes);
        assert_ne!(first.revision, second.revision);
        assert_eq!(
            first.sources.id("policies.d/b.toml"),
            second.sources.id("policies.d/b.toml")
        );
        let (third, _) = load(&one, &mut cache);
        assert_eq!(first.revision, third.revision);
    }
}
