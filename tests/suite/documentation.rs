//! Compares the README and the manual with the code: every key of every object, every dependency, every link.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use bootwright::{
    control::Diagnosis,
    model::{
        self, Bond, Bridge, Deadlines, DhcpConfig, DhcpOptionSetting, DiskSelector, HookBody,
        HttpConfig, IdentityConfig, Interface, JournalConfig, LimitsConfig, NetworkBody, NodeBody,
        OperatorConfig, PathsConfig, Repo, RepoBody, Route, Rule, RunConfig, ServerConfig,
        Settings, TagBody, TftpConfig, TimeSpan, User, Vlan,
    },
    site::{self, Diagnostic, LoadCache, Site, SiteFiles, fields_of},
};

use crate::support::loading::found;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of one page of the manual.
fn page(topic: &str) -> String {
    let path = root().join(format!("src/manual/{topic}.md"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The README, every page of the manual, and the README of every example and of the templates.
fn documents() -> Vec<PathBuf> {
    let below = |folder: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let mut documents = vec![root().join("README.md"), root().join("templates/README.md")];
    documents.extend(below("src/manual"));
    let examples = below("examples").into_iter();
    documents.extend(examples.map(|example| example.join("README.md")));
    documents.sort();
    documents
}

/// The names in backticks in the first column of the tables of `text`.
fn first_column(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect()
}

/// The part of `text` below the heading `title` up to the next heading of its level.
fn section<'t>(text: &'t str, level: &str, title: &str) -> &'t str {
    let heading = format!("\n{level} {title}\n");
    let start = text
        .find(&heading)
        .unwrap_or_else(|| panic!("there is no heading `{level} {title}`"))
        + heading.len();
    let rest = &text[start..];
    // A heading of the same level, or of the level above.
    let ends = [
        rest.find(&format!("\n{level} ")),
        rest.find(&format!("\n{} ", &level[1..])),
    ];
    &rest[..ends.into_iter().flatten().min().unwrap_or(rest.len())]
}

/// The heading of the keys that several objects have.
const COMMON_KEYS: &str = "Common keys";

/// The headings of the page that are not objects.
const PROSE: [&str; 8] = [
    "Files",
    "TOML and KDL",
    "Types of values",
    "Precedence",
    "Time zones, locales and keyboards",
    COMMON_KEYS,
    "Gateways outside of the subnet",
    "Options of a bond",
];

/// The objects with all common keys. A node has some of them, for the NIC that it boots from.
const LINKS: [&str; 4] = ["interface", "bond", "vlan", "bridge"];

#[test]
fn every_key_is_documented_and_every_documented_key_exists() {
    let objects: [(&str, &[&str]); 27] = [
        ("defaults", fields_of::<Settings>()),
        ("repo", fields_of::<RepoBody>()),
        ("network", fields_of::<NetworkBody>()),
        ("option", fields_of::<DhcpOptionSetting>()),
        ("tag", fields_of::<TagBody>()),
        ("policy", fields_of::<Rule>()),
        ("node", fields_of::<NodeBody>()),
        ("interface", fields_of::<Interface>()),
        ("bond", fields_of::<Bond>()),
        ("vlan", fields_of::<Vlan>()),
        ("bridge", fields_of::<Bridge>()),
        ("route", fields_of::<Route>()),
        ("disk", fields_of::<DiskSelector>()),
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
        ("[identity]", fields_of::<IdentityConfig>()),
        ("[limits]", fields_of::<LimitsConfig>()),
        ("[journal]", fields_of::<JournalConfig>()),
        ("[run]", fields_of::<RunConfig>()),
    ];
    let reference = page("configuration");
    let common = first_column(section(&reference, "##", COMMON_KEYS));
    for (object, fields) in objects {
        let mut documented = first_column(section(&reference, "##", object));
        let fields: BTreeSet<&str> = fields.iter().copied().collect();
        if LINKS.contains(&object) {
            assert!(common.is_subset(&fields), "`## {COMMON_KEYS}`: {object}");
        }
        if LINKS.contains(&object) || object == "node" {
            for key in common.intersection(&fields) {
                assert!(documented.insert(key), "`{key}` of {object} stands twice");
            }
        }
        assert_eq!(documented, fields, "`## {object}` and the code");
    }
    let headings = reference
        .lines()
        .filter_map(|line| line.strip_prefix("## "));
    let others: Vec<&str> = headings
        .filter(|heading| !objects.iter().any(|(object, _)| object == heading))
        .collect();
    assert_eq!(others, PROSE, "no other object is documented");
}

/// The defaults that no table of the code has.
const OTHER_DEFAULTS: [(&str, &str); 5] = [
    // Booleans that are not optional.
    ("disk", "smallest"),
    ("disk", "largest"),
    ("disk", "wipe"),
    // Unset is not the same as set to this: if the port is in use, the server starts without it.
    ("[http]", "listen"),
    ("[tftp]", "listen"),
];

#[test]
fn the_documented_defaults_are_those_of_the_code() {
    let defaults = model::defaults();
    let in_code: BTreeSet<(&str, &str)> = defaults.iter().map(|(h, key, _)| (*h, *key)).collect();
    let reference = page("configuration");
    let mut documented = BTreeMap::new();
    for part in reference.split("\n## ").skip(1) {
        let (heading, text) = part.split_once('\n').unwrap();
        for row in text.lines().filter_map(|line| line.strip_prefix("| `")) {
            let (key, cells) = row.split_once("` |").unwrap();
            let cells = cells.replace("\\|", "/");
            let default = cells.split('|').nth(1).unwrap().trim().replace('`', "");
            let value: serde_json::Value = match serde_json::from_str(&default) {
                Ok(value) => value,
                Err(_) if in_code.contains(&(heading, key)) => default.into(),
                // Prose, or nothing.
                Err(_) => continue,
            };
            let span = value.as_str().and_then(|text| text.parse().ok());
            let value = span.map_or(value, |span: TimeSpan| serde_json::json!(span));
            documented.insert((heading, key), value);
        }
    }
    for other in OTHER_DEFAULTS {
        assert!(documented.remove(&other).is_some(), "{other:?}");
    }
    let in_code = defaults.into_iter();
    let in_code: BTreeMap<_, _> = in_code.map(|(h, key, value)| ((h, key), value)).collect();
    assert_eq!(documented, in_code);
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let names = |table: &str| -> BTreeSet<&str> {
        let table = manifest[table].as_table().unwrap();
        table.keys().map(String::as_str).collect()
    };
    let page = page("dependencies");
    let (used, tests) = page.split_once("\nOnly in tests").unwrap();
    assert_eq!(first_column(used), names("dependencies"));
    for name in names("dev-dependencies") {
        assert!(tests.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn every_sentence_of_a_boot_that_stops_is_listed_in_its_order() {
    let rows: Vec<String> = Diagnosis::examples()
        .iter()
        .map(|diagnosis| format!("| {} | {} |", diagnosis.what(), diagnosis.remedy()))
        .collect();
    let page = page("troubleshooting");
    let listed = section(&page, "##", "When nothing happens").lines();
    let listed: Vec<&str> = listed
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .collect();
    assert_eq!(listed, rows);
}

/// The blocks of code of `text`, each with its language.
fn code_blocks(text: &str) -> Vec<(&str, String)> {
    let mut blocks: Vec<(&str, String)> = Vec::new();
    let mut is_open = false;
    for line in text.lines() {
        // A block may belong to an item of a list.
        let trimmed = line.trim_start();
        if let Some(language) = trimmed.strip_prefix("```") {
            if !is_open {
                blocks.push((language, String::new()));
            }
            is_open = !is_open;
        } else if is_open {
            let (_, block) = blocks.last_mut().unwrap();
            *block += trimmed;
            *block += "\n";
        }
    }
    blocks
}

/// Whether a block is part of `bootwright.toml`.
fn is_server_config(block: &str) -> bool {
    let tables = [
        "http", "operator", "dhcp", "tftp", "paths", "limits", "journal", "run",
    ];
    let mut lines = block.lines();
    let starts = tables.map(|table| format!("[{table}]"));
    lines.any(|line| line.starts_with("site-id =") || starts.iter().any(|start| start == line))
}

/// Loads a site of these files. The task of a repo follows from its path, since its files do not exist.
fn load_blocks(files: &[(String, String)]) -> (Site, Vec<Diagnostic>) {
    let content = files
        .iter()
        .map(|(path, text)| (path.as_str().into(), text.as_bytes().into()));
    let files = SiteFiles {
        content: content.collect(),
        ..SiteFiles::default()
    };
    let detect = |_: &Site, repo: &Repo| {
        let (iso, path) = (repo.body.iso.as_ref(), repo.body.path.as_ref());
        let path = &iso.or(path)?.value;
        let tasks = [
            ("Rocky", "redhat"),
            ("ESXi", "esxi"),
            ("debian-installer", "debian"),
        ];
        let task = tasks.iter().find(|(vendor, _)| path.contains(vendor))?;
        task.1.parse().ok()
    };
    site::load_detecting(&files, &mut LoadCache::default(), detect)
}

/// The TOML and KDL blocks of one document are the files of one site.
#[test]
fn every_example_of_the_readme_and_the_manual_is_a_site_without_errors() {
    let mut count = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let blocks = code_blocks(&text).into_iter();
        let files: Vec<(String, String)> = blocks
            .filter(|(language, _)| ["toml", "kdl"].contains(language))
            .enumerate()
            .map(|(at, (language, block))| match is_server_config(&block) {
                true => ("bootwright.toml".into(), block),
                false => (format!("policies.d/block-{at}.{language}"), block),
            })
            .collect();
        count += files.len();
        let (site, diagnostics) = load_blocks(&files);
        let wrong: Vec<String> = found(&site, &diagnostics)
            .into_iter()
            // An example need not use everything that it declares.
            .filter(|wrong| !wrong.contains(" warning: nothing uses "))
            .collect();
        assert_eq!(wrong, Vec::<String>::new(), "{}", document.display());
    }
    assert!(count > 15, "there are examples");
}

/// The maximum line width that is easy to read in a terminal. Rows of tables, lines of code and links may be
/// longer.
const MAX_LINE_WIDTH: usize = 100;

#[test]
fn the_pages_of_the_manual_fit_a_terminal() {
    let mut wide = Vec::new();
    let in_manual = |document: &PathBuf| document.parent().unwrap().ends_with("src/manual");
    for document in documents().into_iter().filter(in_manual) {
        let text = fs::read_to_string(&document).unwrap();
        let mut is_code = false;
        for (number, line) in (1..).zip(text.lines()) {
            is_code ^= line.trim_start().starts_with("```");
            let is_free = is_code || line.starts_with('|') || line.starts_with("    ");
            if !is_free && line.chars().count() > MAX_LINE_WIDTH {
                wide.push(format!("{}:{number}", document.display()));
            }
        }
    }
    assert_eq!(
        wide,
        Vec::<String>::new(),
        "more than {MAX_LINE_WIDTH} columns"
    );
}

/// The text of every link target in `text`: the part in `](…)`.
fn links(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .collect()
}

/// The anchors of the headings of `text`, as code hosts generate them.
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
    let mut count = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in links(&text) {
            count += 1;
            if link.starts_with("https://") {
                continue;
            }
            let (path, anchor) = match link.split_once('#') {
                Some((path, anchor)) => (path, Some(anchor)),
                None => (link, None),
            };
            let target = match path {
                "" => document.clone(),
                path => document.with_file_name("").join(path),
            };
            assert!(target.exists(), "{}: {link}", document.display());
            if let Some(anchor) = anchor {
                let text = fs::read_to_string(&target).unwrap();
                assert!(
                    anchors(&text).contains(anchor),
                    "{}: {link}",
                    document.display()
                );
            }
        }
    }
    assert!(count > 40, "the documents have links");
}

#[test]
fn the_readme_links_every_page_of_the_manual() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let linked: BTreeSet<&str> = links(&readme)
        .into_iter()
        .filter_map(|link| link.strip_prefix("src/manual/"))
        .map(|link| link.split_once('#').map_or(link, |(page, _)| page))
        .collect();
    let pages = fs::read_dir(root().join("src/manual")).unwrap();
    let pages: BTreeSet<String> = pages
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(linked, pages.iter().map(String::as_str).collect());
}

