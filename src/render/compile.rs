//! From a site's files to its [`Library`].

use crate::site::{Diagnostic, Site, SiteFiles};

use super::{first_boot_scripts, library::Library, references, template_sources::TemplateSources};

/// Compiles every template of a site together with those that are built in, and reports what is wrong with
/// them and with what the site says about them. What `previous` has already is taken over.
pub fn compile(
    site: &Site,
    files: &SiteFiles,
    previous: Option<&Library>,
) -> (Library, Vec<Diagnostic>) {
    let texts = TemplateSources::of(files);
    let mut library = match previous {
        Some(previous) if previous.texts == texts => previous.clone(),
        _ => Library::new(site, texts, previous),
    };
    let mut found = library.diagnostics.clone();
    let known = previous.map(|previous| &previous.first_boot_scripts);
    library.first_boot_scripts =
        first_boot_scripts::gather(site, files, &library.texts, known, &mut found);
    references::check(site, &library, &mut found);
    (library, found)
}
