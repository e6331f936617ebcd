//! Loads sites that are texts of a test, and prints their diagnostics with their positions.

use bootwright::site::{self, Diagnostic, LoadCache, Severity, Site, SiteFiles};

/// Loads a site that consists of these files: path and text.
pub(crate) fn load(files: &[(&str, &str)]) -> (Site, Vec<Diagnostic>) {
    let content = files
        .iter()
        .map(|(path, text)| ((*path).into(), text.as_bytes().into()));
    let files = SiteFiles {
        content: content.collect(),
        ..SiteFiles::default()
    };
    site::load(&files, &mut LoadCache::default())
}

/// Each diagnostic as `a.toml:3:11 error: message`.
pub(crate) fn found(site: &Site, diagnostics: &[Diagnostic]) -> Vec<String> {
    let one = |diagnostic: &Diagnostic| {
        let span = diagnostic.span.expect("every mistake has a place");
        let (source, line, column) = site.sources.position(span).expect("the file is known");
        let severity = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let message = &diagnostic.message;
        format!("{}:{line}:{column} {severity}: {message}", source.path)
    };
    diagnostics.iter().map(one).collect()
}
