//! TOML to the tree of values.

use ::toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::model::{At, FileId, Place};

use super::{
    Diagnostic, Kind,
    tree::{self, Declaration, Entry, MAX_DEPTH, Shape, Tree},
};

/// Reads a whole file as one table. With syntax errors there is nothing else: what they leave is a guess.
pub(crate) fn table(text: &str, file: FileId) -> Result<Tree, Vec<Diagnostic>> {
    let whole = place(file, 0..0);
    if let Some(at) = too_deep(text) {
        return Err(vec![tree::too_deep(place(file, at..at + 1))]);
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(mistakes(text, file, &errors));
    }
    let toml = Toml { text, file };
    Ok(Tree::new(toml.map(table.into_inner()), whole))
}

/// Reads the objects of a file, in the order in which they are written.
pub(crate) fn declarations(
    text: &str,
    file: FileId,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Vec<Declaration>, Vec<Diagnostic>> {
    let Shape::Map(kinds) = table(text, file)?.shape else {
        unreachable!("a file of TOML is a table");
    };
    let mut list = Vec::new();
    for Entry { key: kind, value } in kinds {
        match value.shape {
            Shape::Map(_) if kind.value == "defaults" => list.push(Declaration {
                kind,
                name: None,
                body: value,
            }),
            Shape::Map(objects) => list.extend(objects.into_iter().map(|object| Declaration {
                kind: kind.clone(),
                name: Some(object.key),
                body: object.value,
            })),
            _ => diagnostics.push(not_an_object(&kind)),
        }
    }
    list.sort_by_key(|declaration| declaration.body.place.start);
    Ok(list)
}

fn not_an_object(kind: &At<String>) -> Diagnostic {
    let key = &kind.value;
    match Kind::of(key) {
        Some(Kind::Defaults) => Diagnostic::error("expected a table with the defaults", kind.place)
            .help("write `[defaults]`"),
        Some(kind_of) => Diagnostic::error(format!("a {kind_of} has a name"), kind.place)
            .help(format!("write `[{kind_of}.name]`")),
        None => Diagnostic::error(format!("`{key}` stands outside of any object"), kind.place)
            .help("settings stand under a line such as `[policy.web]` or `[defaults]`"),
    }
}

struct Toml<'a> {
    text: &'a str,
    file: FileId,
}

impl Toml<'_> {
    fn map(&self, table: DeTable<'_>) -> Shape {
        let entry = |(key, value): (Spanned<_>, Spanned<DeValue<'_>>)| {
            let at = place(self.file, key.span());
            let mut value = self.tree(value);
            if matches!(value.shape, Shape::Map(_)) {
                value.place = at;
            }
            let key: std::borrow::Cow<'_, str> = key.into_inner();
            Entry {
                key: At::new(key.into_owned(), at),
                value,
            }
        };
        Shape::Map(table.into_iter().map(entry).collect())
    }

    fn tree(&self, value: Spanned<DeValue<'_>>) -> Tree {
        let span = value.span();
        let shape = match value.into_inner() {
            DeValue::String(text) => Shape::Text(text.into_owned()),
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
                .map_or(Shape::Float(f64::INFINITY), Shape::Int),
            DeValue::Float(number) => {
                Shape::Float(number.as_str().parse().unwrap_or(f64::INFINITY))
            }
            DeValue::Boolean(value) => Shape::Bool(value),
            // There is no type for moments in a site: whoever writes one means the text.
            DeValue::Datetime(_) => Shape::Text(self.text[span.clone()].to_owned()),
            DeValue::Array(items) => {
                Shape::List(items.into_iter().map(|item| self.tree(item)).collect())
            }
            DeValue::Table(table) => self.map(table),
        };
        Tree::new(shape, place(self.file, span))
    }
}

fn place(file: FileId, span: std::ops::Range<usize>) -> Place {
    Place {
        file,
        start: span.start as u32,
        end: span.end as u32,
    }
}

/// The first mistake of each line: those that follow on it are mostly its echo.
fn mistakes(text: &str, file: FileId, errors: &[::toml::de::Error]) -> Vec<Diagnostic> {
    let mut lines = std::collections::BTreeSet::new();
    let mut list = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let start = floor(text, span.start);
        let line = text[..start].matches('\n').count();
        if lines.insert(line) {
            list.push(mistake(text, file, error, start..floor(text, span.end)));
        }
    }
    list
}

