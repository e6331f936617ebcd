//! Everything in `examples/`, and the safe default, loads without an error.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bootwright::{
    disk,
    site::{self, Diagnostic, LoadCache, ReportStyle, Site},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn load(site: &Path) -> (Site, Vec<Diagnostic>) {
    let files = disk::site::read(site).unwrap();
    assert!(!files.content.is_empty(), "{} has files", site.display());
    site::load(&files, &mut LoadCache::default())
}

#[test]
fn every_example_loads_without_an_error() {
    let mut sites: Vec<PathBuf> = fs::read_dir(root().join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    sites.push(root().to_path_buf());
    assert!(sites.len() >= 4, "there are examples");
    for path in sites {
        let (site, diagnostics) = load(&path);
        let style = ReportStyle {
            color: false,
            width: 100,
        };
        let report = site::report(&diagnostics, &site.sources, style);
        assert!(diagnostics.is_empty(), "{}:\n{report}", path.display());
    }
}

#[test]
fn the_quickstart_is_equal_in_both_formats() {
    let (toml, _) = load(&root().join("examples/quickstart"));
    let (kdl, _) = load(&root().join("examples/quickstart-kdl"));
    assert_eq!(toml.nodes.len(), 3);
    assert_eq!(toml.defaults, kdl.defaults);
    assert_eq!(toml.repos, kdl.repos);
    assert_eq!(toml.networks, kdl.networks);
    assert_eq!(toml.tags, kdl.tags);
    assert_eq!(toml.policies, kdl.policies);
    assert_eq!(toml.order, kdl.order);
    assert_eq!(toml.nodes, kdl.nodes);
    assert_eq!(toml.brokers, kdl.brokers);
    assert_eq!(toml.hooks, kdl.hooks);
    assert_eq!(toml.config.http, kdl.config.http);
    assert_eq!(toml.config.operator, kdl.config.operator);
}
