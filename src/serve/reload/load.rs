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
    control::Snapshot,
    disk::{self, repo::ImageRegistry, state::SecretKey},
    matcher,
    model::{Repo, Revision, ServerConfig},
    net::http::Advertise,
    render,
    serve::reload::{
        bases::Bases,
        check_process::{CheckFailure, CheckProcess, CheckProgram},
        external::Lookup,
        render_cache::{RenderKey, RenderedNode, is_same, names_by_template, only_nodes_differ},
        rendering::{ErrorSpans, Renderer, Rendering, has_error, same_hostnames},
    },
    site::{self, Diagnostic, LoadCache, Site, SiteFiles},
};

/// Loads one site repeatedly.
pub struct SiteLoader {
    lookup: Lookup,
    cache: LoadCache,
    good: Option<LastGoodSite>,
    port: Option<u16>,
    check_program: Option<CheckProgram>,
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
    /// Why the check ended early. If that was before the files were read, the snapshot is empty.
    pub failure: Option<CheckFailure>,
}

impl Loaded {
    /// Returns whether the site has no errors and may go live.
    pub fn is_valid(&self) -> bool {
        !has_error(&self.diagnostics)
    }

    /// Returns an empty site that is rejected because its check ended early.
    fn unread(files: &SiteFiles, failure: CheckFailure) -> Self {
        let mut snapshot = Snapshot::default();
        snapshot.site.revision = Some(site::revision(files));
        Loaded {
            snapshot: Arc::new(snapshot),
            diagnostics: vec![failure.diagnostic()],
            nodes: 0,
            documents: 0,
            failure: Some(failure),
        }
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
            check_program: None,
        }
    }

    /// Checks every site in a process of its own before this process reads it.
    pub fn checked_by(mut self, program: &CheckProgram) -> Self {
        self.check_program = Some(program.clone());
        self
    }

    /// Returns the registry of images that it reads.
    pub(crate) fn images(&self) -> Arc<ImageRegistry> {
        self.lookup.images()
    }

    /// Returns the program that checks sites.
    pub(crate) fn check_program(&self) -> Option<&CheckProgram> {
        self.check_program.as_ref()
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
        let program = self.check_program.as_ref();
        let mut process = match program
            .map(|program| self.check(files, program))
            .transpose()
        {
            Ok(process) => process,
            Err(failure) => return Loaded::unread(files, failure),
        };
        let lookup = &self.lookup;
        let detect_task = |site: &Site, repo: &Repo| lookup.detect_task(site, repo);
        let (site, mut diagnostics) = site::load_detecting(files, &mut self.cache, detect_task);
        let (rules, found) = matcher::compile(&site);
        diagnostics.extend(found);
        let previous = self.good.as_ref().map(|good| &good.snapshot.library);
        let (library, found) = render::compile(&site, files, previous);
        diagnostics.extend(found);
        let error_spans = ErrorSpans::of(&diagnostics);
        let (mut outside, found) = self.lookup.outside(&site, &library);
        diagnostics.extend(found);
        let bases = bases(&site.config, self.port);
        outside.v6_urls = bases.v6_urls(&site);
        let snapshot = Arc::new(Snapshot::new(site, rules, library, outside));
        let known = matches!(depth, Depth::Known(revision) if snapshot.site.revision.as_ref() == Some(revision));
        let mut rendering = Rendering::default();
        let mut failure = None;
        // Files that could not be read may be needed by others: rendering those would only repeat the error.
        if snapshot.site.unread.files.is_empty() && !known {
            let rendered = self.render(
                &snapshot,
                &bases,
                &error_spans,
                process.as_mut().map(|process| (process, files)),
                &mut diagnostics,
            );
            match rendered {
                Ok(rendered) => rendering = rendered,
                Err(found) => {
                    diagnostics.push(found.diagnostic());
                    failure = Some(found);
                }
            }
        }
        snapshot.site.sources.sort(&mut diagnostics);
        let is_valid = !has_error(&diagnostics);
        site::limit_diagnostics(&mut diagnostics);
        let rendered = rendering.rendered.values();
        let documents = rendered.map(|one| one.documents).sum();
        if is_valid {
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
            failure,
        }
    }

    /// Lets a process parse and compile the files that this process has not read yet.
    fn check(
        &self,
        files: &SiteFiles,
        program: &CheckProgram,
    ) -> Result<CheckProcess, CheckFailure> {
        let mut process = CheckProcess::start(program)?;
        let mut scripts = BTreeSet::new();
        process.parse(files, |path, content| {
            let Some(nodes) = self.cache.unchanged_nodes(path, content) else {
                return true;
            };
            // A script is compiled if something names it, so for each script one file that does is sent.
            let lists = nodes.filter_map(|node| node.settings.first_boot.as_deref());
            let mut named = lists.flat_map(|list| &list.value);
            named.any(|script| scripts.insert(&*script.value))
        })?;
        Ok(process)
    }

    /// Renders all machines whose inputs have changed.
    fn render(
        &self,
        snapshot: &Snapshot,
        bases: &Bases,
        error_spans: &ErrorSpans,
        process: Option<(&mut CheckProcess, &SiteFiles)>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<Rendering, CheckFailure> {
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
        let outcomes = match process {
            Some((process, files)) => renderer.render_in(process, files)?,
            None => renderer.render_here(),
        };
        for outcome in outcomes {
            diagnostics.extend(outcome.found);
            if let Some(one) = outcome.rendered {
                diagnostics.extend(one.warnings.iter().cloned());
                rendering.rendered.insert(outcome.key, one);
            }
        }
        diagnostics.extend(same_hostnames(snapshot, &rendering.rendered));
        Ok(rendering)
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
        listen.is_none_or(|address| address.is_ipv6()),
    )
}

/// Loads a site without a server, for `check`, `render` and `explain`.
pub fn offline(root: &Path, program: &CheckProgram) -> io::Result<Loaded> {
    Ok(load_whole(root, &disk::site::read(root)?, program))
}

/// Loads a site with one additional file. `path` is relative to the site.
pub fn offline_with(
    root: &Path,
    path: &str,
    text: &str,
    program: &CheckProgram,
) -> io::Result<Loaded> {
    let mut files = disk::site::read(root)?;
    files.content.insert(path.into(), text.as_bytes().into());
    Ok(load_whole(root, &files, program))
}

fn load_whole(root: &Path, files: &SiteFiles, program: &CheckProgram) -> Loaded {
    let key = password_key(root, files);
    let mut loader = SiteLoader::new(root, key, Arc::default()).checked_by(program);
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
