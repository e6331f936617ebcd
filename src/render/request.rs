//! What one machine's files are rendered from, and the rendered files.

use crate::{
    model::{Arch, Facts, Hostname, Platform, RepoName},
    site::{Diagnostic, Resolved, Site},
};

use super::{
    engine::TemplateError, external::ExternalInputs, library::Library, quote::FileFormat,
    template_errors, template_sources::TemplateOrigin, urls::Urls,
};

/// What one machine's files are rendered from.
#[derive(Debug, Clone)]
pub struct RenderRequest<'a> {
    pub site: &'a Site,
    pub library: &'a Library,
    pub external: &'a ExternalInputs,
    /// The machine's settings, from all layers.
    pub resolved: &'a Resolved,
    /// What the machine reported.
    pub facts: &'a Facts,
    /// The machine's firmware. The shipped scripts test it in iPXE, since firmware settings may change between two boots.
    pub platform: Platform,
    /// The architecture that the machine reported. None: that of its settings, or one that its repo has files for.
    pub arch: Option<Arch>,
    pub urls: Urls,
    /// The text of the seal that the installation leaves on the disk; none if the site has no id.
    pub seal: Option<String>,
    /// The number of the attempt.
    pub attempt: u32,
}

/// All files of one installation attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedAttempt {
    pub hostname: Hostname,
    /// Served under `/t/<token>/`.
    pub files: Vec<RenderedFile>,
    /// Whether a file contains a secret, so that only a confirmed machine may read them.
    pub uses_secrets: bool,
}

/// One file of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedFile {
    /// May contain one `/`.
    pub name: String,
    pub kind: FileKind,
    pub content_type: &'static str,
    pub body: FileBody,
    pub format: FileFormat,
}

/// Whether a machine that reads the file has begun to install.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// The installer's instructions: a preseed file, a kickstart.
    Document,
    /// Everything else: boot scripts, loaders, and files that documents refer to.
    Auxiliary,
}

/// The content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileBody {
    Bytes(Vec<u8>),
    /// The content of a file of a repo.
    Repo {
        repo: RepoName,
        /// As the tree spells it.
        path: String,
    },
}

impl RenderRequest<'_> {
    /// Converts a template's mistake, and leaves out its text when that contains a secret.
    pub(super) fn template_diagnostic(
        &self,
        (origin, mistake): (TemplateOrigin, TemplateError),
    ) -> Diagnostic {
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
                origin.label(),
                mistake.line
            );
        }
        diagnostic
    }
}
