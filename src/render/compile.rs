//! Compiles a site's templates to a [`Library`].

use crate::site::{Diagnostic, Site, SiteFiles};

use super::{first_boot_scripts, library::Library, references, template_sources::TemplateSources};

/// Compiles every template of a site together with the built-in ones. Also returns the mistakes in them, and references of the
/// site to tasks, brokers and scripts that do not exist. Unchanged templates are taken from `previous`.
pub fn compile(
    site: &Site,
    files: &SiteFiles,
    previous: Option<&Library>,
) -> (Library, Vec<Diagnostic>) {
    let sources = TemplateSources::of(files);
    let mut library = match previous {
        Some(previous) if previous.sources == sources => previous.clone(),
        _ => Library::new(site, sources, previous),
    };
    let mut diagnostics = library.diagnostics.clone();
    let known_scripts = previous.map(|previous| &previous.first_boot_scripts);
    library.first_boot_scripts = first_boot_scripts::load(
        site,
        files,
        &library.sources,
        known_scripts,
        &mut diagnostics,
    );
    references::check(site, &library, &mut diagnostics);
    (library, diagnostics)
}
