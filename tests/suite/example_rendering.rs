//! Every machine of every example is rendered, with its own address and host name.

use std::{collections::BTreeMap, fs, path::Path};

use bootwright::{
    disk,
    model::{Arch, Facts, Node, Platform, Policy},
    render::{self, ExternalInputs, FileBody, RenderRequest, RepoContents, TreeFile, Urls},
    site::{self, LoadCache, ReportStyle, Site, Subject},
};

/// The files below `folder` by their path in lower case.
fn tree(folder: &Path) -> BTreeMap<String, TreeFile> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
            let file = TreeFile {
                path: name.into(),
                size: text.len() as u64,
                text: Some(text.into()),
            };
            files.insert(name.to_lowercase(), file);
        }
    }
    assert!(!files.is_empty(), "{} has files", folder.display());
    files
}

/// Looks up all files that the tasks need in the site's repos.
fn external(root: &Path, site: &Site, library: &render::Library) -> ExternalInputs {
    let repos = site.config.paths.repos.as_ref();
    let start = repos.map_or(root.to_path_buf(), |at| root.join(&at.value));
    let mut external = ExternalInputs::default();
    loop {
        let wants = render::needed_lookups(site, library, &external);
        if wants.is_empty() {
            return external;
        }
        for want in wants {
            let path = site.repos[&want.repo].body.path.as_ref().unwrap();
            let found = tree(&start.join(&path.value)).remove(&want.path);
            let view = external.repos.entry(want.repo);
            let view = view.or_insert_with(|| RepoContents::Tree {
                files: BTreeMap::new(),
            });
            if let RepoContents::Tree { files } = view {
                files.insert(want.path, found);
            }
        }
    }
}

/// The policy of a declared machine of the examples, without any facts.
fn policy<'s>(site: &'s Site, node: &Node) -> Option<&'s Policy> {
    let named = node.body.policy.as_ref().map(|at| &at.value);
    let carried: Vec<_> = node
        .body
        .tags
        .iter()
        .flat_map(|list| list.values())
        .collect();
    let fits = |policy: &Policy| {
        let mut tags = policy.rule.tags.iter().flat_map(|list| list.values());
        policy.rule.tags.is_some() && tags.all(|tag| carried.contains(&tag))
    };
    let by_tags = || site.order.iter().find(|name| fits(&site.policies[*name]));
    named
        .or_else(by_tags)
        .map(|name| site.policies[name].as_ref())
}

#[test]
fn every_machine_of_every_example_is_rendered() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut count = 0;
    for entry in fs::read_dir(examples).unwrap() {
        count += render_all(&entry.unwrap().path());
    }
    assert_eq!(count, 3 + 3 + 12 + 1 + 2 + 2 + 1);
}

fn render_all(root: &Path) -> usize {
    let files = disk::site::read(root).unwrap();
    let (site, _) = site::load(&files, &mut LoadCache::default());
    let (library, mut found) = render::compile(&site, &files, None);
    let external = external(root, &site, &library);
    for (name, node) in &site.nodes {
        let subject = Subject::declared(node);
        let (resolved, mistakes) = site::resolve(&site, &subject, policy(&site, node));
        found.extend(mistakes);
        let (rendered, mistakes) = render::inspect_attempt(&RenderRequest {
            site: &site,
            library: &library,
            external: &external,
            resolved: &resolved,
            facts: &Facts::default(),
            platform: Platform::Efi,
            arch: Some(Arch::X86_64),
            urls: Urls {
                base: "http://192.0.2.5".into(),
                token: "0".repeat(32),
            },
            seal: Some("bootwright-seal/1/5f0c/00000000000000ab/db1/1/2026-11-22T12:00:00.000Z/000102030405060708090a0b0c0d0e0f".into()),
            attempt: 1,
        });
        found.extend(mistakes);
        let rendered = rendered.unwrap_or_else(|| panic!("{name}: {found:#?}"));
        let address = resolved.net.address().unwrap().addr().to_string();
        let hostname = rendered.hostname.short();
        let all: String = rendered
            .files
            .iter()
            .filter_map(|file| match &file.body {
                FileBody::Bytes(bytes) => Some(String::from_utf8_lossy(bytes)),
                FileBody::Repo { .. } => None,
            })
            .collect();
        assert!(all.contains(&address), "{name}: {address}");
        assert!(all.contains(hostname), "{name}: {hostname}");
    }
    let style = ReportStyle {
        color: false,
        width: 100,
    };
    let report = site::report(&found, &site.sources, style);
    assert!(found.is_empty(), "{}:\n{report}", root.display());
    site.nodes.len()
}
