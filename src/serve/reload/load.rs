//! Files to a snapshot, everything rendered for everyone.
//!
//! A machine whose declaration, policy, templates and surroundings are what they were is not rendered again.

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

/// Loads one site again and again.
pub struct SiteLoader {
    lookup: Lookup,
    memory: LoadCache,
    good: Option<Good>,
    port: Option<u16>,
}

/// The last state of the site that had no error.
struct Good {
    snapshot: Arc<Snapshot>,
    /// Where machines reached us.
    bases: Bases,
    /// Who was rendered, and from what.
    sound: BTreeMap<RenderKey, RenderedNode>,
    /// Whether these are all there are: a site that is known from before is not rendered.
    is_whole: bool,
}

/// What came of loading a site.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The snapshot; it goes live only without errors.
    pub snapshot: Arc<Snapshot>,
    pub diagnostics: Vec<Diagnostic>,
    pub nodes: usize,
    pub documents: usize,
}

impl Loaded {
    /// Whether the site may go live.
    pub fn is_valid(&self) -> bool {
        self.diagnostics
            .iter()
            .all(|one| one.severity != Severity::Error)
    }
}

/// How thoroughly a site is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Depth {
    /// Everything is rendered.
    Whole,
    /// This revision was loaded and checked before: nothing is rendered.
    Known(Revision),
}

impl SiteLoader {
    /// Loads the site at `root`. Password salts derive from `key`.
    pub fn new(root: &Path, key: SecretKey, images: Arc<ImageRegistry>) -> Self {
        SiteLoader {
            lookup: Lookup::new(root, key, images),
            memory: LoadCache::default(),
            good: None,
            port: None,
        }
    }

    /// The images that it reads.
    pub(crate) fn images(&self) -> Arc<ImageRegistry> {
        self.lookup.images()
    }

    /// Reads the server's own settings alone.
    pub fn config(&mut self, files: &SiteFiles) -> (Arc<ServerConfig>, Vec<Diagnostic>) {
        site::read_config(files, &mut self.memory)
    }

    /// Says where machines reach us, once that is known.
    pub fn set_port(&mut self, port: u16) {
        self.port = Some(port);
    }

    /// Loads the site's files.
    pub fn load(&mut self, files: &SiteFiles, depth: &Depth) -> Loaded {
        let lookup = &self.lookup;
        let detect_task = |site: &Site, repo: &Repo| lookup.detect_task(site, repo);
        let (site, mut diagnostics) = site::load_detecting(files, &mut self.memory, detect_task);
        let (rules, found) = matcher::compile(&site);
        diagnostics.extend(found);
        let previous = self.good.as_ref().map(|good| &good.snapshot.library);
        let (library, found) = render::compile(&site, files, previous);
        diagnostics.extend(found);
        let flawed = Flawed::of(&diagnostics);
        let (outside, found) = self.lookup.outside(&site, &library);
        diagnostics.extend(found);
        let snapshot = Arc::new(Snapshot::new(site, rules, library, outside));
        let known = matches!(depth, Depth::Known(revision) if snapshot.site.revision.as_ref() == Some(revision));
        let bases = bases(&snapshot.site.config, self.port);
        let mut rendering = Rendering::default();
        // What could not be read may be what others need: rendering those would only repeat that.
        if snapshot.site.unread.files.is_empty() && !known {
            rendering = self.render(&snapshot, &bases, &flawed, &mut diagnostics);
        }
        snapshot.site.sources.sort(&mut diagnostics);
        let documents = rendering.sound.values().map(|sound| sound.documents).sum();
        if !has_error(&diagnostics) {
            self.good = Some(Good {
                snapshot: snapshot.clone(),
                bases,
                sound: rendering.sound,
                is_whole: rendering.is_whole,
            });
        }
        Loaded {
            nodes: snapshot.site.nodes.len(),
            documents,
            diagnostics,
            snapshot,
        }
    }

    /// Renders everybody whose inputs changed, on every processor.
    fn render(
        &self,
        snapshot: &Snapshot,
        bases: &Bases,
        flawed: &Flawed,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Rendering {
        let good = self
            .good
            .as_ref()
            .filter(|good| good.bases == *bases && is_same(&good.snapshot, snapshot));
        let settled = good.filter(|good| {
            only_nodes_differ(&good.snapshot, snapshot)
                && (good.is_whole || !names_by_template(snapshot))
        });
        let renderer = Renderer {
            snapshot,
            bases,
            flawed,
            known: good.map(|good| &good.sound),
            settled: settled.map(|good| &*good.snapshot),
        };
        let mut rendering = Rendering {
            is_whole: settled.is_none_or(|good| good.is_whole),
            ..Rendering::default()
        };
        for outcome in renderer.examine_all() {
            diagnostics.extend(outcome.found);
            if let Some(one) = outcome.sound {
                diagnostics.extend(one.warnings.iter().cloned());
                rendering.sound.insert(outcome.whom, one);
            }
        }
        diagnostics.extend(same_hostnames(snapshot, &rendering.sound));
        rendering
    }
}

/// What came of rendering.
#[derive(Default)]
struct Rendering {
    sound: BTreeMap<RenderKey, RenderedNode>,
    is_whole: bool,
}

/// Where mistakes were found already: what follows from them is not told again.
struct Flawed(BTreeSet<SourceSpan>);

impl Flawed {
    fn of(diagnostics: &[Diagnostic]) -> Self {
        let errors = diagnostics
            .iter()
            .filter(|one| one.severity == Severity::Error);
        Flawed(errors.filter_map(|one| one.span).collect())
    }

