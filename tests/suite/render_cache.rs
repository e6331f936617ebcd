//! Unchanged templates are not compiled again, and only machines that use a changed template are rendered again.

use std::{collections::BTreeMap, sync::Arc};

use bootwright::{
    render::{self, Fingerprint, Library},
    site::{self, LoadCache, SiteFiles},
};

use crate::support::rendering::{Rendering, SITE, rendering};

fn fingerprints(rendering: &Rendering) -> BTreeMap<String, Fingerprint> {
    let nodes = rendering.site.nodes.keys();
    nodes
        .map(|node| {
            (
                node.to_string(),
                rendering.with(node.as_str(), |job| {
                    job.library.fingerprint_for(job.resolved)
                }),
            )
        })
        .collect()
}

/// The site again, with one more file.
fn changed(before: &Rendering, path: &str, text: &str) -> Rendering {
    let mut files: SiteFiles = before.files.clone();
    files.content.insert(path.into(), text.as_bytes().into());
    let (site, found) = site::load(&files, &mut LoadCache::default());
    assert!(found.is_empty());
    let (library, found) = render::compile(&site, &files, Some(&before.library));
    assert!(found.is_empty(), "{found:?}");
    Rendering {
        site,
        files,
        library,
        external: before.external.clone(),
        arch: before.arch,
        found,
    }
}

fn unchanged_tasks(before: &Library, after: &Library) -> Vec<String> {
    let same = |task: &&Arc<render::Task>| {
        before
            .task(&task.name)
            .is_some_and(|known| Arc::ptr_eq(known, task))
    };
    after
        .tasks()
        .filter(same)
        .map(|task| task.name.to_string())
        .collect()
}

#[test]
fn only_nodes_that_use_a_changed_template_are_rendered_again() {
    let before = rendering(SITE, &[]);
    let known = fingerprints(&before);
    for (path, text, tasks, nodes) in [
        (
            "policies.d/more.toml",
            "# nothing",
            &["debian", "discover", "esxi", "image", "local", "redhat"][..],
            "",
        ),
        (
            "templates/tasks/redhat/boot.ipxe.j2",
            "#!ipxe\nexit\n",
            &["debian", "discover", "esxi", "image", "local"],
            "rocky",
        ),
        (
            "templates/common/tell.j2",
            "{% macro curl() %}{% endmacro %}{% macro wget() %}{% endmacro %}{% macro busybox() %}{% endmacro %}{% macro any() %}{% endmacro %}",
            &["discover", "local"],
            "rocky debian esx image",
        ),
        (
            "templates/first-boot/tune.sh",
            "true\n",
            &["debian", "discover", "esxi", "image", "local", "redhat"],
            "rocky-vlan esx-vlan image-bond",
        ),
        (
            "templates/ipxe/disk.ipxe.j2",
            "exit\n",
            &["debian", "esxi", "image", "redhat"],
            "seen own-disk",
        ),
    ] {
        let after = changed(&before, path, text);
        assert_eq!(
            unchanged_tasks(&before.library, &after.library),
            tasks,
            "{path}"
        );
        for (node, fingerprint) in fingerprints(&after) {
            let concerned = nodes
                .split_whitespace()
                .any(|start| node.starts_with(start));
            assert_eq!(known[&node] != fingerprint, concerned, "{path}, {node}");
        }
    }
}

#[test]
fn errors_are_reported_again_when_nothing_changed() {
    let before = rendering(
        SITE,
        &[("templates/tasks/redhat/boot.ipxe.j2", "{{ 1 + }}")],
    );
    let (again, found) = render::compile(&before.site, &before.files, Some(&before.library));
    assert_eq!(found, before.found);
    assert_eq!(unchanged_tasks(&before.library, &again).len(), 6);
}
