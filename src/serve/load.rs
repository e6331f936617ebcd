//! Files to a snapshot, everything rendered for everyone.
//!
//! A machine whose declaration, policy, templates and surroundings are what they were is not rendered again.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{bases::Bases, outside::Lookup};
use crate::{
    control::{Checked, Examined, Snapshot},
    disk::{self, state::Key},
    matcher,
    model::{Hostname, Node, NodeName, Place, Policy, Revision, ServerConfig},
    net::http::Advertise,
    render::{self, Fingerprint},
    site::{self, Diagnostic, Files, HostnameRule, Memory, Resolved, Severity},
};

/// Loads one site again and again.
pub struct Loader {
    lookup: Lookup,
    memory: Memory,
    previous: Option<Arc<Snapshot>>,
    /// Those that were rendered without a mistake, with what they were rendered from.
    sound: BTreeMap<String, Sound>,
    port: Option<u16>,
}

/// Somebody who was rendered without a mistake.
#[derive(Clone)]
struct Sound {
    inputs: Inputs,
    hostname: Option<Hostname>,
    documents: usize,
    warnings: Vec<Diagnostic>,
}

/// What somebody's files are made from, besides what every machine's are. Objects of files that did not change
/// are the same ones from load to load.
#[derive(Clone)]
struct Inputs {
    templates: Fingerprint,
    node: Option<Arc<Node>>,
    policy: Option<Arc<Policy>>,
    base: Arc<str>,
}

impl Inputs {
    fn new(snapshot: &Snapshot, resolved: &Resolved, base: &str) -> Self {
        let policy = resolved
            .policy
            .as_ref()
            .and_then(|name| snapshot.site.policies.get(name));
        Inputs {
            templates: snapshot.library.depends(resolved),
            node: resolved.declared.clone(),
            policy: policy.cloned(),
            base: base.into(),
        }
    }

    fn is(&self, other: &Inputs) -> bool {
        fn same<T>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
            match (a, b) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                (None, None) => true,
                _ => false,
            }
        }
        self.templates == other.templates
            && self.base == other.base
            && same(self.node.as_ref(), other.node.as_ref())
            && same(self.policy.as_ref(), other.policy.as_ref())
    }
}

/// What came of loading a site.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The snapshot; it goes live only without errors.
    pub snapshot: Arc<Snapshot>,
    /// Every mistake and warning.
    pub diagnostics: Vec<Diagnostic>,
    /// How many nodes are declared.
    pub nodes: usize,
    /// How many files were rendered for them.
    pub documents: usize,
}

