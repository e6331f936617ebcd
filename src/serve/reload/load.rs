//! Loads the files of a site into a snapshot, and renders the files of all machines to check it.
//!
//! A machine whose declaration, policy, templates and common inputs are unchanged is not rendered again.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    control::{RenderCheck, RenderTarget, Snapshot},
    disk::{self, repo::ImageRegistry, state::SecretKey},
    matcher,
    model::{Hostname, Node, NodeName, Repo, Revision, ServerConfig, SourceSpan},
    net::http::Advertise,
    render,
    serve::reload::{
        bases::Bases,
        external::Lookup,
        render_cache::{
            Inputs, RenderKey, RenderedNode, is_declared_as_in, is_same, names_by_template,
            only_nodes_differ,
        },
    },
    site::{self, Diagnostic, HostnameRule, LoadCache, Resolved, Severity, Site, SiteFiles},
};

/// Loads one site repeatedly.
pub struct SiteLoader {
    lookup: Lookup,
    cache: LoadCache,
    good: Option<LastGoodSite>,
    port: Option<u16>,
}

/// The last revision of the site without errors.
struct LastGoodSite {
    snapshot: Arc<Snapshot>,
    bases: Bases,
    /// What was rendered, and from which inputs.
    rendered: BTreeMap<RenderKey, RenderedNode>,
    /// Whether everything was rendered. A revision that was checked before is not rendered.
    is_complete: bool,
}

/// A loaded site.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The snapshot. It may go live only without errors.
    pub snapshot: Arc<Snapshot>,
    pub diagnostics: Vec<Diagnostic>,
    pub nodes: usize,
    pub documents: usize,
}

impl Loaded {
    /// Returns whether the site has no errors and may go live.
    pub fn is_valid(&self) -> bool {
        !has_error(&self.diagnostics)
    }
}

/// How much of a site is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Depth {
    /// Everything is rendered.
    Whole,
    /// Nothing is rendered if the site has this revision, which was checked before.
    Known(Revision),
}

impl SiteLoader {
    /// Creates a loader for the site at `root`. Password salts are derived from `key`.
    pub fn new(root: &Path, key: SecretKey, images: Arc<ImageRegistry>) -> Self {
        SiteLoader {
            lookup: Lookup::new(root, key, images),
            cache: LoadCache::default(),
            good: None,
            port: None,
        }
    }

    /// Returns the registry of images that it reads.
    pub(crate) fn images(&self) -> Arc<ImageRegistry> {
        self.lookup.images()
    }

    /// Reads only the server's own settings.
    pub fn config(&mut self, files: &SiteFiles) -> (Arc<ServerConfig>, Vec<Diagnostic>) {
        site::read_config(files, &mut self.cache)
    }

    /// Sets what is known once the server has begun: its HTTP port for machines, and its state directory.
    pub(crate) fn set_server(&mut self, port: u16, state: &Path) {
        (self.port, self.lookup.state) = (Some(port), Some(state.into()));
    }

    /// Loads the site's files.
    pub fn load(&mut self, files: &SiteFiles, depth: &Depth) -> Loaded {
        let lookup = &self.lookup;
        let detect_task = |site: &Site, repo: &Repo| lookup.detect_task(site, repo);
        let (site, mut diagnostics) = site::load_detecting(files, &mut self.cache, detect_task);
        let (rules, found) = matcher::compile(&site);
        diagnostics.extend(found);
        let previous = self.good.as_ref().map(|good| &good.snapshot.library);
        let (library, found) = render::compile(&site, files, previous);
        diagnostics.extend(found);
        let error_spans = ErrorSpans::of(&diagnostics);
        let (outside, found) = self.lookup.outside(&site, &library);
        diagnostics.extend(found);
        let snapshot = Arc::new(Snapshot::new(site, rules, library, outside));
        let known = matches!(depth, Depth::Known(revision) if snapshot.site.revision.as_ref() == Some(revision));
        let bases = bases(&snapshot.site.config, self.port);
        let mut rendering = Rendering::default();
        // Files that could not be read may be needed by others: rendering those would only repeat the error.
        if snapshot.site.unread.files.is_empty() && !known {
            rendering = self.render(&snapshot, &bases, &error_spans, &mut diagnostics);
        }
        snapshot.site.sources.sort(&mut diagnostics);
        let rendered = rendering.rendered.values();
        let documents = rendered.map(|one| one.documents).sum();
        if !has_error(&diagnostics) {
            self.good = Some(LastGoodSite {
                snapshot: snapshot.clone(),
                bases,
                rendered: rendering.rendered,
                is_complete: rendering.is_complete,
            });
        }
        Loaded {
            nodes: snapshot.site.nodes.len(),
            documents,
            diagnostics,
            snapshot,
        }
    }

