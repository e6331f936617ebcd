//! Slips in KDL: each case is a text and its only diagnostic.

use super::declarations;
use crate::{
    model::FileId,
    site::{LoadCache, Severity, SiteFiles, load::declared},
};

/// Reads one file and lists its diagnostics as `line:column message (help)`.
fn diagnose(text: &str) -> Vec<String> {
    let mut files = SiteFiles::default();
    files
        .content
        .insert("policies.d/a.kdl".into(), text.as_bytes().into());
    let (site, diagnostics) = declared(&files, &mut LoadCache::default());
    let line = |diagnostic: &crate::site::Diagnostic| {
        let span = diagnostic.span.expect("a slip has a place");
        let (_, line, column) = site.sources.position(span).expect("in the file");
        format!("{line}:{column} {}", diagnostic.message)
    };
    // Diagnostics of the rules are not tested here.
    let own = |diagnostic: &&crate::site::Diagnostic| {
        let rules = crate::site::rules::check(&site);
        !rules.contains(*diagnostic)
    };
    diagnostics.iter().filter(own).map(line).collect()
}

#[test]
fn every_slip_is_reported_once_at_its_position() {
    let cases = [
        // Values that need `#` or quotes.
        (
            "policy \"a\" {\n  enabled true\n}",
            "2:11 `true` without `#`",
        ),
        ("policy \"a\" enabled=false", "1:20 `false` without `#`"),
        ("policy \"a\" {\n  repo null\n}", "2:8 `null` without `#`"),
        (
            "policy \"a\" {\n  enabled TRUE\n}",
            "2:11 `TRUE` without `#`",
        ),
        (
            "policy \"a\" {\n  enabled #True\n}",
            "2:11 `#True` is not in lower case",
        ),
        (
            "node \"a\" {\n  address 192.0.2.1\n}",
            "2:11 an address without quotes: `192.0.2.1`",
        ),
        (
            "node \"a\" {\n  address 192.0.2.1/24\n}",
            "2:11 an address with its prefix without quotes: `192.0.2.1/24`",
        ),
        (
            "node \"a\" address=2001:db8::1",
            "1:18 an address without quotes: `2001:db8::1`",
        ),
        (
            "node \"a\" {\n  mac 00:50:56:aa:bb:01\n}",
            "2:7 a MAC address without quotes: `00:50:56:aa:bb:01`",
        ),
        (
            "network \"a\" {\n  taken 192.0.2.1-192.0.2.9\n}",
            "2:9 a range of addresses without quotes: `192.0.2.1-192.0.2.9`",
        ),
        (
            "policy \"a\" {\n  vars { release 9.4.1; }\n}",
            "2:18 a version without quotes: `9.4.1`",
        ),
        (
            "policy \"a\" {\n  deadlines document=30m\n}",
            "2:22 a span of time without quotes: `30m`",
        ),
        (
            "policy \"a\" {\n  disk min-size=16GiB\n}",
            "2:17 a size without quotes: `16GiB`",
        ),
        (
            "policy \"a\" {\n  vars { until 2026-12-31; }\n}",
            "2:16 a date without quotes: `2026-12-31`",
        ),
        (
            "repo \"a\" {\n  path /srv/rocky\n}",
            "2:8 a path without quotes: `/srv/rocky`",
        ),
        (
            "repo \"a\" {\n  url http://192.0.2.1/x\n}",
            "2:7 a URL without quotes: `http://192.0.2.1/x`",
        ),
        (
            "policy \"a\" {\n  hostname esx-{{ node.serial }}\n}",
            "2:16 a template without quotes",
        ),
        (
            "node \"3a\" {\n  policy 3com\n}",
            "2:10 text without quotes: `3com`",
        ),
        (
            "node \"a\" {\n  options {\n    802.3ad 1\n  }\n}",
            "3:5 this name without quotes: `802.3ad`",
        ),
        // Habits of other formats.
        (
            "policy \"a\" {\n  order = 10\n}",
            "2:9 `=` between a name and its value",
        ),
        (
            "policy \"a\" {\n  order=10\n}",
            "2:8 `=` between a name and its value",
        ),
        ("policy \"a\" {\n  order: 10\n}", "2:8 a colon after a name"),
        ("\"policy\": {\n}", "1:9 a colon after a name"),
        (
            "policy \"a\" {\n  tags [\"a\", \"b\"]\n}",
            "2:8 brackets around a list",
        ),
        (
            "policy \"a\" {\n  tags \"a\", \"b\"\n}",
            "2:11 a comma between values",
        ),
        (
            "policy \"a\" {\n  tags a, b\n}",
            "2:9 a comma between values",
        ),
        (
            "policy \"a\" {\n  order 10,\n}",
            "2:11 a comma between values",
        ),
        (
            "[policy.web]\norder = 10",
            "1:1 this is a table header of TOML",
        ),
        (
            "# a comment\npolicy \"a\"",
            "1:1 a comment begins with `//` here",
        ),
        (
            "policy \"a\" order=1 # first",
            "1:20 a comment begins with `//` here",
        ),
        ("policy 'a' {\n}", "1:8 text needs double quotes"),
        ("policy “a” {\n}", "1:8 `“` is a typographic quote"),
        (
            "policy \"a\" {\n  tags (\"a\" \"b\")\n}",
            "2:8 unexpected parentheses",
        ),
        (
            "policy \"a\" {\n  when r\"\\d\"\n}",
            "2:8 this is a raw string of KDL 1",
        ),
        (
            "policy \"a\" {\n  when r#\"x\"#\n}",
            "2:8 this is a raw string of KDL 1",
        ),
        ("policy {\n  order 1\n}", "1:1 a policy needs a name"),
        (
            "policy \"a\"\n{\n  order 1\n}",
            "2:1 a block without a name",
        ),
        ("policy \"a\" order==1", "1:18 `=` is written twice"),
        ("policy \"a\" order=\n", "1:17 no value after `=`"),
        // Quotes and braces that do not match.
        (
            "policy \"a\" {\n  when \"tags == \"x\"\"\n}",
            "2:17 a quote inside quotes",
        ),
        (
            "policy \"a\" {\n  when \"x\n  order 1\n}",
            "2:8 this quote is never closed",
        ),
        (
            "policy \"a\" {\n  when #\"x\n}",
            "2:8 this raw string is never closed",
        ),
        (
            "policy \"a\" {\n  when \"\"\"\n  x\n}",
            "2:8 these quotes are never closed",
        ),
        (
            "policy \"a\" {\n  when \"\"\"x\"\"\"\n}",
            "2:8 text on the same line as the opening triple quotes",
        ),
        (
            "policy \"a\" {\n  when \"C:\\temp\\dir\"\n}",
            "2:16 `\\d` is not an escape sequence",
        ),
        (
            "policy \"a\" {\n  order 1\n",
            "1:12 this block is never closed",
        ),
        (
            "policy \"a\" {\n  order 1\npolicy \"b\" {\n  order 2\n}",
            "1:12 this block is never closed",
        ),
        ("policy \"a\" {\n}\n}", "3:1 this `}` has no matching `{`"),
        ("policy \"a\" {\n} order=1", "2:3 `order` after the block"),
        ("policy \"a\" {\n} {\n}", "2:3 a second block for one name"),
        (
            "policy \"a\" {\n  deadlines { document \"1m\" installed \"2m\" }\n}",
            "2:29 `installed` is read as a value of the setting before it",
        ),
        ("/* never", "1:1 this comment is never closed"),
        (
            "policy \"a\u{200b}\" {\n}",
            "1:10 invisible character U+200B",
        ),
    ];
    assert!(cases.len() > 20);
    for (text, expected) in cases {
        assert_eq!(diagnose(text), [expected], "{text}");
    }
}

