//! Inconsistent declarations, each reported at its place.
//!
//! The cases are data: every file under `tests/fixtures/rules` has a small valid site, then cases that each add
//! something to it, headed `#### what is wrong`. A line with an expected mistake ends in `#~ <column> <severity>:
//! <message>`, once for each. No other diagnostic may be reported.

use std::{fs, path::Path};

use crate::support::loading::{found, load};

/// Reads the expected diagnostics of a case from the ends of its lines.
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
fn every_error_is_found_at_its_position_and_no_other() {
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
fn errors_caused_by_a_file_that_does_not_parse_are_not_reported() {
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
