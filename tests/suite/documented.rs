//! Holds the README to the code: every key of every object, every dependency, every link.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use bootwright::{
    control::Signature,
    model::{
        Bond, Bridge, Deadlines, DhcpConfig, Disk, HookBody, HttpConfig, Interface, LimitsConfig,
        NetworkBody, NodeBody, OperatorConfig, PathsConfig, RepoBody, Route, Rule, RunConfig,
        ServerConfig, Settings, TagBody, TftpConfig, User, Vlan,
    },
    site::fields_of,
};

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The names in backticks in the first column of the tables of `text`.
fn first_column(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect()
}

/// The part of `text` below the heading `title` and above the next one like it.
fn section<'t>(text: &'t str, level: &str, title: &str) -> &'t str {
    let heading = format!("\n{level} {title}\n");
    let start = text
        .find(&heading)
        .unwrap_or_else(|| panic!("the README has no heading `{level} {title}`"))
        + heading.len();
    let rest = &text[start..];
    // A heading of the same level, or of the level above.
    let ends = [
        rest.find(&format!("\n{level} ")),
        rest.find(&format!("\n{} ", &level[1..])),
    ];
    &rest[..ends.into_iter().flatten().min().unwrap_or(rest.len())]
}

#[test]
fn every_key_is_documented_and_every_documented_key_exists() {
    let objects: [(&str, &[&str]); 24] = [
        ("defaults", fields_of::<Settings>()),
        ("repo", fields_of::<RepoBody>()),
        ("network", fields_of::<NetworkBody>()),
        ("tag", fields_of::<TagBody>()),
        ("policy", fields_of::<Rule>()),
        ("node", fields_of::<NodeBody>()),
        ("interface", fields_of::<Interface>()),
        ("bond", fields_of::<Bond>()),
        ("vlan", fields_of::<Vlan>()),
        ("bridge", fields_of::<Bridge>()),
        ("route", fields_of::<Route>()),
        ("disk", fields_of::<Disk>()),
        ("user", fields_of::<User>()),
        ("deadlines", fields_of::<Deadlines>()),
        // Every other key of a broker is a setting of its kind.
        ("broker", &["kind"]),
        ("hook", fields_of::<HookBody>()),
        ("bootwright.toml", fields_of::<ServerConfig>()),
        ("[http]", fields_of::<HttpConfig>()),
        ("[operator]", fields_of::<OperatorConfig>()),
        ("[dhcp]", fields_of::<DhcpConfig>()),
        ("[tftp]", fields_of::<TftpConfig>()),
        ("[paths]", fields_of::<PathsConfig>()),
        ("[limits]", fields_of::<LimitsConfig>()),
        ("[run]", fields_of::<RunConfig>()),
    ];
    let readme = readme();
    let reference = section(&readme, "##", "Configuration");
    for (object, fields) in objects {
        let documented = first_column(section(reference, "###", object));
        let fields: BTreeSet<&str> = fields.iter().copied().collect();
        assert_eq!(documented, fields, "`### {object}` and the code");
    }
    let headings = reference.matches("\n### ").count();
    assert_eq!(headings, objects.len(), "no object is documented in vain");
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let names = |table: &str| -> BTreeSet<&str> {
        let table = manifest[table].as_table().unwrap();
        table.keys().map(String::as_str).collect()
    };
    let readme = readme();
    let (used, tests) = section(&readme, "##", "Dependencies")
        .split_once("\nIn tests alone")
        .unwrap();
    assert_eq!(first_column(used), names("dependencies"));
    for name in names("dev-dependencies") {
        assert!(tests.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn every_sentence_of_a_boot_that_stops_is_listed_in_its_order() {
    let rows: Vec<String> = Signature::examples()
        .iter()
        .map(|signature| format!("| {} | {} |", signature.what(), signature.remedy()))
        .collect();
    let readme = readme();
    let listed = section(&readme, "##", "When nothing happens").lines();
    let listed: Vec<&str> = listed
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .collect();
    assert_eq!(listed, rows);
}

/// The text of every link target in `text`: what stands in `](…)`.
fn links(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .collect()
}

/// The anchors of the headings of `text`, as code hosts make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    text.lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' '))
        .map(|title| {
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_');
            let anchor: String = kept.collect::<String>().to_lowercase().replace(' ', "-");
            let before = seen.entry(anchor.clone()).or_default();
            *before += 1;
            match *before {
                1 => anchor,
                more => format!("{anchor}-{}", more - 1),
            }
        })
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let examples = fs::read_dir(root.join("examples")).unwrap();
    let mut documents: Vec<_> = examples
        .map(|entry| entry.unwrap().path().join("README.md"))
        .collect();
    documents.push(root.join("README.md"));
    let mut count = 0;
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for link in links(&text) {
            count += 1;
            let found = match link.split_once('#') {
                Some(("", anchor)) => anchors(&text).contains(anchor),
                _ if link.starts_with("https://") => true,
                _ => document.with_file_name(link).exists(),
            };
            assert!(found, "{}: {link}", document.display());
        }
    }
    assert!(count > 20, "the READMEs have links");
}
