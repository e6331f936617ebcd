//! What one machine's files are rendered from, and what becomes of it.

use crate::{
    model::{Arch, Facts, Hostname, Platform, RepoName},
    site::{Diagnostic, Resolved, Site},
};

use super::{
    engine::TemplateError, external::ExternalInputs, library::Library, template_errors,
    template_sources::TemplateOrigin, urls::Urls,
};

/// What one machine's files are rendered from.
#[derive(Debug, Clone)]
pub struct RenderRequest<'a> {
    /// The site.
    pub site: &'a Site,
    /// Its tasks.
    pub library: &'a Library,
    /// What is known from outside.
    pub external: &'a ExternalInputs,
    /// What the machine is to be.
    pub resolved: &'a Resolved,
    /// What it reported.
    pub facts: &'a Facts,
    /// Its firmware. The shipped scripts ask iPXE itself, since firmware may be switched between two boots.
    pub platform: Platform,
    /// Its processor.
    pub arch: Arch,
    /// Where it finds its documents and reports to.
    pub urls: Urls,
    /// The number of the attempt.
    pub attempt: u32,
}

/// Everything that a machine is given in one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedAttempt {
    /// The name it gets.
    pub hostname: Hostname,
    /// The files, all under `/t/<token>/`.
    pub files: Vec<RenderedFile>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedFile {
    /// Its name; it may hold one `/`.
    pub name: String,
    /// Whether reading it is a step of the installation.
    pub kind: FileKind,
    /// Its media type.
    pub content_type: &'static str,
    /// What it holds.
    pub body: FileBody,
}

/// Whether reading a file is a step of the installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// What the installer reads its orders from.
    Document,
    /// What it takes to get there: scripts, loaders, and what documents fetch.
    Auxiliary,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileBody {
    /// These bytes.
    Bytes(Vec<u8>),
    /// What a file of a repo holds.
    Repo {
        /// The repo.
        repo: RepoName,
        /// The path in the spelling of the tree.
        path: String,
    },
}

impl RenderRequest<'_> {
    /// A template's mistake, with nothing in it that is secret.
    pub(super) fn mistake(&self, (origin, mistake): (TemplateOrigin, TemplateError)) -> Diagnostic {
        let secrets = self.external.secrets.values().map(|secret| secret.expose());
        let settings = &self.resolved.settings;
        let user = settings
            .user
            .as_deref()
            .and_then(|at| at.value.password_hash.as_ref());
        let own = settings
            .root_password_hash
            .as_deref()
            .into_iter()
            .chain(user)
            .map(|at| &at.value);
        let hashes = self
            .external
            .passwords
            .values()
            .chain(own)
            .map(|hash| hash.expose());
        let shows = secrets
            .chain(hashes)
            .any(|secret| !secret.is_empty() && mistake.message.contains(secret));
        let mut diagnostic = template_errors::diagnostic(self.site, &origin, &mistake);
        if shows {
            diagnostic.message = format!(
                "template {}, line {}: this cannot be rendered",
                origin.shown(),
                mistake.line
            );
        }
        diagnostic
    }
}