impl Loaded {
    /// Whether the site may go live.
    pub fn is_sound(&self) -> bool {
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

impl Loader {
    /// Loads the site at `root`. Password salts derive from `key`; `port` is where machines reach us, when
    /// that is known better than from the site.
    pub fn new(root: &Path, key: Key, port: Option<u16>) -> Self {
        Loader {
            lookup: Lookup::new(root, key),
            memory: Memory::default(),
            previous: None,
            sound: BTreeMap::new(),
            port,
        }
    }

    /// Reads the server's own settings alone.
    pub fn config(&mut self, files: &Files) -> (Arc<ServerConfig>, Vec<Diagnostic>) {
        site::read_config(files, &mut self.memory)
    }

    /// Says where machines reach us, once that is known.
    pub fn set_port(&mut self, port: u16) {
        self.port = Some(port);
    }

    /// Loads the site's files.
    pub fn load(&mut self, files: &Files, depth: &Depth) -> Loaded {
        let (site, mut diagnostics) = site::load(files, &mut self.memory);
        let (rules, found) = matcher::compile(&site);
        diagnostics.extend(found);
        let previous = self.previous.as_ref().map(|snapshot| &snapshot.library);
        let (library, found) = render::compile(&site, files, previous);
        diagnostics.extend(found);
        let flawed = Flawed::of(&diagnostics);
        let (outside, found) = self.lookup.outside(&site, &library);
        diagnostics.extend(found);
        let snapshot = Arc::new(Snapshot::new(site, rules, library, outside));
        let same = self
            .previous
            .as_ref()
            .is_some_and(|before| is_same(before, &snapshot));
        let mut documents = 0;
        let known = matches!(depth, Depth::Known(revision) if snapshot.site.revision.as_ref() == Some(revision));
        // What could not be read may be what others need: rendering those would only repeat that.
        if snapshot.site.unread.files.is_empty() && !known {
            documents = self.render(&snapshot, same, &flawed, &mut diagnostics);
        }
        snapshot.site.sources.sort(&mut diagnostics);
        if diagnostics
            .iter()
            .all(|one| one.severity != Severity::Error)
        {
            self.previous = Some(snapshot.clone());
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
        &mut self,
        snapshot: &Snapshot,
        same: bool,
        flawed: &Flawed,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> usize {
        let bases = bases(&snapshot.site.config, self.port);
        let examined = snapshot.examined();
        let known = if same { &self.sound } else { &BTreeMap::new() };
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let share = examined.len().div_ceil(workers).max(1);
        let results: Vec<(String, Vec<Diagnostic>, Option<Sound>)> = std::thread::scope(|scope| {
            let parts: Vec<_> = examined
                .chunks(share)
                .map(|part| {
                    let bases = &bases;
                    scope.spawn(move || {
                        part.iter()
                            .map(|one| examine(snapshot, one, bases, known, flawed))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            parts
                .into_iter()
                .flat_map(|part| part.join().expect("rendering does not panic"))
                .collect()
        });
        let mut sound = BTreeMap::new();
        let mut documents = 0;
        for (name, found, outcome) in results {
            diagnostics.extend(found);
            if let Some(outcome) = outcome {
                documents += outcome.documents;
                diagnostics.extend(outcome.warnings.iter().cloned());
                sound.insert(name, outcome);
            }
        }
        self.sound = sound;
        diagnostics.extend(same_hostnames(snapshot, &self.sound));
        documents
    }
}

/// Where mistakes were found already: what follows from them is not told again.
struct Flawed(BTreeSet<Place>);

impl Flawed {
    fn of(diagnostics: &[Diagnostic]) -> Self {
        let errors = diagnostics
            .iter()
            .filter(|one| one.severity == Severity::Error);
        Flawed(errors.filter_map(|one| one.place).collect())
    }

    /// Whether one of a machine's own settings is among them.
    fn has(&self, resolved: &Resolved) -> bool {
        !self.0.is_empty()
            && resolved
                .settings
                .listed()
                .iter()
                .any(|(_, place, _)| self.0.contains(place))
    }
}

fn has_error(diagnostics: &[Diagnostic]) -> bool {
    diagnostics
        .iter()
        .any(|one| one.severity == Severity::Error)
}

/// Renders one of them, unless it was rendered from the same before.
fn examine(
    snapshot: &Snapshot,
    examined: &Examined,
    bases: &Bases,
    known: &BTreeMap<String, Sound>,
    flawed: &Flawed,
) -> (String, Vec<Diagnostic>, Option<Sound>) {
    let name = match examined {
        Examined::Node(node) => node.name.value.to_string(),
        Examined::Stranger(policy) => format!("policy {}", policy.name.value),
    };
    let Some((resolved, found)) = snapshot.resolve_examined(examined) else {
        return (name, Vec::new(), None);
    };
    // Mistakes of declared nodes were found when the site was held to its rules.
    let found = match examined {
        Examined::Node(_) if flawed.has(&resolved) || has_error(&found) => {
            return (name, Vec::new(), None);
        }
        Examined::Node(_) => Vec::new(),
        Examined::Stranger(_) => found,
    };
    let base = bases.of(resolved.network.as_deref());
    let inputs = Inputs::new(snapshot, &resolved, &base);
    if let Some(sound) = known.get(&name).filter(|sound| sound.inputs.is(&inputs)) {
        return (name, found, Some(sound.clone()));
    }
    let checked: Checked = snapshot.check(examined, &resolved, base);
    if !checked.is_sound() {
        return (
            name,
            found.into_iter().chain(checked.diagnostics).collect(),
            None,
        );
    }
    let sound = Sound {
        inputs,
        hostname: checked.hostname,
        documents: checked.documents,
        warnings: checked.diagnostics,
    };
    (name, found, Some(sound))
}

/// Host names that come out of templates alike: plain ones were compared when the site was loaded.
fn same_hostnames(snapshot: &Snapshot, sound: &BTreeMap<String, Sound>) -> Vec<Diagnostic> {
    let mut first: BTreeMap<String, &NodeName> = BTreeMap::new();
    let mut found = Vec::new();
    for (name, node) in &snapshot.site.nodes {
        let hostname = sound
            .get(name.as_str())
            .and_then(|sound| sound.hostname.as_ref());
        let Some(hostname) = hostname.map(|hostname| hostname.as_str().to_ascii_lowercase()) else {
            continue;
        };
        match first.get(&hostname) {
            Some(other) if is_template(snapshot, name) || is_template(snapshot, other) => {
                let other = &snapshot.site.nodes[*other];
                let message = format!("host name {hostname} is used twice");
                let one = Diagnostic::error(message, node.place()).label(name.to_string());
                found.push(one.other(other.place(), format!("{} has it", other.name)));
            }
            Some(_) => {}
            None => drop(first.insert(hostname, name)),
        }
    }
    found
}

fn is_template(snapshot: &Snapshot, name: &NodeName) -> bool {
    let resolved = snapshot.resolve_examined(&Examined::Node(snapshot.site.nodes[name].clone()));
    resolved.is_some_and(|(resolved, _)| matches!(resolved.hostname, HostnameRule::Template(_)))
}

/// Whether what every machine's files are made from is what it was.
fn is_same(before: &Snapshot, after: &Snapshot) -> bool {
    fn same<K: Ord, T>(before: &BTreeMap<K, Arc<T>>, after: &BTreeMap<K, Arc<T>>) -> bool {
        before.len() == after.len()
            && before
                .values()
                .zip(after.values())
                .all(|(a, b)| Arc::ptr_eq(a, b))
    }
    let outside = |snapshot: &Snapshot| {
        let outside = &snapshot.outside;
        (
            outside.secrets.clone(),
            outside.passwords.clone(),
            outside.repos.clone(),
        )
    };
    Arc::ptr_eq(&before.site.defaults, &after.site.defaults)
        && same(&before.site.networks, &after.site.networks)
        && same(&before.site.repos, &after.site.repos)
        && same(&before.site.tags, &after.site.tags)
        && outside(before) == outside(after)
}

/// Where machines reach us, by the server's settings.
pub(crate) fn bases(config: &ServerConfig, port: Option<u16>) -> Bases {
    let texts = config
        .http
        .advertise
        .iter()
        .flat_map(|list| list.values().map(String::as_str));
    // What cannot be read is reported where the server's settings are used.
    let advertise = Advertise::read(texts).unwrap_or_default();
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
    let files = disk::site::read(root)?;
    let mut loader = Loader::new(root, password_key(root, &files), None);
    Ok(loader.load(&files, &Depth::Whole))
}

/// The key of the site's state directory, so that a password is hashed here as the server does it.
fn password_key(root: &Path, files: &Files) -> Key {
    let none = Key([0; 32]);
    let (config, _) = site::read_config(files, &mut Memory::default());
    let Ok(path) = super::keep::state_path(root, &config) else {
        return none;
    };
    let Some(state) = disk::state::State::existing(&path) else {
        return none;
    };
    state.password_key().unwrap_or(none)
}

/// The path of a site as it was given, made absolute.
pub(crate) fn absolute(root: &Path) -> io::Result<PathBuf> {
    std::path::absolute(root)
}
