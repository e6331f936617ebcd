//! Checks the structure of the crate: the direction of dependencies, a core without input or output, short files
//! with documentation.
//!
//! The tests read the text of the sources, with comments and string literals blanked out. They do not parse Rust: a
//! path that a macro builds is not found.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use crate::support::sources::{code, root, sources};

/// The entries of the repository's root, besides `target` and hidden ones.
const TOP_LEVEL: [&str; 11] = [
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "examples",
    "policies.d",
    "src",
    "templates",
    "tests",
];

/// The paths that the core must not use, by prefix.
const OUTSIDE: [&str; 22] = [
    "std::env",
    "std::fs",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "arc_swap",
    "axum",
    "getrandom",
    "hyper",
    "hyper_util",
    "libc",
    "nix",
    "notify",
    "socket2",
    "tokio",
    "ureq",
];

/// Plain values in modules of [`OUTSIDE`], which the core may use.
const VALUES: [&str; 7] = [
    "std::net::AddrParseError",
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::Ipv6Addr",
    "std::net::SocketAddr",
    "std::net::SocketAddrV4",
    "std::net::SocketAddrV6",
];

/// The maximum number of lines of a file without its unit tests.
const MAX_LINES: usize = 400;

/// Returns the modules of `lib.rs` in order, and how many of them are the core.
fn plan() -> (Vec<String>, usize) {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut modules = Vec::new();
    let mut core = None;
    for line in text.lines() {
        let declared = line.strip_prefix("pub mod ").or(line.strip_prefix("mod "));
        if let Some(name) = declared {
            modules.push(name.trim_end_matches(';').to_string());
        }
        if line == "// shell" {
            core = Some(modules.len());
        }
    }
    let core = core.expect("`src/lib.rs` has a line `// shell`");
    assert!(core > 0, "the core has modules");
    (modules, core)
}

/// Returns every path in `code`, with `a::{b, c::d}` expanded to `a::b` and `a::c::d`.
fn paths(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = code;
    while let Some(start) = rest.find(|c: char| c.is_alphabetic() || c == '_') {
        rest = expand(&rest[start..], "", &mut found);
    }
    found
}

/// Parses one path, or one branch of a use tree, at the start of `text`, and returns the rest.
fn expand<'t>(text: &'t str, before: &str, found: &mut BTreeSet<String>) -> &'t str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    let path = format!("{before}{word}");
    let Some(after) = rest.strip_prefix("::") else {
        found.insert(path);
        return rest;
    };
    let Some(mut branches) = after.strip_prefix('{') else {
        if after.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return expand(after, &format!("{path}::"), found);
        }
        found.insert(path);
        return after;
    };
    let before = format!("{path}::");
    loop {
        branches = branches.trim_start_matches([',', ' ', '\n', '*']);
        let named = branches.starts_with(|c: char| c.is_alphabetic() || c == '_');
        match branches.strip_prefix('}') {
            Some(rest) => return rest,
            None if named => branches = expand(branches, &before, found),
            None => return branches,
        }
        // `a as b`: the local name is irrelevant.
        if let Some(renamed) = branches.strip_prefix(" as ") {
            let end = renamed.find([',', '}']).unwrap_or(renamed.len());
            branches = &renamed[end..];
        }
    }
}

