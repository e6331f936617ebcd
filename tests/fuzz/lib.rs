//! Shared by the fuzz targets.

use bootwright::site::{self, LoadCache, ReportStyle, SiteFiles};

/// Loads a site of one file, twice, and formats the report of every mistake in it.
pub fn load(path: &str, bytes: &[u8]) {
    let mut files = SiteFiles::default();
    files.content.insert(path.into(), bytes.into());
    let mut memory = LoadCache::default();
    let (site, diagnostics) = site::load(&files, &mut memory);
    for diagnostic in &diagnostics {
        if let Some(span) = diagnostic.span {
            assert!(site.sources.position(span).is_some(), "{diagnostic:?}");
        }
    }
    let style = ReportStyle {
        color: false,
        width: 80,
    };
    let report = site::report(&diagnostics, &site.sources, style);
    assert_eq!(report.is_empty(), diagnostics.is_empty());
    assert_eq!(site::load(&files, &mut memory).1, diagnostics);
}
