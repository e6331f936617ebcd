//! A site with fifteen mistakes: all of them are reported at their places, and nothing else.

use std::{fs, path::Path};

use bootwright::site::{ReportStyle, report};

use crate::support::loading::{found, load};

/// Reads every file below a directory, as `path relative to root, text`.
fn read(root: &Path, directory: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).expect("the fixture is there") {
        let path = entry.expect("a directory can be listed").path();
        if path.is_dir() {
            read(root, &path, files);
        } else {
            let name = path.strip_prefix(root).expect("it lies below the root");
            let name = name.to_str().expect("fixtures have plain names");
            files.push((
                name.into(),
                fs::read_to_string(&path).expect("fixtures are text"),
            ));
        }
    }
}

const MISTAKES: [&str; 15] = [
    "policies.d/networks.toml:5:11 error: gateway 192.0.3.1 is outside network `lab`",
    "policies.d/networks.toml:19:9 error: `1 fortnight` is not a span of time: expected such as `90s`, `30m`, `1h30m`, `2d`",
    "policies.d/nodes/databases.toml:3:8 error: there is no repo `roky`",
    "policies.d/nodes/databases.toml:4:64 error: bond `bond0` uses `52:54:00:00:00:03`, but node `db1` has no such link",
    "policies.d/nodes/databases.toml:8:7 error: MAC 52:54:00:00:00:02 is used twice",
    "policies.d/nodes/databases.toml:10:11 error: address 192.0.2.150 is in `taken` of network `lab` (192.0.2.100-192.0.2.199)",
    "policies.d/nodes/databases.toml:15:11 error: address 192.0.22.23 is in no network of the site",
    "policies.d/nodes/esx02.kdl:4:13 error: address 192.0.2.11 is used twice",
    "policies.d/nodes/esx02.kdl:5:14 error: host name `esx01.lab.example` is used twice",
    "policies.d/nodes/esx03.toml:2:7 error: `00:50:56:aa:bb:0g` is not a MAC address: expected six hexadecimal pairs such as `00:50:56:aa:bb:01`",
    "policies.d/nodes/esx03.toml:5:1 error: unknown key `hostnme`",
    "policies.d/policies.kdl:8:27 error: `url` cannot be set together with `path`",
    "policies.d/policies.kdl:13:16 error: tag `bgi` is neither defined nor carried by any node",
    "policies.d/policies.kdl:19:12 error: policy `spare` accepts every machine that boots from the network",
    "policies.d/policies.kdl:26:15 error: expected a whole number, found text",
];

/// The displayed report of one of them.
const DUPLICATE: &str = r#"error: address 192.0.2.11 is used twice
 --> policies.d/nodes/esx02.kdl:4:13
  |
4 |     address "192.0.2.11"
  |             ^^^^^^^^^^^^ esx02
  |
 ::: policies.d/nodes/esx01.kdl:4:13
  |
4 |     address "192.0.2.11"
  |             ------------ esx01 has it
  |
  = help: free in network lab: 192.0.2.1, 192.0.2.10, ..."#;

#[test]
fn all_fifteen_errors_are_found_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/fifteen-mistakes");
    let mut files = Vec::new();
    read(&root, &root, &mut files);
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let (site, diagnostics) = load(&files);
    assert_eq!(found(&site, &diagnostics), MISTAKES);

    let style = ReportStyle {
        color: false,
        width: 100,
    };
    let report = report(&diagnostics, &site.sources, style);
    let duplicate = report
        .split("\n\n")
        .find(|part| part.contains("address 192.0.2.11"));
    assert_eq!(duplicate.unwrap(), DUPLICATE);
}