    /// Renders all machines whose inputs have changed, on all processors.
    fn render(
        &self,
        snapshot: &Snapshot,
        bases: &Bases,
        error_spans: &ErrorSpans,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Rendering {
        let good = self
            .good
            .as_ref()
            .filter(|good| good.bases == *bases && is_same(&good.snapshot, snapshot));
        let unchanged = good.filter(|good| {
            only_nodes_differ(&good.snapshot, snapshot)
                && (good.is_complete || !names_by_template(snapshot))
        });
        let renderer = Renderer {
            snapshot,
            bases,
            error_spans,
            known: good.map(|good| &good.rendered),
            unchanged: unchanged.map(|good| &*good.snapshot),
        };
        let mut rendering = Rendering {
            is_complete: unchanged.is_none_or(|good| good.is_complete),
            ..Rendering::default()
        };
        for outcome in renderer.examine_all() {
            diagnostics.extend(outcome.found);
            if let Some(one) = outcome.rendered {
                diagnostics.extend(one.warnings.iter().cloned());
                rendering.rendered.insert(outcome.key, one);
            }
        }
        diagnostics.extend(same_hostnames(snapshot, &rendering.rendered));
        rendering
    }
}

/// The result of rendering.
#[derive(Default)]
struct Rendering {
    rendered: BTreeMap<RenderKey, RenderedNode>,
    is_complete: bool,
}

/// Where errors were already found. Errors that follow from them are not reported again.
struct ErrorSpans(BTreeSet<SourceSpan>);

impl ErrorSpans {
    fn of(diagnostics: &[Diagnostic]) -> Self {
        let errors = diagnostics
            .iter()
            .filter(|one| one.severity == Severity::Error);
        ErrorSpans(errors.filter_map(|one| one.span).collect())
    }

    /// Returns whether one of a machine's settings has an error.
    fn has(&self, resolved: &Resolved) -> bool {
        !self.0.is_empty()
            && resolved
                .settings
                .listed()
                .iter()
                .any(|(_, span, _)| self.0.contains(span))
    }
}

fn has_error(diagnostics: &[Diagnostic]) -> bool {
    diagnostics
        .iter()
        .any(|one| one.severity == Severity::Error)
}

/// What rendering one machine needs besides that machine.
struct Renderer<'a> {
    snapshot: &'a Snapshot,
    bases: &'a Bases,
    error_spans: &'a ErrorSpans,
    /// What was rendered before, if the common inputs are unchanged.
    known: Option<&'a BTreeMap<RenderKey, RenderedNode>>,
    /// The site before, if only nodes differ from it. A node that is declared the same there is still valid.
    unchanged: Option<&'a Snapshot>,
}

/// The result for one machine.
struct Outcome {
    key: RenderKey,
    found: Vec<Diagnostic>,
    /// `None` if it has an error, if nothing is to be rendered, or if it is only known to have been valid before.
    rendered: Option<RenderedNode>,
}

impl Renderer<'_> {
    fn examine_all(&self) -> Vec<Outcome> {
        let targets = self.snapshot.targets();
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let share = targets.len().div_ceil(workers).max(1);
        std::thread::scope(|scope| {
            let parts: Vec<_> = targets
                .chunks(share)
                .map(|part| {
                    scope.spawn(move || {
                        let outcomes = part.iter().map(|one| self.examine(one));
                        outcomes.collect::<Vec<_>>()
                    })
                })
                .collect();
            parts
                .into_iter()
                .flat_map(|part| part.join().expect("rendering does not panic"))
                .collect()
        })
    }

    /// Renders one machine, unless it was rendered from the same inputs before.
    fn examine(&self, target: &RenderTarget) -> Outcome {
        let mut outcome = Outcome {
            key: RenderKey::of(target),
            found: Vec::new(),
            rendered: None,
        };
        let known = self.known.and_then(|known| known.get(&outcome.key));
        if self
            .unchanged
            .is_some_and(|before| is_declared_as_in(before, target))
        {
            outcome.rendered = known.cloned();
            return outcome;
        }
        let Some((resolved, found)) = self.snapshot.resolve_target(target) else {
            return outcome;
        };
        match target {
            // Errors of declared nodes were found when the rules of the site were checked.
            RenderTarget::Node(_) if self.error_spans.has(&resolved) || has_error(&found) => {
                return outcome;
            }
            RenderTarget::Node(_) => {}
            RenderTarget::Undeclared(_) => outcome.found = found,
        }
        let inputs = Inputs::new(self.snapshot, &resolved);
        if let Some(rendered) = known.filter(|rendered| rendered.inputs.is(&inputs)) {
            outcome.rendered = Some(rendered.clone());
            return outcome;
        }
        let base = self.bases.of(resolved.network.as_deref());
        let checked: RenderCheck = self.snapshot.check(target, &resolved, base);
        if !checked.is_valid() {
            outcome.found.extend(checked.diagnostics);
            return outcome;
        }
        let is_template = matches!(resolved.hostname, HostnameRule::Template(_));
        outcome.rendered = Some(RenderedNode {
            inputs,
            hostname: checked.hostname.filter(|_| is_template),
            documents: checked.documents,
            warnings: checked.diagnostics,
        });
        outcome
    }
}

