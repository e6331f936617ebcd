//! A type name has one meaning: no two types of the crate share a name.
//!
//! The test reads the text of the sources, so types that a macro builds are not found. Associated types and types
//! that are compiled for tests only may repeat a name.

use std::collections::BTreeMap;

use crate::support::sources::{code, sources};

/// The types that `text` declares: structs, enums, unions, traits, and aliases that are not associated types.
fn declared(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut for_tests = false;
    for line in code(text).lines() {
        if line.trim_start().starts_with("#[") {
            for_tests |= line.contains("cfg(test)");
            continue;
        }
        let mut words = without_visibility(line.trim_start())
            .split(|c: char| !c.is_alphanumeric() && c != '_' && c != '$')
            .skip_while(|word| *word == "unsafe");
        let (Some(keyword), Some(name)) = (words.next(), words.next()) else {
            continue;
        };
        // Source text is formatted: a line without indentation is not part of a trait or an implementation.
        let is_alias = keyword == "type" && !line.starts_with(char::is_whitespace);
        let is_type = is_alias || ["struct", "enum", "union", "trait"].contains(&keyword);
        if is_type && !for_tests && !name.starts_with('$') {
            found.push(name.to_owned());
        }
        for_tests = false;
    }
    found
}

/// A line without the `pub` or `pub(…)` at its start.
fn without_visibility(line: &str) -> &str {
    let Some(rest) = line.strip_prefix("pub") else {
        return line;
    };
    let rest = match rest.strip_prefix('(') {
        Some(scope) => scope.split_once(')').map_or(rest, |(_, rest)| rest),
        None => rest,
    };
    rest.trim_start()
}

/// Each name that more than one of `files` declares, or one of them twice, with the files.
fn shared<'f>(files: impl Iterator<Item = (String, &'f str)>) -> BTreeMap<String, Vec<String>> {
    let mut declarations: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in files {
        for name in declared(text) {
            declarations.entry(name).or_default().push(path.clone());
        }
    }
    declarations.retain(|_, paths| paths.len() > 1);
    declarations
}

#[test]
fn every_kind_of_declaration_is_found() {
    let text = "
pub(super) struct Plain { a: u8 }
    pub(in crate::site) struct Scoped;
struct Generic<T>(T);
    enum InsideAFunction {}
pub trait Shape { type Output; }
impl Iterator for Plain {
    type Item = u8;
}
pub(crate) type Alias = u8;
macro_rules! make { ($name:ident) => { pub struct $name; } }
// struct Commented;
const TEXT: &str = \"struct Quoted;\";
#[cfg(test)]
#[derive(Debug)]
struct ForTests;
#[derive(Debug)]
#[serde(rename = \"x\")]
struct AfterAttributes;
";
    assert_eq!(
        declared(text),
        [
            "Plain",
            "Scoped",
            "Generic",
            "InsideAFunction",
            "Shape",
            "Alias",
            "AfterAttributes"
        ]
    );
}

#[test]
fn a_planted_duplicate_is_found() {
    let files = [
        ("a.rs", "struct Lease { at: u64 }\nstruct Pool;"),
        ("b.rs", "pub enum Lease<'a> { Held(&'a str) }"),
    ];
    let found = shared(
        files
            .map(|(path, text)| (path.to_owned(), text))
            .into_iter(),
    );
    let expected = BTreeMap::from([("Lease".to_owned(), vec!["a.rs".into(), "b.rs".into()])]);
    assert_eq!(found, expected);
}

#[test]
fn every_type_name_is_unique() {
    let sources = sources("src");
    let files = sources
        .iter()
        .map(|source| (source.path.display().to_string(), source.shipped()));
    let found = shared(files);
    let found: Vec<String> = found
        .iter()
        .map(|(name, paths)| format!("{name}: {}", paths.join(", ")))
        .collect();
    assert!(
        found.is_empty(),
        "these names stand for more than one type; give each type a name of its own:\n{}",
        found.join("\n")
    );
}
