//! Compares the parser with the crate `kdl`: it accepts the same texts and reads the same content.

use ::kdl::{KdlDocument, KdlEntry, KdlError, KdlIdentifier, KdlNode};
use proptest::{collection::vec, prelude::*, sample::select};

use super::{WRAPPER, declarations, parse, tokens::scan};
use crate::{model::FileId, site::Severity};

/// Returns the names and values of a document, each with its offset minus `shift`.
fn content(document: &KdlDocument, shift: usize) -> Vec<String> {
    let identifier = |name: &KdlIdentifier| {
        let offset = name.span().offset() - shift;
        format!("{:?}@{offset}", name.value())
    };
    let entry = |entry: &KdlEntry| {
        let name = entry.name().map_or(String::new(), identifier);
        let end = entry.span().offset() + entry.span().len() - shift;
        format!(
            "{name}={:?}@{end} {:?}",
            entry.value(),
            entry.ty().map(identifier)
        )
    };
    let node = |node: &KdlNode| {
        let entries: Vec<String> = node.entries().iter().map(entry).collect();
        let children = node.children().map(|children| content(children, shift));
        format!("{} {entries:?} {children:?}", identifier(node.name()))
    };
    document.nodes().iter().map(node).collect()
}

/// Parses a text with the crate. Its parser calls itself for each `*` of a comment, so it needs a large stack.
fn expected(text: &str) -> Result<KdlDocument, KdlError> {
    let text = text.to_owned();
    let thread = std::thread::Builder::new().stack_size(64 << 20);
    let thread = thread.spawn(move || KdlDocument::parse_v2(&text)).unwrap();
    thread.join().unwrap()
}

/// Returns whether the crate accepts `text`, after a check that the content is the same.
fn is_accepted_alike(text: &str) -> bool {
    let expected = expected(text);
    let (parsed, mut diagnostics) = (parse(&scan(text)), Vec::new());
    let read = declarations(text, FileId(0), &mut diagnostics);
    match (&expected, parsed) {
        (Ok(expected), Ok(document)) => {
            assert_eq!(
                content(&document, WRAPPER.len()),
                content(expected, 0),
                "{text:?}"
            );
        }
        (Ok(_), Err(_)) => panic!("the crate accepts {text:?}, and we do not: {read:?}"),
        (Err(error), Ok(_)) => panic!("the crate rejects {text:?}, and we do not: {error:?}"),
        (Err(_), Err(_)) => {
            let mistakes = read.expect_err("an invalid text declares nothing");
            assert!(mistakes.iter().all(|one| one.severity == Severity::Error));
            assert!(!mistakes.is_empty(), "{text:?}");
            return false;
        }
    }
    assert!(read.is_ok(), "{text:?}");
    true
}

#[test]
fn unusual_kdl_is_accepted() {
    let texts = [
        "network \"lab\" {\n  dns \"192.0.2.1\" \\ /* c */\n    \"192.0.2.2\"\n}",
        "a \\ // c\n  b",
        "a \\ /* c\n c */ \n  b",
        "a\\\n b",
        "a \\",
        "/- kdl-version 2\na",
        "a /- b /- c=1 /- { d }",
        "a /- { b } { c } /- { d }",
        "a /- { b /- { c /- { d } } }",
        "/-\n\na b\nc",
        "/- a { b }",
        "(type)a (u8)10 k=(date)\"x\" ( t ) b",
        "a \"\"\"\n  x\n    y \\\n  z\n\n  \"\"\"",
        "a \"\"\"\n  \"\" \" {{ \\\"\"\"\n  \"\"\"",
        "a \"\"\"\n\"\"\"",
        "a ##\"\"\"\n  \"\"\"# {{{\n  \"\"\"##",
        "a #\"\"\"\"#",
        "a #\"\"x\"\"#",
        "a \"\" #\"\"# ###\"#\"##\"###",
        "a \"x \\   \n   y\" \"\\u{10FFFF}\\s\"",
        "a /* /* { */ \" */ b /**/c",
        "a/*c*/b",
        "a//b",
        "a,b ,c 'd' e: <f> @g | h! 1 -1.5e3 0xF_f +1 .a -a -.b #inf #-inf #nan #null",
        "a b = 1 c= 2 d =3 \"e\"=4 #\"f\"#=5",
        "a{b}",
        "a{b;c}\u{3000}// {",
        "a; b {} ; c",
        "a\u{85}b\u{2028}c\u{2029}d\re\r\nf\u{b}g\u{c}h",
        "\"a b\" c\n#\"d\"# e",
        "",
        "// only {",
        "/* only { */",
        "a \"\u{200b}\" \u{200b}",
        "a{\"b\";}",
        "a #\"\\\"# /-\"b\"",
    ];
    for text in texts {
        assert!(is_accepted_alike(text), "{text:?}");
    }
    // More braces than the maximum depth of blocks, but in strings, comments or blocks that are not nested.
    let many = |text: &str| text.repeat(200);
    for text in [
        format!("a \"{}\"", many("{")),
        format!("a #\"{}\"#", many("{\\u{")),
        format!("a \"{}\"", many("\\u{41}{")),
        format!("a /* {} */", many("{ * /")),
        format!("a // {}", many("{")),
        format!("a \"\"\"\n  {}\n  \"\"\"", many("{\n  ")),
        format!("a {{{}}}", many("b { c \"{{ d }}\" }\n")),
    ] {
        assert!(is_accepted_alike(&text), "{text:?}");
    }
}