fn begins(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[test]
fn paths_are_found_in_code_only() {
    let text = "use crate::{model::{At, Mac as M}, site};\n// crate::net\nlet x = \"crate::disk\";\nstd::fs::read(r#\"crate::\"#); '\"'; tokio::spawn(x)";
    let found = paths(&code(text));
    let of = |root: &str| -> Vec<&str> {
        let all = found.iter().map(String::as_str);
        all.filter(|path| begins(path, root)).collect()
    };
    assert_eq!(
        of("crate"),
        ["crate::model::At", "crate::model::Mac", "crate::site"]
    );
    assert_eq!(of("std"), ["std::fs::read"]);
    assert_eq!(of("tokio"), ["tokio::spawn"]);
}

#[test]
fn a_module_uses_only_modules_above_it() {
    let (modules, _) = plan();
    let order: BTreeMap<&str, usize> = modules.iter().map(String::as_str).zip(0..).collect();
    let mut wrong = Vec::new();
    for source in sources("src") {
        let Some(module) = source.module() else {
            continue;
        };
        let own = order.get(module.as_str());
        let own = own.unwrap_or_else(|| panic!("`src/lib.rs` does not list `{module}`"));
        for path in paths(&code(&source.text)) {
            let Some(used) = path.strip_prefix("crate::") else {
                continue;
            };
            let used = used.split("::").next().unwrap_or(used);
            if order.get(used).is_some_and(|used| used > own) {
                wrong.push(format!("{}: `{path}`", source.path.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "uses of modules further down:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_path_reaches_the_crate_root_by_super() {
    let mut wrong = Vec::new();
    for source in sources("src") {
        let shipped = code(source.shipped());
        let climbs = |chain: usize| shipped.contains(&"super::".repeat(chain));
        if source.module().is_some() && climbs(source.depth()) {
            wrong.push(source.path.display().to_string());
        }
    }
    assert!(
        wrong.is_empty(),
        "write `crate::…` instead in:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_core_does_no_io() {
    let (modules, core) = plan();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for source in sources("src") {
        let module = source.module();
        if !module.is_some_and(|module| modules[..core].contains(&module)) {
            continue;
        }
        checked += 1;
        let shipped = code(source.shipped());
        for path in paths(&shipped) {
            let value = VALUES.iter().any(|value| begins(&path, value));
            if !value && OUTSIDE.iter().any(|outside| begins(&path, outside)) {
                wrong.push(format!("{}: `{path}`", source.path.display()));
            }
        }
        if shipped.contains("::now()") {
            wrong.push(format!("{}: asks for the time", source.path.display()));
        }
    }
    assert!(checked > 10, "the core has files");
    assert!(
        wrong.is_empty(),
        "the core uses input or output:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_file_opens_with_a_doc_comment() {
    let files = sources("src").into_iter().chain(sources("tests"));
    let undocumented: Vec<String> = files
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path.display().to_string())
        .collect();
    assert!(
        undocumented.is_empty(),
        "these do not open with `//!`:\n{}",
        undocumented.join("\n")
    );
}

#[test]
fn no_file_is_long() {
    let long: BTreeMap<String, usize> = sources("src")
        .iter()
        .map(|source| {
            (
                source.path.display().to_string(),
                source.shipped().lines().count(),
            )
        })
        .filter(|(_, lines)| *lines > MAX_LINES)
        .collect();
    assert_eq!(long, BTreeMap::new(), "more than {MAX_LINES} lines");
}

#[test]
fn the_top_level_has_the_expected_entries() {
    let present: BTreeSet<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.') && name != "target")
        .collect();
    let planned = BTreeSet::from(TOP_LEVEL.map(String::from));
    assert_eq!(present, planned);
}

/// Whether a 64-bit ELF file has an interpreter, like every dynamically linked program (PT_INTERP).
fn has_interpreter(elf: &[u8]) -> bool {
    let number = |at: usize, bytes: usize| {
        let digits = elf[at..at + bytes].iter().rev();
        digits.fold(0, |sum, byte| sum * 256 + usize::from(*byte))
    };
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    assert!(count > 0, "the file has program headers");
    (0..count).any(|entry| number(table + entry * size, 4) == 3)
}

#[test]
fn the_binary_is_static() {
    let binary = fs::read(env!("CARGO_BIN_EXE_bootwright")).unwrap();
    assert!(!has_interpreter(&binary), "see `.cargo/config.toml`");
    let shell = fs::read("/bin/sh").unwrap();
    assert!(has_interpreter(&shell), "the test distinguishes the two");
}