    /// Whether one of a machine's own settings is among them.
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

/// What rendering one of them needs to know of the others.
struct Renderer<'a> {
    snapshot: &'a Snapshot,
    bases: &'a Bases,
    flawed: &'a Flawed,
    /// Who was rendered before, when what every machine's files are made from is the same now.
    known: Option<&'a BTreeMap<RenderKey, RenderedNode>>,
    /// The site before, when only nodes differ from it: who is declared as there is as sound as there.
    settled: Option<&'a Snapshot>,
}

/// What came of one of them.
struct Outcome {
    whom: RenderKey,
    found: Vec<Diagnostic>,
    /// None when there is a mistake, or nothing to render, or nothing is known but that it was sound before.
    sound: Option<RenderedNode>,
}

impl Renderer<'_> {
    fn examine_all(&self) -> Vec<Outcome> {
        let examined = self.snapshot.examined();
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let share = examined.len().div_ceil(workers).max(1);
        std::thread::scope(|scope| {
            let parts: Vec<_> = examined
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

    /// Renders one of them, unless it was rendered from the same before.
    fn examine(&self, examined: &RenderTarget) -> Outcome {
        let mut outcome = Outcome {
            whom: RenderKey::of(examined),
            found: Vec::new(),
            sound: None,
        };
        let known = self.known.and_then(|known| known.get(&outcome.whom));
        if self
            .settled
            .is_some_and(|before| is_declared_as_in(before, examined))
        {
            outcome.sound = known.cloned();
            return outcome;
        }
        let Some((resolved, found)) = self.snapshot.resolve_examined(examined) else {
            return outcome;
        };
        match examined {
            // Mistakes of declared nodes were found when the site was held to its rules.
            RenderTarget::Node(_) if self.flawed.has(&resolved) || has_error(&found) => {
                return outcome;
            }
            RenderTarget::Node(_) => {}
            RenderTarget::Undeclared(_) => outcome.found = found,
        }
        let inputs = Inputs::new(self.snapshot, &resolved);
        if let Some(sound) = known.filter(|sound| sound.inputs.is(&inputs)) {
            outcome.sound = Some(sound.clone());
            return outcome;
        }
        let base = self.bases.of(resolved.network.as_deref());
        let checked: RenderCheck = self.snapshot.check(examined, &resolved, base);
        if !checked.is_valid() {
            outcome.found.extend(checked.diagnostics);
            return outcome;
        }
        let is_template = matches!(resolved.hostname, HostnameRule::Template(_));
        outcome.sound = Some(RenderedNode {
            inputs,
            hostname: checked.hostname.filter(|_| is_template),
            documents: checked.documents,
            warnings: checked.diagnostics,
        });
        outcome
    }
}

/// Host names that come out of templates alike: plain ones were compared when the site was loaded.
fn same_hostnames(
    snapshot: &Snapshot,
    sound: &BTreeMap<RenderKey, RenderedNode>,
) -> Vec<Diagnostic> {
    if sound.values().all(|sound| sound.hostname.is_none()) {
        return Vec::new();
    }
    let mut first: BTreeMap<String, (&NodeName, bool)> = BTreeMap::new();
    let mut found = Vec::new();
    for (name, node) in &snapshot.site.nodes {
        let Some(sound) = sound.get(&RenderKey::Node(name.clone())) else {
            continue;
        };
        let is_template = sound.hostname.is_some();
        let Some(hostname) = sound.hostname.clone().or_else(|| plain(snapshot, node)) else {
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

/// The host name of a node that says it plainly.
fn plain(snapshot: &Snapshot, node: &Arc<Node>) -> Option<Hostname> {
    let (resolved, _) = snapshot.resolve_examined(&RenderTarget::Node(node.clone()))?;
    match resolved.hostname {
        HostnameRule::Plain(hostname) => Some(hostname),
        HostnameRule::Template(_) => None,
    }
}

/// Where machines reach us, by the server's settings.
pub(crate) fn bases(config: &ServerConfig, port: Option<u16>) -> Bases {
    let texts = config
        .http
        .advertise
        .iter()
        .flat_map(|list| list.values().map(String::as_str));
    // What cannot be read is reported where the server's settings are used.
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
    Ok(whole(root, &disk::site::read(root)?))
}

/// Loads a site as it would be with one more file, whose path is relative to it.
pub fn offline_with(root: &Path, path: &str, text: &str) -> io::Result<Loaded> {
    let mut files = disk::site::read(root)?;
    files.content.insert(path.into(), text.as_bytes().into());
    Ok(whole(root, &files))
}

fn whole(root: &Path, files: &SiteFiles) -> Loaded {
    let mut loader = SiteLoader::new(root, password_key(root, files), Arc::default());
    loader.load(files, &Depth::Whole)
}

/// The key of the site's state directory, so that a password is hashed here as the server does it.
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

/// The path of a site as it was given, made absolute.
pub(crate) fn absolute(root: &Path) -> io::Result<PathBuf> {
    std::path::absolute(root)
}