/// Runs the program at the root of the repository, without a terminal. Returns its exit code, its output and its
/// errors.
fn bootwright(arguments: &[&str]) -> (Option<i32>, String, String) {
    let state = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bootwright"))
        .args(arguments)
        .current_dir(root())
        .env_remove("BOOTWRIGHT_SITE")
        .env("XDG_STATE_HOME", state.path())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn the_program_lists_shows_and_searches_its_manual() {
    let (code, list, _) = bootwright(&["manual"]);
    assert_eq!(code, Some(0));
    for entry in fs::read_dir(root().join("src/manual")).unwrap() {
        let path = entry.unwrap().path();
        let topic = path.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let title = text.lines().next().unwrap().trim_start_matches("# ");
        let mut lines = list.lines();
        assert!(
            lines.any(|line| line.starts_with(topic) && line.ends_with(title)),
            "{topic}: {list}"
        );
        assert_eq!(
            bootwright(&["manual", topic]),
            (Some(0), text, String::new())
        );
    }
    let (code, hits, _) = bootwright(&["manual", "--search", "SNPONLY.EFI", "tftp"]);
    assert_eq!(code, Some(0));
    assert!(
        hits.contains("networks: Boot files\n    | UEFI x64 | `snponly.efi` over TFTP"),
        "{hits}"
    );
    for (arguments, expected) in [
        (&["manual", "networs"][..], (1, "did you mean `networks`?")),
        (
            &["manual", "zzzzzz"],
            (1, "`bootwright manual` lists the topics"),
        ),
        (
            &["manual", "--search", "zzzzzz"],
            (1, "no paragraph of the manual contains `zzzzzz`"),
        ),
        (
            &["manual", "--search"],
            (2, "a value is required for '--search <WORDS>...'"),
        ),
    ] {
        let (code, out, error) = bootwright(arguments);
        assert_eq!(
            (code, out.as_str()),
            (Some(expected.0), ""),
            "{arguments:?}"
        );
        assert!(error.contains(expected.1), "{arguments:?}: {error}");
    }
}

/// Replaces times, sizes and revisions by `N`: they differ between runs.
fn without_numbers(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let differs = |at: usize| {
        let word = words[at].trim_start_matches('(');
        let is_number = word.starts_with(|c: char| c.is_ascii_digit());
        let unit = words.get(at + 1).map(|unit| unit.trim_end_matches(')'));
        let is_size = is_number && unit.is_some_and(|unit| unit == "B" || unit == "kB");
        let is_moment = is_number && at < 2 && word.len() > 9;
        is_size || is_moment || at > 0 && words[at - 1] == "revision"
    };
    let shown = (0..words.len()).map(|at| if differs(at) { "N" } else { words[at] });
    shown.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_recording_in_the_readme_is_what_the_program_prints() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = code_blocks(&readme);
    let recordings = blocks.iter().filter(|(language, _)| *language == "console");
    let [(_, recording)] = recordings.collect::<Vec<_>>()[..] else {
        panic!("the README has one recording");
    };
    let (command, expected) = recording.split_once('\n').unwrap();
    let arguments = command.strip_prefix("$ bootwright ").unwrap().split(' ');
    let (code, printed, _) = bootwright(&arguments.collect::<Vec<_>>());
    assert_eq!(code, Some(0));
    let lines = |text: &str| text.lines().map(without_numbers).collect::<Vec<_>>();
    assert_eq!(lines(expected), lines(&printed));
}
