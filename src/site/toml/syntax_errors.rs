//! Explains the syntax errors of a TOML text, with how to fix them.

use std::{collections::BTreeSet, ops::Range};

use ::toml::de::{DeTable, DeValue, Error};

use crate::{
    model::{FileId, Spanned},
    site::{Diagnostic, literal, mask::mask, tree},
};

use super::source_span;

/// Returns the first error of each line. Others on the same line are mostly its consequences.
pub(super) fn syntax_errors(text: &str, file: FileId, errors: &[Error]) -> Vec<Diagnostic> {
    let mut lines = BTreeSet::new();
    let mut list = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let start = floor(text, span.start);
        let line = text[..start].matches('\n').count();
        if lines.insert(line) {
            list.push(syntax_error(
                text,
                file,
                error,
                start..floor(text, span.end),
            ));
        }
    }
    list
}

fn syntax_error(text: &str, file: FileId, error: &Error, span: Range<usize>) -> Diagnostic {
    let at = source_span(file, span.start..span.end.max(span.start));
    if error.message() == "duplicate key" {
        let key = text[span.clone()].trim_matches(['"', '\'']);
        let key = Spanned::new(key.to_owned(), at);
        return match first_of(text, span) {
            Some(first) => tree::twice(&key, source_span(file, first)),
            None => Diagnostic::error(format!("`{}` is set twice", key.value), at)
                .help("keep one of the two"),
        };
    }
    if let Some(word) = bare_value(text, span.start) {
        return without_quotes(text, file, word);
    }
    match error.message() {
        message if message.starts_with("invalid") && message.contains("string, expected") => {
            let opening = opening_quote(text, span.start);
            let at = opening.map_or(at, |at| source_span(file, at..at + 1));
            let help = "close it on the same line";
            Diagnostic::error("this quote is never closed", at).help(help)
        }
        message if message.starts_with("missing escaped value") => {
            let escaped = text[span.start..].chars().next().unwrap_or_default();
            Diagnostic::error(format!("`\\{escaped}` is not an escape sequence"), at)
                .help("write `\\\\` for a backslash, or put the text in single quotes")
        }
        "key with no value, expected `=`" => {
            Diagnostic::error("a key without `=` and a value", at).help("write `key = value`")
        }
        message => Diagnostic::error(message, at),
    }
}

/// Returns the offset of the quote that is still open at `at`.
fn opening_quote(text: &str, at: usize) -> Option<usize> {
    if at == text.len()
        && let Some(triple) = text.rfind("\"\"\"").max(text.rfind("'''"))
    {
        return Some(triple);
    }
    let from = text[..at].rfind('\n').map_or(0, |at| at + 1);
    let equals = from + text[from..at].find('=')?;
    let quote = equals + text[equals..at].find(['"', '\''])?;
    Some(quote)
}

/// Returns the range of the value on the line at `at`, if it is one word without quotes.
fn bare_value(text: &str, at: usize) -> Option<Range<usize>> {
    let from = text[..at].rfind('\n').map_or(0, |at| at + 1);
    let line = text[from..].lines().next()?;
    let (key, value) = line.split_once('=')?;
    let word = value.split('#').next().unwrap_or_default().trim();
    let one_word = !word.contains(|c: char| c.is_whitespace() || "\"'[]{}=,".contains(c));
    let start = from + key.len() + 1 + (value.len() - value.trim_start().len());
    (one_word && !word.is_empty()).then(|| start..start + word.len())
}

fn without_quotes(text: &str, file: FileId, word: Range<usize>) -> Diagnostic {
    let at = source_span(file, word.clone());
    let quoted = &text[word.clone()];
    let lower = quoted.to_ascii_lowercase();
    if lower == "true" || lower == "false" {
        return Diagnostic::error(format!("`{quoted}` is not in lower case"), at)
            .help(format!("write `{lower}`"));
    }
    // The line may contain a secret.
    let shown = match mask(text).get(word) == Some(quoted) {
        true => format!(": `{quoted}`"),
        false => String::new(),
    };
    let what = literal::kind_of(quoted);
    Diagnostic::error(format!("{what} without quotes{shown}"), at).help("put it in quotes")
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

/// Returns the first range of the repeated key at `span`. The parser reports only the second.
fn first_of(text: &str, span: Range<usize>) -> Option<Range<usize>> {
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
    // If this is not a key, the diagnostic has no first place.
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