#[test]
fn valid_kdl_has_no_slip() {
    let text = r##"
/- policy "gone" { order true-ish; }
// comment
policy "a" order = 1 enabled=#false { /* x /* y */ */
    tags a b_c d.e
    when #"facts.product == "X" and "{{" != "}""#
    hostname "esx-{{ node.serial }}" // trailing
    kernel-args "a" \
        "b"
    vars {
        n 0x1f -1.5e3 1_000
        /- gone 1
        text """
            two
              lines
            """
        mac aa:bb:cc:dd:ee:ff
        none #null; one { - 1; - 2 }
    }
}
tag "x"; tag "y" {}
"##;
    assert_eq!(diagnose(text), Vec::<String>::new());
}

#[test]
fn a_slip_that_explains_no_error_is_a_warning() {
    let cases = [
        (
            "policy \"a\" {\n  vars { x TRUE; }\n}",
            "2:12 `TRUE` without `#`",
        ),
        (
            "policy \"a\" {\n  vars { mirror http://192.0.2.1/x\n  }\n}",
            "2:17 a URL without quotes: `http://192.0.2.1/x`",
        ),
        (
            "policy \"a\" { kernel-args a, b; }",
            "1:27 a comma between values",
        ),
    ];
    for (text, expected) in cases {
        let mut diagnostics = Vec::new();
        let declared = declarations(text, FileId(0), &mut diagnostics);
        assert_eq!(declared.map(|list| list.len()), Ok(1), "{text}");
        let severities: Vec<Severity> = diagnostics.iter().map(|one| one.severity).collect();
        assert_eq!(severities, [Severity::Warning], "{text}");
        assert_eq!(diagnose(text), [expected], "{text}");
    }
}

