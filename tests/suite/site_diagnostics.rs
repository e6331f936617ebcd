//! Reports on invalid input, in full, as they are displayed.

use bootwright::site::{self, LoadCache, ReportStyle, Site, SiteFiles};
use proptest::prelude::*;

const PLAIN: ReportStyle = ReportStyle {
    color: false,
    width: 140,
};

fn files(list: &[(&str, &[u8])]) -> SiteFiles {
    let content = list
        .iter()
        .map(|(path, bytes)| ((*path).into(), (*bytes).into()));
    SiteFiles {
        content: content.collect(),
        ..SiteFiles::default()
    }
}

/// Loads files and returns the site with the report on it.
fn report(list: &[(&str, &[u8])]) -> (Site, String) {
    let (site, diagnostics) = site::load(&files(list), &mut LoadCache::default());
    let report = site::report(&diagnostics, &site.sources, PLAIN);
    (site, report)
}

/// The first lines of each diagnostic: the message and the place.
fn lines(list: &[(&str, &[u8])]) -> Vec<String> {
    let (site, diagnostics) = site::load(&files(list), &mut LoadCache::default());
    let line = |diagnostic: &site::Diagnostic| {
        let (source, line, column) = site.sources.position(diagnostic.span.unwrap()).unwrap();
        format!("{}:{line}:{column} {}", source.path, diagnostic.message)
    };
    diagnostics.iter().map(line).collect()
}

