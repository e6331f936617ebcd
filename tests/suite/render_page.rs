//! Compares the manual's page on templates with the values of templates.

use std::collections::BTreeSet;

use crate::support::rendering::rendering;

const PAGE: &str = include_str!("../../src/manual/templates.md");

const SITE: &str = r#"
[network.lab]
subnet = "192.0.2.0/24"
[repo.r]
url = "http://mirror.example/r"
vars = { mirror = "http://mirror.example/m" }
[node.n1]
mac = "52:54:00:00:00:01"
address = "192.0.2.11"
repo = "r"
task = "mine"
"#;

/// Writes the keys of every table that a template can use.
const KEYS: &str = "{% for name, table in {'node': node, 'net': net, 'disk': disk, 'settings': settings, 'repo': repo, 'task': task} | items %}
{% for key in table %}
{{ name }}.{{ key }}
{% endfor %}
{% endfor %}
";

#[test]
fn the_page_names_all_template_variables() {
    let task = "network = \"netcfg\"\n[[layout]]\nname = \"x\"\n[[file]]\nname = \"keys\"\ntemplate = \"keys.j2\"\n";
    let rendering = rendering(
        SITE,
        &[
            ("templates/tasks/mine/task.toml", task),
            ("templates/tasks/mine/keys.j2", KEYS),
        ],
    );
    assert_eq!(rendering.shown(&rendering.found), Vec::<String>::new());
    let text = rendering.text("n1", "keys");
    let there: BTreeSet<&str> = text.lines().collect();
    assert!(there.len() > 40, "{there:?}");
    let tables = ["node", "net", "disk", "settings", "repo", "task"];
    let section = PAGE
        .split("## Values")
        .nth(1)
        .unwrap()
        .split("## Functions")
        .next()
        .unwrap();
    let named: BTreeSet<&str> = section
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| {
            word.split_once('.').is_some_and(|(table, key)| {
                tables.contains(&table)
                    && key
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            })
        })
        .filter(|word| *word != "task.toml")
        .collect();
    let missing: Vec<_> = there
        .iter()
        .filter(|key| !named.contains(*key) && **key != "repo.files")
        .collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");
    let gone: Vec<_> = named.difference(&there).collect();
    assert!(gone.is_empty(), "only on the page: {gone:?}");
}

#[test]
fn every_documented_filter_exists() {
    let section = PAGE
        .split("## Filters")
        .nth(1)
        .unwrap()
        .split("## Rules")
        .next()
        .unwrap();
    let names: BTreeSet<&str> = section
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase()))
        .filter(|word| *word != "quoting")
        .collect();
    assert!(names.len() > 12, "{names:?}");
    for name in names {
        let template = format!("{{{{ 'x' | {name} }}}}");
        let task = "[[file]]\nname = \"a\"\ntemplate = \"a.j2\"\nquoting = \"shell\"\n";
        let files = [
            ("templates/tasks/mine/task.toml", task),
            ("templates/tasks/mine/a.j2", &*template),
        ];
        let rendering = rendering(SITE, &files);
        assert_eq!(
            rendering.shown(&rendering.found),
            Vec::<String>::new(),
            "{name}"
        );
    }
}
