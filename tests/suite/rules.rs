//! Declarations that do not fit together, each at its place.
//!
//! The cases are data: every file under `tests/fixtures/rules` is a small site that is sound, then cases that
//! each add something to it, headed `#### what is wrong`. Where a mistake is expected, its line ends in
//! `#~ <column> <severity>: <message>`, once for each. Nothing else may be found.

use std::{fs, path::Path};

use bootwright::site::{self, Diagnostic, LoadCache, Severity, Site, SiteFiles};

/// Loads a site that consists of these files.
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

/// Writes where each mistake is, and which: `a.toml:3:11 error: message`.
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

/// Reads what a case expects from the ends of its lines.
fn expected(path: &str, case: &str) -> Vec<String> {
    let lines = case.lines().enumerate();
    lines
        .flat_map(|(at, line)| {
            line.split("#~ ")
                .skip(1)
                .map(move |end| (at + 1, end.trim()))
        })
        .map(|(line, end)| format!("{path}:{line}:{end}"))
        .collect()
}

#[test]
fn every_mistake_is_found_at_its_place_and_nothing_else() {
    let mut cases = 0;
    let mut wrong = Vec::new();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rules");
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let mut parts = text.split("#### ");
        let base = parts.next().unwrap();
        for case in [""].into_iter().chain(parts) {
            let case = format!("# {case}");
            let (site, diagnostics) = load(&[
                ("policies.d/base.toml", base),
                ("policies.d/case.toml", &case),
            ]);
            let found = found(&site, &diagnostics);
            if found != expected("policies.d/case.toml", &case) {
                wrong.push(format!("{}: {case}{found:#?}", path.display()));
            }
            cases += 1;
        }
    }
    assert!(cases > 50, "{cases}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_follows_from_a_file_that_does_not_parse_is_not_reported() {
    let node = r#"
[node.a]
mac = "52:54:00:00:00:01"
policy = "esxi"
address = "192.0.2.11"
network = "lab"

[node.b]
mac = "52:54:00:00:00:02"
address = "192.0.2.12"
repo = "rocky"

[policy.web]
tags = "web"
task = "local"
"#;
    let (site, diagnostics) = load(&[
        ("policies.d/node.toml", node),
        ("policies.d/site.toml", "[network.lab\nsubnet = 1"),
    ]);
    let found = found(&site, &diagnostics);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].starts_with("policies.d/site.toml:1:"),
        "{found:#?}"
    );
}