#[test]
fn each_error_has_its_own_report() {
    let cases: [(&str, &str, &str); 18] = [
        (
            "policies.d/a.toml",
            "[node.a]\nhostnme = \"x\"\n",
            r#"
error: unknown key `hostnme`
 --> policies.d/a.toml:2:1
  |
2 | hostnme = "x"
  | ^^^^^^^
  |
  = help: did you mean `hostname`?
"#,
        ),
        (
            "policies.d/a.kdl",
            "node \"a\" {\n\thostnme \"x\"\n}\n",
            r#"
error: unknown key `hostnme`
 --> policies.d/a.kdl:2:2
  |
2 |     hostnme "x"
  |     ^^^^^^^
  |
  = help: did you mean `hostname`?
"#,
        ),
        (
            "policies.d/a.toml",
            "[policy.a]\norder = \"10\"\n",
            r#"
error: expected a whole number, found text
 --> policies.d/a.toml:2:9
  |
2 | order = "10"
  |         ^^^^
  |
  = help: write it without quotes
"#,
        ),
        (
            "policies.d/a.toml",
            "[node.a]\nmac = [\"00:50:56:aa:bb:01\", \"00:50:56:aa:bb\"]\n",
            r#"
error: `00:50:56:aa:bb` is not a MAC address: expected six hexadecimal pairs such as `00:50:56:aa:bb:01`
 --> policies.d/a.toml:2:29
  |
2 | mac = ["00:50:56:aa:bb:01", "00:50:56:aa:bb"]
  |                             ^^^^^^^^^^^^^^^^
"#,
        ),
        (
            "policies.d/a.kdl",
            "network \"n\" subnet=\"192.0.2.1/24\"",
            r#"
error: `192.0.2.1/24` has bits set beyond its prefix: the subnet is `192.0.2.0/24`
 --> policies.d/a.kdl:1:20
  |
1 | network "n" subnet="192.0.2.1/24"
  |                    ^^^^^^^^^^^^^^
"#,
        ),
        (
            "policies.d/a.toml",
            "[node.\"a b\"]\n",
            r#"
error: `a b` is not a name: expected letters, digits, `-`, `_` and `.`, beginning with a letter or digit, at most 128
 --> policies.d/a.toml:1:7
  |
1 | [node."a b"]
  |       ^^^^^
"#,
        ),
        (
            "policies.d/a.toml",
            "[policy.a]\norder = 1\norder = 2\n",
            r#"
error: `order` is set twice
 --> policies.d/a.toml:3:1
  |
2 | order = 1
  | ----- first here
3 | order = 2
  | ^^^^^
  |
  = help: keep one of the two
"#,
        ),
        (
            "policies.d/a.toml",
            "[policy.a]\norder = 1\n\n[node.b]\n\n[policy.a]\n",
            r#"
error: `a` is set twice
 --> policies.d/a.toml:6:9
  |
1 | [policy.a]
  |         - first here
...
6 | [policy.a]
  |         ^
  |
  = help: keep one of the two
"#,
        ),
        (
            "policies.d/a.toml",
            "[node.a]\naddress = \"192.0.2.1\"\ninterface = { mac = \"00:50:56:aa:bb:01\" }\n",
            r#"
error: `interface` cannot be set together with `address`
 --> policies.d/a.toml:3:1
  |
2 | address = "192.0.2.1"
  | ------- set here
3 | interface = { mac = "00:50:56:aa:bb:01" }
  | ^^^^^^^^^
  |
  = help: these are two forms of one setting: keep one of the two
"#,
        ),
        (
            "policies.d/a.toml",
            "[defaults]\nroot-password-file = \"x\"\nroot-password-hash = \"swordfish\"\n",
            r#"
error: `root-password-hash` cannot be set together with `root-password-file`
 --> policies.d/a.toml:3:1
  |
2 | root-password-file = "x"
  | ------------------ set here
3 | root-password-hash = "*********"
  | ^^^^^^^^^^^^^^^^^^
  |
  = help: these are two forms of one setting: keep one of the two

error: this is not a password hash: expected such as `$6$salt$…` (make one with `openssl passwd -6`)
 --> policies.d/a.toml:3:22
  |
3 | root-password-hash = "*********"
  |                      ^^^^^^^^^^^
"#,
        ),
        (
            "policies.d/a.toml",
            "[repo.a]\ntask = \"esxi\"\n",
            r#"
error: repo `a` has no source
 --> policies.d/a.toml:1:7
  |
1 | [repo.a]
  |       ^
  |
  = help: set one of `iso`, `path` and `url`
"#,
        ),
        (
            "policies.d/a.toml",
            "[polcy.a]\n",
            r#"
error: unknown kind of object `polcy`
 --> policies.d/a.toml:1:2
  |
1 | [polcy.a]
  |  ^^^^^
  |
  = help: did you mean `policy`?
"#,
        ),
        (
            "policies.d/a.toml",
            "[policy]\norder = 1\nrepo = \"x\"\n",
            r#"
error: a policy needs a name
 --> policies.d/a.toml:1:2
  |
1 | [policy]
  |  ^^^^^^
  |
  = help: write `[policy.name]`
"#,
        ),
        (
            "policies.d/a.toml",
            "[defaults]\ntimezone = \"Europe/Berln\"\nkeyboard = \"de/nodeadkeys\"\n",
            r#"
error: `Europe/Berln` is not a time zone
 --> policies.d/a.toml:2:12
  |
2 | timezone = "Europe/Berln"
  |            ^^^^^^^^^^^^^^
  |
  = help: did you mean `Europe/Berlin`?

error: `de/nodeadkeys` is not a keyboard layout
 --> policies.d/a.toml:3:12
  |
3 | keyboard = "de/nodeadkeys"
  |            ^^^^^^^^^^^^^^^
  |
  = help: did you mean `de(nodeadkeys)`?
"#,
        ),
        (
            "policies.d/a.kdl",
            "defaults {\n    locale \"en_UK.UTF-8\"\n}\n",
            r#"
error: `en_UK.UTF-8` is not a locale
 --> policies.d/a.kdl:2:12
  |
2 |     locale "en_UK.UTF-8"
  |            ^^^^^^^^^^^^^
  |
  = help: did you mean `en_GB.UTF-8`?
"#,
        ),
        (
            "bootwright.toml",
            "[limits]\nconnections = \"many\"\n",
            r#"
error: expected a whole number, found text
 --> bootwright.toml:2:15
  |
2 | connections = "many"
  |               ^^^^^^
"#,
        ),
        (
            "bootwright.toml",
            "[journal]\nkeep = \"59m\"\nmax = \"1MB\"\n",
            r#"
error: `keep` is too small
 --> bootwright.toml:2:8
  |
2 | keep = "59m"
  |        ^^^^^
  |
  = help: set at least `1h`

error: `max` is too small
 --> bootwright.toml:3:7
  |
3 | max = "1MB"
  |       ^^^^^
  |
  = help: set at least `16MiB`
"#,
        ),
        (
            "bootwright.toml",
            "[tftp]\nports = \"50000-50255\"\n",
            r#"
error: `50000-50255` has 256 ports, which can be guessed: expected at least 1024
 --> bootwright.toml:2:9
  |
2 | ports = "50000-50255"
  |         ^^^^^^^^^^^^^
"#,
        ),
    ];
    for (path, text, expected) in cases {
        let (_, report) = report(&[(path, text.as_bytes())]);
        assert_eq!(report, expected.trim_start(), "{text}");
    }
}

