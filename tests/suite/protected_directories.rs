//! A repo cannot give machines the state, the secrets or the files of the site.

use std::{fs, os::unix::fs::symlink, path::Path};

use bootwright::{
    disk::{repo::ImageRegistry, site::read, state::SecretKey},
    serve::{SiteLoader, load::Depth},
};

use crate::support::site::TestSite;

/// The errors of a site whose repo `x` has this path.
fn errors(site: &TestSite, path: &str) -> Vec<String> {
    site.write(
        "policies.d/x.toml",
        &format!("[repo.x]\npath = \"{path}\"\ntask = \"redhat\"\n"),
    );
    let mut loader = SiteLoader::new(
        &site.path(),
        SecretKey([0; 32]),
        ImageRegistry::default().into(),
    );
    let loaded = loader.load(&read(&site.path()).unwrap(), &Depth::Whole);
    let diagnostics = loaded.diagnostics.iter();
    let errors = diagnostics.filter(|one| one.message.starts_with("the directory of repo"));
    errors.map(|one| one.message.clone()).collect()
}

#[test]
fn a_repo_may_neither_contain_nor_be_in_a_protected_directory() {
    let site = TestSite::new(1);
    let config = format!(
        "site-id = \"test\"\n[paths]\nsecrets = \"secrets\"\nstate = {:?}\n",
        site.state()
    );
    site.write("bootwright.toml", &config);
    let root = fs::canonicalize(site.path()).unwrap();
    let around = root.parent().unwrap();
    for directory in ["state/attempts", "site/own/sub", "other", "state-2"] {
        fs::create_dir_all(around.join(directory)).unwrap();
    }
    symlink("/", root.join("everything")).unwrap();
    symlink("../../state", root.join("own/link")).unwrap();
    let (secrets, state) = (root.join("secrets"), around.join("state"));
    let part = |name: &str| root.join(name);
    let cases: [(&str, &str, &str, &Path); 15] = [
        ("/", "contains", "the secrets directory", &secrets),
        ("everything", "contains", "the secrets directory", &secrets),
        (".", "contains", "the secrets directory", &secrets),
        ("..", "contains", "the secrets directory", &secrets),
        ("own/../..", "contains", "the secrets directory", &secrets),
        ("secrets", "is in", "the secrets directory", &secrets),
        (
            "secrets/deep/er",
            "is in",
            "the secrets directory",
            &secrets,
        ),
        ("../state", "is in", "the state directory", &state),
        ("own/link", "is in", "the state directory", &state),
        ("../state/attempts", "is in", "the state directory", &state),
        ("../state/none", "is in", "the state directory", &state),
        ("none/../../state", "is in", "the state directory", &state),
        ("policies.d/nodes", "is in", "the site", &part("policies.d")),
        ("templates", "is in", "the site", &part("templates")),
        (".git/objects", "is in", "the site", &part(".git")),
    ];
    for (path, relation, what, protected) in cases {
        let expected = format!(
            "the directory of repo `x` {relation} {what}, `{}`, which machines may not read",
            protected.display()
        );
        assert_eq!(errors(&site, path), [expected], "{path}");
    }
    for path in [
        "own",
        "own/sub",
        "../other",
        "../state-2",
        "none",
        "policies.d-2",
    ] {
        assert_eq!(errors(&site, path), [""; 0], "{path}");
    }
}