fn mistake(
    text: &str,
    file: FileId,
    error: &::toml::de::Error,
    span: std::ops::Range<usize>,
) -> Diagnostic {
    let at = place(file, span.start..span.end.max(span.start));
    if error.message() != "duplicate key" {
        return Diagnostic::error(error.message(), at);
    }
    let key = text[span.clone()].trim_matches(['"', '\'']);
    let key = At::new(key.to_owned(), at);
    match first_of(text, span) {
        Some(first) => tree::twice(&key, place(file, first)),
        None => Diagnostic::error(format!("`{}` is set twice", key.value), at)
            .help("keep one of the two"),
    }
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

/// Finds where the key at `span` stands for the first time: the parser says only where the second is.
fn first_of(text: &str, span: std::ops::Range<usize>) -> Option<std::ops::Range<usize>> {
    let line_start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let (before, line) = (&text[..line_start], &text[line_start..span.end]);
    let path = match line.trim_start().strip_prefix('[') {
        Some(header) => keys(header.trim_start_matches('['))?,
        None => {
            let header = before
                .lines()
                .rev()
                .find_map(|line| line.trim_start().strip_prefix('['));
            let table = header.and_then(|header| keys(header.trim_matches(['[', ']', ' '])));
            table.into_iter().flatten().chain(keys(line)?).collect()
        }
    };
    let (last, parents) = path.split_last()?;
    let (root, _) = DeTable::parse_recoverable(before);
    let mut table = root.get_ref();
    for key in parents {
        table = match table.get(key.as_str())?.get_ref() {
            DeValue::Table(table) => table,
            DeValue::Array(items) => items.iter().last()?.get_ref().as_table()?,
            _ => return None,
        };
    }
    table
        .get_key_value(last.as_str())
        .map(|(key, _)| key.span())
}

/// Splits a dotted key.
fn keys(dotted: &str) -> Option<Vec<String>> {
    let line = format!("{dotted} = 0");
    // What is no key leads nowhere: the mistake is shown without its first place.
    let mut table = DeTable::parse(&line).ok()?.into_inner();
    let mut keys = Vec::new();
    while let Some((key, value)) = table.into_iter().next() {
        keys.push(key.into_inner().into_owned());
        table = match value.into_inner() {
            DeValue::Table(table) => table,
            _ => DeTable::new(),
        };
    }
    Some(keys)
}

/// Finds where brackets, or the dots of one key, go deeper than [`MAX_DEPTH`].
fn too_deep(text: &str) -> Option<usize> {
    let (mut brackets, mut dots) = (0usize, 0usize);
    let mut at = 0;
    while let Some(&byte) = text.as_bytes().get(at) {
        match byte {
            b'[' | b'{' => brackets += 1,
            b']' | b'}' => brackets = brackets.saturating_sub(1),
            b'.' => dots += 1,
            _ => {}
        }
        if b"\n=,[]{}".contains(&byte) {
            dots = 0;
        }
        if brackets > MAX_DEPTH || dots > MAX_DEPTH {
            return Some(at);
        }
        at = match byte {
            b'#' => past(text, at, "\n"),
            b'"' | b'\'' => past_string(text, at),
            _ => at + 1,
        };
    }
    None
}

/// Returns the offset after the next `end`.
fn past(text: &str, at: usize, end: &str) -> usize {
    // Every caller stands on an ASCII character, so this is no middle of one.
    let found = text.get(at..).and_then(|rest| rest.find(end));
    found.map_or(text.len(), |found| at + found + end.len())
}

/// Returns the offset after the string that begins at `at`; one that is not closed ends with its line.
fn past_string(text: &str, at: usize) -> usize {
    for triple in ["\"\"\"", "'''"] {
        if text[at..].starts_with(triple) {
            return past(text, at + 3, triple);
        }
    }
    let bytes = text.as_bytes();
    let (quote, mut next) = (bytes[at], at + 1);
    while let Some(&byte) = bytes.get(next) {
        next += 1;
        match byte {
            b'\n' => break,
            b'\\' if quote == b'"' => next += 1,
            byte if byte == quote => break,
            _ => {}
        }
    }
    // An escape may have led into the middle of a character, or past the end.
    (next..text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(text.len())
}