#[test]
fn a_duplicate_name_is_shown_with_both_declarations() {
    let (site, report) = report(&[
        (
            "policies.d/nodes/esx01.kdl",
            b"node \"esx01\" {\n  installs 1\n  mac \"00:50:56:aa:bb:01\"\n}\n",
        ),
        (
            "policies.d/nodes/esx02.toml",
            b"[node.esx01]\ninstalls = 2\n",
        ),
    ]);
    assert_eq!(
        report,
        r#"
error: node `esx01` is declared twice
 --> policies.d/nodes/esx02.toml:1:7
  |
1 | [node.esx01]
  |       ^^^^^
  |
 ::: policies.d/nodes/esx01.kdl:1:6
  |
1 | node "esx01" {
  |      ------- first here
"#
        .trim_start()
    );
    // The first file in path order applies.
    assert_eq!(site.nodes["esx01"].body.installs.as_ref().unwrap().value, 1);
}

#[test]
fn every_error_of_a_file_is_reported() {
    let text = br#"
[node.a]
mac = ["00:50:56:aa:bb:0g", 7]
installs = -1
retries = "three"
colour = "red"
disk = { wipe = "yes", smalest = true }
user = { sudo = 1 }
routes = [{ to = "10.0.0.0/8" }]
ntp = [1, 2]

[hook.b]
on = 1

[node.c]
routes = { to = 1, via = "192.0.2.1" }
"#;
    assert_eq!(
        lines(&[("policies.d/a.toml", text)]),
        [
            "policies.d/a.toml:3:8 `00:50:56:aa:bb:0g` is not a MAC address: expected six hexadecimal pairs such as `00:50:56:aa:bb:01`",
            "policies.d/a.toml:3:29 expected text, found a number",
            "policies.d/a.toml:4:12 `-1` is out of range: expected a whole number from 0 to 4294967295",
            "policies.d/a.toml:5:11 expected a whole number, found text",
            "policies.d/a.toml:6:1 unknown key `colour`",
            "policies.d/a.toml:7:17 expected true or false, found text",
            "policies.d/a.toml:7:24 unknown key `smalest`",
            "policies.d/a.toml:8:1 the user has no name",
            "policies.d/a.toml:8:17 expected true or false, found a number",
            "policies.d/a.toml:9:11 the key `via` is missing",
            "policies.d/a.toml:10:8 expected text, found a number",
            "policies.d/a.toml:10:11 expected text, found a number",
            "policies.d/a.toml:12:7 the key `run` is missing",
            "policies.d/a.toml:13:6 expected text, found a number",
            "policies.d/a.toml:16:17 expected text, found a number",
        ]
    );
}

#[test]
fn a_file_that_does_not_parse_has_only_that_error() {
    let (site, diagnostics) = site::load(
        &files(&[
            ("policies.d/a.toml", b"[polcy.a]\nx = 192.0.2.1\nx = [\n"),
            (
                "policies.d/b.toml",
                b"[node.n]\nmac = \"00:50:56:aa:bb:01\"\n",
            ),
        ]),
        &mut LoadCache::default(),
    );
    let messages: Vec<&str> = diagnostics.iter().map(|one| &*one.message).collect();
    assert_eq!(
        messages,
        [
            "an address without quotes: `192.0.2.1`",
            "unclosed array, expected `]`"
        ]
    );
    assert_eq!(site.nodes.len(), 1);
    assert!(site.unread.may_declare(site::ObjectKind::Policy, "a"));
}

#[test]
fn errors_in_one_object_do_not_hide_those_in_another() {
    let (site, _) = site::load(
        &files(&[(
            "policies.d/a.toml",
            b"[hook.h]\non = 1\n[policy.p]\nordr = 1\n",
        )]),
        &mut LoadCache::default(),
    );
    assert!(site.policies.contains_key("p") && site.hooks.is_empty());
    assert!(site.unread.may_declare(site::ObjectKind::Hook, "h"));
    assert!(site.unread.may_declare(site::ObjectKind::Policy, "p"));
    assert!(!site.unread.may_declare(site::ObjectKind::Policy, "h"));
}

#[test]
fn invalid_utf8_is_shown_where_it_begins() {
    let (_, report) = report(&[("policies.d/a.toml", b"[node.a]\nserial = \"\xe9\"\n")]);
    assert_eq!(
        report,
        r#"
error: this is not UTF-8
 --> policies.d/a.toml:2:11
  |
2 | serial = "�"
  |           ^
  |
  = help: the file seems to be in another encoding: save it as UTF-8
"#
        .trim_start()
    );
}

#[test]
fn a_byte_order_mark_and_carriage_returns_do_not_shift_positions() {
    let text = "\u{feff}[node.a]\r\nserial = \"ü1\"\r\nmac = \"x\"\r\n";
    let (_, shown) = report(&[("policies.d/a.toml", text.as_bytes())]);
    assert_eq!(
        shown,
        r#"
error: `x` is not a MAC address: expected six hexadecimal pairs such as `00:50:56:aa:bb:01`
 --> policies.d/a.toml:3:7
  |
3 | mac = "x"
  |       ^^^
"#
        .trim_start()
    );
    let text = "\u{feff}node \"a\" {\r\n  serial \"ü1\"\r\n  mac \"x\"\r\n}\r\n";
    let path = "policies.d/a.kdl";
    assert!(lines(&[(path, text.as_bytes())])[0].starts_with("policies.d/a.kdl:3:7 `x`"));
}

#[test]
fn ten_thousand_nested_levels_are_one_diagnostic() {
    let deep = |part: &str| part.repeat(10_000);
    let cases = [
        ("a.toml", format!("x = {}", deep("["))),
        ("a.toml", deep("[")),
        ("a.toml", format!("x = {}", deep("{a = "))),
        ("a.toml", format!("{}a = 1", deep("a."))),
        ("a.toml", format!("[{}a]", deep("a."))),
        ("a.kdl", deep("a {\n")),
        ("a.kdl", deep("a { ")),
        ("a.kdl", deep("{")),
        ("a.kdl", format!("{}{}", deep("a { "), deep("} "))),
        ("a.kdl", deep("/* ")),
    ];
    for (name, text) in cases {
        let path = format!("policies.d/{name}");
        let lines = lines(&[(&path, text.as_bytes())]);
        let deep = |line: &String| line.contains("levels deep") || line.contains("too deep");
        assert!(lines.len() == 1 && lines.iter().all(deep), "{lines:?}");
    }
}

#[test]
fn an_unreadable_file_is_a_diagnostic_with_the_reason() {
    let mut files = files(&[]);
    let path = "policies.d/a.toml";
    files
        .unreadable
        .insert(path.into(), "it has 100 MB, and 8 are allowed".into());
    let (site, diagnostics) = site::load(&files, &mut LoadCache::default());
    assert_eq!(
        site::report(&diagnostics, &site.sources, PLAIN),
        "error: `policies.d/a.toml` cannot be read: it has 100 MB, and 8 are allowed\n--> policies.d/a.toml\n"
    );
    assert_eq!(
        site::json(&diagnostics, &site.sources),
        serde_json::json!([{
            "severity": "error",
            "message": "`policies.d/a.toml` cannot be read: it has 100 MB, and 8 are allowed",
            "file": path, "line": 1, "column": 1, "help": null,
        }])
    );
    assert_eq!(
        site::summary(&diagnostics, &site.sources),
        "1 error in 1 of 1 file"
    );
    assert!(site.unread.may_declare(site::ObjectKind::Node, "any"));
}

#[test]
fn a_report_fits_its_width_and_can_be_coloured() {
    let text = format!(
        "[node.a]{}\nmac = \"x\"{}# end\n",
        " ".repeat(90),
        " ".repeat(90)
    );
    let (site, diagnostics) = site::load(
        &files(&[("policies.d/a.toml", text.as_bytes())]),
        &mut LoadCache::default(),
    );
    let style = |color| ReportStyle { color, width: 50 };
    assert_eq!(
        site::report(&diagnostics, &site.sources, style(false)),
        r#"
error: `x` is not a MAC address: expected
       six hexadecimal pairs such as
       `00:50:56:aa:bb:01`
 --> policies.d/a.toml:2:7
  |
2 | mac = "x"                                  ...
  |       ^^^
"#
        .trim_start()
    );
    let coloured = site::report(&diagnostics, &site.sources, style(true));
    assert!(coloured.contains("\u{1b}["));
}

#[test]
fn the_server_config_can_be_read_without_the_rest() {
    let files = files(&[
        ("bootwright.toml", b"[http]\nlisten = \"[::]:8080\"\n"),
        ("policies.d/a.toml", b"x = ["),
    ]);
    let mut memory = LoadCache::default();
    let (config, diagnostics) = site::read_config(&files, &mut memory);
    assert_eq!(config.http.listen.as_ref().unwrap().value, "[::]:8080");
    assert_eq!(diagnostics, []);
    assert_eq!(site::load(&files, &mut memory).0.config, config);
}

#[test]
fn a_template_is_part_of_the_revision_and_can_be_quoted() {
    let mut memory = LoadCache::default();
    let revision = |text: &[u8], memory: &mut LoadCache| {
        let (site, _) = site::load(&files(&[("templates/esxi/ks.cfg.j2", text)]), memory);
        let id = site.sources.id("templates/esxi/ks.cfg.j2").unwrap();
        assert_eq!(site.sources.get(id).unwrap().text().as_bytes(), text);
        site.revision
    };
    let first = revision(b"a", &mut memory);
    assert_ne!(revision(b"b", &mut memory), first);
    assert_eq!(revision(b"a", &mut memory), first);
}

fn any_text() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "node", "policy", " ", "\n", "\"", "\"\"\"", "#", "{", "}", "[", "]", "=", ".", ",", "(",
        ")", "/*", "*/", "//", "/-", "\\", "'", "''", "'''", "a", "-", "1", "é", "\r\n", "true",
        "r#\"", ":", ";", "$6$", "password", "\u{feff}", "\\\n", "://", "{{", "}}",
    ]);
    let text = prop::collection::vec(pieces, 0..40).prop_map(|list| list.concat().into_bytes());
    prop_oneof![text, prop::collection::vec(any::<u8>(), 0..200)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in any_text()) {
        for path in ["policies.d/a.toml", "policies.d/a.kdl", "bootwright.toml"] {
            report(&[(path, &bytes)]);
        }
    }
}