/// Finds equal host names if at least one is set by a template. Other host names were compared when the site was loaded.
fn same_hostnames(
    snapshot: &Snapshot,
    rendered: &BTreeMap<RenderKey, RenderedNode>,
) -> Vec<Diagnostic> {
    if rendered.values().all(|one| one.hostname.is_none()) {
        return Vec::new();
    }
    let mut first: BTreeMap<String, (&NodeName, bool)> = BTreeMap::new();
    let mut found = Vec::new();
    for (name, node) in &snapshot.site.nodes {
        let Some(rendered) = rendered.get(&RenderKey::Node(name.clone())) else {
            continue;
        };
        let templated = rendered.hostname.clone();
        let is_template = templated.is_some();
        let Some(hostname) = templated.or_else(|| plain_hostname(snapshot, node)) else {
            continue;
        };
        match first.get(&hostname.as_str().to_ascii_lowercase()) {
            Some((other, other_is)) if is_template || *other_is => {
                let other = &snapshot.site.nodes[*other];
                let message = format!("host name {hostname} is used twice");
                let one = Diagnostic::error(message, node.span()).label(name.to_string());
                found.push(one.other(other.span(), format!("{} has it", other.name)));
            }
            Some(_) => {}
            None => drop(first.insert(hostname.as_str().to_ascii_lowercase(), (name, is_template))),
        }
    }
    found
}

/// Returns the host name of a node if no template sets it.
fn plain_hostname(snapshot: &Snapshot, node: &Arc<Node>) -> Option<Hostname> {
    let (resolved, _) = snapshot.resolve_target(&RenderTarget::Node(node.clone()))?;
    match resolved.hostname {
        HostnameRule::Plain(hostname) => Some(hostname),
        HostnameRule::Template(_) => None,
    }
}

/// Returns the URLs of this server for machines, from its settings.
pub(crate) fn bases(config: &ServerConfig, port: Option<u16>) -> Bases {
    let texts = config
        .http
        .advertise
        .iter()
        .flat_map(|list| list.values().map(String::as_str));
    // Invalid settings are reported where the listeners are opened.
    let advertise = Advertise::parse(texts).unwrap_or_default();
    let listen = config
        .http
        .listen
        .as_ref()
        .and_then(|at| at.value.parse::<std::net::SocketAddr>().ok());
    Bases::new(
        advertise,
        port.or(listen.map(|address| address.port())).unwrap_or(80),
    )
}

/// Loads a site without a server, for `check`, `render` and `explain`.
pub fn offline(root: &Path) -> io::Result<Loaded> {
    Ok(load_whole(root, &disk::site::read(root)?))
}

/// Loads a site with one additional file. `path` is relative to the site.
pub fn offline_with(root: &Path, path: &str, text: &str) -> io::Result<Loaded> {
    let mut files = disk::site::read(root)?;
    files.content.insert(path.into(), text.as_bytes().into());
    Ok(load_whole(root, &files))
}

fn load_whole(root: &Path, files: &SiteFiles) -> Loaded {
    let mut loader = SiteLoader::new(root, password_key(root, files), Arc::default());
    loader.load(files, &Depth::Whole)
}

/// Returns the key of the site's state directory, so that passwords are hashed as in the server.
fn password_key(root: &Path, files: &SiteFiles) -> SecretKey {
    let none = SecretKey([0; 32]);
    let (config, _) = site::read_config(files, &mut LoadCache::default());
    let Ok(path) = crate::serve::site_id::state_path(root, &config) else {
        return none;
    };
    let Some(state) = disk::state::StateDirectory::existing(&path) else {
        return none;
    };
    state.password_key().unwrap_or(none)
}

/// Returns the path of a site as an absolute path, without resolving symbolic links.
pub(crate) fn absolute(root: &Path) -> io::Result<PathBuf> {
    std::path::absolute(root)
}
