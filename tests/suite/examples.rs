//! Whatever stands in `examples/`, and the safe default, loads without a mistake.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bootwright::site::{self, Diagnostic, Files, Memory, Site, Style};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads the files of a site that count.
fn files(site: &Path) -> Files {
    let mut files = Files::default();
    let mut waiting: Vec<PathBuf> = ["bootwright.toml", "policies.d", "templates"]
        .map(|name| site.join(name))
        .into();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries: io::Result<Vec<_>> = fs::read_dir(&path).unwrap().collect();
            waiting.extend(entries.unwrap().into_iter().map(|entry| entry.path()));
        } else if path.exists() {
            let name = path.strip_prefix(site).unwrap().to_str().unwrap();
            files
                .content
                .insert(name.into(), fs::read(&path).unwrap().into());
        }
    }
    assert!(!files.content.is_empty(), "{} has files", site.display());
    files
}

fn load(site: &Path) -> (Site, Vec<Diagnostic>) {
    site::load(&files(site), &mut Memory::default())
}

#[test]
fn every_example_loads_without_a_mistake() {
    let mut sites: Vec<PathBuf> = fs::read_dir(root().join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    sites.push(root().to_path_buf());
    assert!(sites.len() >= 4, "there are examples");
    for path in sites {
        let (site, diagnostics) = load(&path);
        let style = Style {
            color: false,
            width: 100,
        };
        let report = site::report(&diagnostics, &site.sources, style);
        assert!(diagnostics.is_empty(), "{}:\n{report}", path.display());
    }
}

#[test]
fn the_quickstart_says_the_same_in_both_formats() {
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