/// Most seeds of the fuzz target overflow the stack of the crate's parser, or make it loop without end.
#[test]
fn the_parser_does_not_exhaust_the_stack_or_the_time() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/seeds/site_kdl");
    let mut count = 0;
    for seed in std::fs::read_dir(seeds).unwrap() {
        let text = std::fs::read_to_string(seed.unwrap().path()).unwrap();
        for text in [text.repeat(10), text] {
            drop(declarations(&text, FileId(0), &mut Vec::new()));
        }
        count += 1;
    }
    assert!(count > 20);
}

/// Pieces of KDL that are valid in some places.
const PIECES: &[&str] = &[
    "a",
    "b",
    "policy",
    "-",
    "\"x\"",
    "\"\"",
    "\"{\"",
    "\"}\"",
    "\"\\u{41}\"",
    "\"\\\\\"",
    "\"\\\"\"",
    "\"\\  \n y\"",
    "\"\\q\"",
    "\"",
    "#\"r\"#",
    "#\"{\"#",
    "#\"",
    "\"#",
    "##\"\"#\"##",
    "\"\"\"\n  x\n  \"\"\"",
    "\"\"\"\n  {\n y\n  \"\"\"",
    "\"\"\"\n\"\"\"",
    "#\"\"\"\n }\n \"\"\"#",
    "\"\"\"\n  /*{\n y\n  \"\"\"",
    "\"\"\"\n  \\\\\n /*\n  \"\"\"",
    "\"\"\"\n  \\\n /-{\n  \"\"\"",
    "#\"\"\"\n \\u{/-{\n x\n \"\"\"#",
    "#\"\"\"#",
    "\"/*\"",
    "\"\\\\ /-{ \\\"\"",
    "\"\"\"",
    "1",
    "-1.5e3",
    "0x1f",
    "1_000",
    "30m",
    "#true",
    "#True",
    "#inf",
    "#",
    "true",
    "(t)",
    "(",
    ")",
    "=",
    "{",
    "{",
    "}",
    "}",
    "; ",
    ";",
    "\n",
    "\n",
    " ",
    " ",
    " ",
    "\t",
    "\\\n",
    "\\ /* c */\n",
    "\\ // c\n",
    "\\",
    "/-",
    "/- ",
    "/-{",
    "// c {\n",
    "//",
    "/* { */",
    "/* /* * */ / */",
    "/*",
    "*/",
    ",",
    ":",
    "'",
    "[",
    "]",
    "/",
    "\r\n",
    "\r",
    "\u{3000}",
    "\u{2028}",
    "\u{85}",
    "\u{200b}",
    "\u{feff}",
    "\u{202e}",
    "\0",
    "é",
    "$6$",
    "r\"x\"",
    "{{ x }}",
    "<",
    "@",
    "|",
];

proptest! {
    #[test]
    fn what_the_crate_accepts_is_accepted(pieces in vec(select(PIECES), 0..14)) {
        is_accepted_alike(&pieces.concat());
    }

    #[test]
    fn what_the_crate_accepts_between_blanks_is_accepted(pieces in vec(select(PIECES), 0..10)) {
        is_accepted_alike(&pieces.join(" "));
    }

    #[test]
    fn repeated_pieces_exhaust_neither_stack_nor_time(pieces in vec(select(PIECES), 1..6), blank in any::<bool>()) {
        let text = pieces.join(if blank { " " } else { "" }).repeat(300);
        let read = declarations(&text, FileId(0), &mut Vec::new());
        drop(read);
    }
}