#[test]
fn a_type_annotation_has_no_meaning() {
    let message = "the type annotation `(u8)` has no meaning here";
    for (text, at) in [
        ("policy \"a\" order=(u8)1", "1:19"),
        ("policy \"a\" {\n  order (u8)1\n}", "2:10"),
        ("(u8)policy \"a\"", "1:2"),
    ] {
        assert_eq!(diagnose(text), [format!("{at} {message}")], "{text}");
    }
}

#[test]
fn a_secret_is_not_repeated() {
    let text = "policy \"a\" {\n  root-password-hash $6$ab/cd\n}";
    assert_eq!(diagnose(text), ["2:22 a hash without quotes: `…`"]);
}

#[test]
fn a_mistake_that_is_not_a_slip_is_one_diagnostic() {
    let cases = [
        (
            "policy \"a\" {\n  order 1 {\n    x 1\n  }\n}",
            "2:9 `order` has both values and a table",
        ),
        (
            "policy \"a\" {\n  order 1\n  order 2\n}",
            "3:3 `order` is set twice",
        ),
        (
            "policy \"a\" order=1 {\n  order 2\n}",
            "2:3 `order` is set twice",
        ),
        (
            "policy \"a\" {\n  disk smallest=#true\n  disk wipe=#true\n}",
            "3:3 this is set twice, but can be set only once",
        ),
        (
            "node \"a\" {\n  bond \"b\" mode=\"x\"\n  bond \"b\" mode=\"y\"\n}",
            "3:8 `b` is set twice",
        ),
        (
            "policy 1 {\n}",
            "1:8 the name of a policy is text, found a number",
        ),
        ("policy \"a\" \"b\" {\n}", "1:12 a policy has one name"),
        ("defaults \"a\" {\n}", "1:10 the defaults have no name"),
        ("polcy \"a\" {\n}", "1:1 unknown kind of object `polcy`"),
        (
            "policy \"a\" {\n  tags { - \"a\"; b 1; }\n}",
            "2:10 a list item among keys",
        ),
        (
            "policy \"a\" {\n  order \"1\"\n}",
            "2:9 expected a whole number, found text",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(diagnose(text), [expected], "{text}");
    }
}
