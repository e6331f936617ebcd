//! Text for users is in plain words: it contains no phrase of a list of metaphors and archaisms.
//!
//! The test checks the string literals of the program (and the doc comments of the command line, which `--help`
//! prints), templates, examples, README, manual and changelog.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use crate::support::sources::{literals, root, sources};

/// Phrases that text for users must not contain, and what to write instead.
const PHRASES: &[(&str, &str)] = &[
    ("alone", "only"),
    ("anybody", "any host, any client"),
    ("by itself", "automatically"),
    ("cannot be had", "is not available; cannot bind port …"),
    ("commonest", "most common"),
    ("crooked", "invalid"),
    ("everybody", "every host, all clients"),
    ("for ever", "indefinitely"),
    ("genuine", "verified"),
    ("goes on", "continues"),
    ("goes with another", "accepted an offer from another"),
    ("handed out", "served, assigned"),
    ("hand out", "serve, assign"),
    ("hands out", "serves, assigns"),
    ("has heard", "has received"),
    ("hear", "receive"),
    ("heard", "received"),
    ("hears", "receives"),
    ("in the way", "(name the conflict)"),
    ("in vain", "without success"),
    ("is had", "is available"),
    ("is looked", "is checked"),
    ("are looked", "are checked"),
    ("it looks", "it checks"),
    ("knows", "supports, has"),
    ("lie", "are stored"),
    ("lies", "is stored, is in"),
    ("looks at", "checks, reads"),
    ("looks for", "searches for"),
    ("mend", "fix"),
    ("mends", "fixes"),
    ("no file mentions", "undeclared"),
    ("of itself", "(state what it is)"),
    ("of which nobody", "(say which host or user)"),
    ("nobody asked", "no request was received"),
    ("nobody declared", "undeclared"),
    ("nobody has", "is free, is not in use"),
    ("nobody is", "no host is"),
    ("owe", "have to deliver"),
    ("owed", "pending"),
    ("owes", "has to deliver"),
    ("said", "reported, logged"),
    ("says", "reports, contains, is set to"),
    ("sees", "reads, receives"),
    ("somebody", "another host, another user"),
    ("speaks", "uses, supports"),
    ("stranger", "undeclared machine"),
    ("strangers", "undeclared machines"),
    ("talks", "connects, sends"),
    ("tells", "reports, shows"),
    ("that nobody", "(say which host or user)"),
    ("the commonest", "the most common"),
    ("told", "reported, sent, configured"),
    ("waits for orders", "polls the server for instructions"),
    ("what of it", "what to show"),
    ("where there is none", "if there is none"),
    ("which nobody", "(say which host or user)"),
    ("which no file", "undeclared"),
    ("whoever", "the user, the host, the program that"),
    ("whom", "(name the host or user)"),
    ("wishes", "preferences"),
];

/// Literals that programs read: keys of the operator API and of checkpoints, and a kind of stored file.
const KEYS: [&str; 3] = ["\"said\"", "\"heard\"", "\"hand-out\""];

/// The phrases in `text`, as whole words.
fn phrases(text: &str) -> BTreeSet<&'static str> {
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let text = format!(" {} ", words.join(" "));
    let is_in = |phrase: &str| text.contains(&format!(" {phrase} "));
    let found = PHRASES.iter().filter(|(phrase, _)| is_in(phrase));
    found.map(|(phrase, _)| *phrase).collect()
}

/// The text for users in each Rust file: its literals, and the doc comments of the command line.
fn of_the_program() -> BTreeMap<PathBuf, Vec<String>> {
    let mut texts = BTreeMap::new();
    for source in sources("src") {
        let shipped = source.shipped();
        let mut all = literals(shipped);
        all.retain(|literal| !KEYS.contains(&literal.as_str()));
        if shipped.contains("clap::") {
            let docs = shipped.lines().filter_map(|line| {
                let line = line.trim_start();
                line.strip_prefix("///").map(str::trim)
            });
            all.push(docs.collect::<Vec<_>>().join(" "));
        }
        texts.insert(source.path.clone(), all);
    }
    texts
}

/// Every text file below a directory, or the file itself.
fn files(path: PathBuf, found: &mut BTreeMap<PathBuf, Vec<String>>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            files(entry.unwrap().path(), found);
        }
    } else if let Ok(text) = fs::read_to_string(&path) {
        let path = path.strip_prefix(root()).unwrap();
        found.insert(path.to_owned(), vec![text]);
    }
}

#[test]
fn phrases_are_found_as_whole_words_over_line_breaks() {
    assert_eq!(
        phrases("It waits for\n  orders, For Ever: goes only a long way."),
        BTreeSet::from(["for ever", "waits for orders"])
    );
    assert_eq!(phrases("A standalone server, loanword"), BTreeSet::new());
    let text =
        "/// alone\nlet a = \"x \\\n   in \\\n vain\"; // alone\nr#\"told\"#; let alone = 'a';";
    assert_eq!(literals(text), ["\"x in vain\"", "r#\"told\"#"]);
}

#[test]
fn text_that_people_read_is_in_plain_words() {
    let mut texts = of_the_program();
    for path in [
        "templates",
        "examples",
        "policies.d",
        "README.md",
        "CHANGELOG.md",
        "src/manual",
    ] {
        files(root().join(path), &mut texts);
    }
    assert!(texts.len() > 300, "{} files", texts.len());
    let mut wrong = Vec::new();
    for (path, texts) in texts {
        let found: BTreeSet<&str> = texts.iter().flat_map(|text| phrases(text)).collect();
        let found = PHRASES.iter().filter(|(phrase, _)| found.contains(phrase));
        wrong.extend(
            found.map(|(phrase, instead)| {
                format!("{}: `{phrase}`; write: {instead}", path.display())
            }),
        );
    }
    assert!(wrong.is_empty(), "plain words:\n{}", wrong.join("\n"));
}
