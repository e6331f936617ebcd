//! The files of this repository as text: Rust sources, with code distinguished from comments and string literals.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One file of the sources.
pub(crate) struct Source {
    /// Relative to the root.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    /// Whether it is compiled for tests only: a module that its parent declares so, or a module below one.
    is_test: bool,
}

impl Source {
    /// The text without its unit tests; nothing of a file that is compiled for tests only.
    pub(crate) fn shipped(&self) -> &str {
        if self.is_test {
            return "";
        }
        let end = self.text.find("#[cfg(test)]\nmod tests");
        &self.text[..end.unwrap_or(self.text.len())]
    }

    /// The files that this one declares as modules for tests only, without `.rs`.
    fn test_files(&self) -> Vec<PathBuf> {
        let folder = match self.path.file_name().and_then(|name| name.to_str()) {
            Some("mod.rs" | "lib.rs" | "main.rs") => self.path.with_file_name(""),
            _ => self.path.with_extension(""),
        };
        self.text
            .split("#[cfg(test)]\nmod ")
            .skip(1)
            .filter_map(|rest| rest.lines().next()?.strip_suffix(';'))
            .map(|name| folder.join(name))
            .collect()
    }

    /// The module at the top of the crate that the file belongs to; none for `lib.rs` and `main.rs`.
    pub(crate) fn module(&self) -> Option<String> {
        let below = self.path.strip_prefix("src").ok()?;
        let first = below.components().next()?.as_os_str().to_str()?;
        let name = first.strip_suffix(".rs").unwrap_or(first);
        (name != "lib" && name != "main").then(|| name.to_string())
    }

    /// How many modules deep the file is: 1 for `src/x.rs` and `src/x/mod.rs`.
    pub(crate) fn depth(&self) -> usize {
        let parts = self.path.components().count() - 1;
        parts - usize::from(self.path.ends_with("mod.rs"))
    }
}

/// Every Rust file below `folder`, in path order.
pub(crate) fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root()).unwrap().to_path_buf();
                found.push(Source {
                    path,
                    text,
                    is_test: false,
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let tests: BTreeSet<PathBuf> = found.iter().flat_map(Source::test_files).collect();
    for source in &mut found {
        let path = source.path.with_extension("");
        source.is_test = tests.iter().any(|test| path.starts_with(test));
    }
    assert!(!found.is_empty(), "no Rust file below {folder}");
    found
}

/// A piece of Rust source text.
enum Token<'t> {
    Code(&'t str),
    /// A comment, a string literal, or a character literal with a quote in it.
    Other(&'t str),
}

/// Splits source text into code and the rest.
fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let (mut rest, mut begin) = (text, 0);
    std::iter::from_fn(move || {
        loop {
            // Only these characters begin a token that is not code.
            let next = rest[begin..]
                .find(['/', '"', '\'', 'r'])
                .map(|at| begin + at);
            let at = next.unwrap_or(rest.len());
            let length = match next {
                Some(at) => blank_length(&rest[at..], rest[..at].chars().next_back()),
                None => 0,
            };
            if next.is_some() && length == 0 {
                begin = at + 1;
                continue;
            }
            begin = 0;
            let end = if at == 0 { length } else { at };
            let (token, after) = rest.split_at(end);
            rest = after;
            return match (token, at) {
                ("", _) => None,
                (token, 0) => Some(Token::Other(token)),
                (token, _) => Some(Token::Code(token)),
            };
        }
    })
}

/// Blanks out comments and string literals. Line breaks stay.
pub(crate) fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for token in tokens(text) {
        match token {
            Token::Code(token) => out.push_str(token),
            Token::Other(token) => {
                let breaks = token.matches('\n').count();
                out.push(' ');
                out.extend(std::iter::repeat_n('\n', breaks));
            }
        }
    }
    out
}

/// The string literals of Rust source text.
pub(crate) fn literals(text: &str) -> Vec<String> {
    let literals = tokens(text).filter_map(|token| match token {
        Token::Other(token) if token.starts_with(['"', 'r']) => Some(token),
        _ => None,
    });
    // A line break after a backslash, and the indentation of the next line, are not part of the text.
    literals
        .map(|token| token.split("\\\n").map(str::trim_start).collect())
        .collect()
}

/// How many bytes at the start of `text` are a comment or a literal.
fn blank_length(text: &str, before: Option<char>) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return text.find("*/").map_or(text.len(), |end| end + 2);
    }
    if text.starts_with('"') {
        return quoted_length(text);
    }
    // A raw string; an `r` at the end of a longer word is not one.
    let word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    if !word && text.starts_with('r') && text[1 + hashes..].starts_with('"') {
        let close = format!("\"{}", "#".repeat(hashes));
        let body = 2 + hashes;
        return text[body..]
            .find(&close)
            .map_or(text.len(), |end| body + end + close.len());
    }
    // The two character literals that would begin a string or hide the end of one.
    ["'\"'", "'\\\"'"]
        .iter()
        .find(|literal| text.starts_with(**literal))
        .map_or(0, |literal| literal.len())
}

fn quoted_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}
