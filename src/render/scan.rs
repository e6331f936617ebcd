//! Finds what a template refers to: other templates, filters, tests and functions, each with its position.
//!
//! The template engine only checks references while it renders. This scan lets `check` report missing ones as soon as the file
//! is loaded. It parses tags only as far as that needs; their grammar is left to the engine.

use std::ops::Range;

use crate::matcher::{MAX_DEPTH, is_too_deep};

/// A reference in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) target: ReferenceTarget,
    /// Its byte range in the template.
    pub(super) range: Range<usize>,
}

/// What a reference is to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReferenceTarget {
    /// A template; `required` unless the tag has `ignore missing` or lists several names.
    Template {
        name: String,
        required: bool,
    },
    /// A template whose name is computed during rendering.
    DynamicTemplate,
    Filter(String),
    Test(String),
    /// A call of a function.
    Call(String),
}

/// One token between the delimiters of a tag.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TemplateToken {
    Word(String),
    Text(String),
    Sign(char),
}

pub(super) type PlacedToken = (TemplateToken, Range<usize>);

/// Lists all references in `text`, in their order.
pub(super) fn references(text: &str) -> Vec<Reference> {
    let mut found = Vec::new();
    for_each_tag(text, |tokens, _, is_statement| match is_statement {
        true => in_tag(tokens, &mut found),
        false => in_expression(tokens, &mut found),
    });
    found
}

/// Returns the byte range of the first tag of `text` that the engine could not handle without exhausting the stack: it contains
/// too deep an expression, or is one `elif` too many.
pub(super) fn too_deep(text: &str) -> Option<Range<usize>> {
    let mut found = None;
    let mut branches = 0;
    for_each_tag(text, |tokens, inside, _| {
        let words = tokens.iter().map(|(token, _)| token).take(2);
        branches += words
            .filter(|token| **token == TemplateToken::Word("elif".into()))
            .count();
        if found.is_none() && (branches > MAX_DEPTH || is_too_deep(&text[inside.clone()])) {
            found = Some(inside);
        }
    });
    found
}

/// Calls `visit` with the tokens and the range of every tag, and with whether it is a statement.
pub(super) fn for_each_tag(text: &str, mut visit: impl FnMut(&[PlacedToken], Range<usize>, bool)) {
    let mut at = 0;
    while let Some(open) = text[at..].find('{').map(|offset| at + offset) {
        let inside = open + 2;
        at = match text.as_bytes().get(open + 1) {
            Some(b'#') => text[inside..]
                .find("#}")
                .map_or(text.len(), |end| inside + end + 2),
            Some(b'{') => {
                let (tokens, end) = tokens(text, inside, "}}");
                visit(&tokens, inside..inside_end(text, end, "}}"), false);
                end
            }
            Some(b'%') => {
                let (tokens, end) = tokens(text, inside, "%}");
                visit(&tokens, inside..inside_end(text, end, "%}"), true);
                after_raw(text, &tokens, end)
            }
            _ => open + 1,
        };
    }
}

/// The end of what is inside a tag that ends at `end`.
fn inside_end(text: &str, end: usize, close: &str) -> usize {
    match text[..end].ends_with(close) {
        true => end - close.len(),
        false => end,
    }
}

/// Returns where the scan continues: behind `endraw` if the tag was `raw`.
fn after_raw(text: &str, tokens: &[PlacedToken], end: usize) -> usize {
    let raw = matches!(tokens.first(), Some((TemplateToken::Word(word), _)) if word == "raw");
    if !raw {
        return end;
    }
    text[end..]
        .find("endraw")
        .map_or(text.len(), |offset| end + offset + "endraw".len())
}

/// Returns the tokens from `start` to `close`, and the position behind `close`.
fn tokens(text: &str, start: usize, close: &str) -> (Vec<PlacedToken>, usize) {
    let mut list = Vec::new();
    let mut at = start;
    while let Some(c) = text[at..].chars().next() {
        if text[at..].starts_with(close) {
            return (list, at + close.len());
        }
        let length = match c {
            '"' | '\'' => text_length(&text[at..], c),
            c if is_word(c) => text[at..].find(|c| !is_word(c)).unwrap_or(text.len() - at),
            c => c.len_utf8(),
        };
        let range = at..at + length;
        let token = match c {
            '"' | '\'' => Some(TemplateToken::Text(
                text[range.clone()].trim_matches(c).into(),
            )),
            c if is_word(c) => Some(TemplateToken::Word(text[range.clone()].into())),
            c if c.is_whitespace() => None,
            c => Some(TemplateToken::Sign(c)),
        };
        list.extend(token.map(|token| (token, range)));
        at += length;
    }
    (list, text.len())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of a string literal, including the quotes.
fn text_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn in_tag(tokens: &[PlacedToken], found: &mut Vec<Reference>) {
    // A leading `-` or `+` belongs to the delimiter.
    let body = match tokens.first() {
        Some((TemplateToken::Sign('-' | '+'), _)) => &tokens[1..],
        _ => tokens,
    };
    if let [(TemplateToken::Word(tag), _), rest @ ..] = body {
        match (tag.as_str(), rest) {
            ("include" | "extends" | "import" | "from", _) => in_reference(tag, rest, found),
            ("filter", [(TemplateToken::Word(name), range), ..]) => {
                found.push(Reference {
                    target: ReferenceTarget::Filter(name.clone()),
                    range: range.clone(),
                });
            }
            _ => {}
        }
    }
    in_expression(body, found);
}

/// Adds the templates that a tag names.
fn in_reference(tag: &str, tokens: &[PlacedToken], found: &mut Vec<Reference>) {
    let ignored = tokens
        .iter()
        .any(|(token, _)| *token == TemplateToken::Word("ignore".into()));
    let (names, required): (Vec<&PlacedToken>, bool) = match tokens.first() {
        Some(first @ (TemplateToken::Text(_), _)) => (vec![first], !ignored),
        Some((TemplateToken::Sign('['), _)) if tag == "include" => {
            let listed = tokens
                .iter()
                .take_while(|(token, _)| *token != TemplateToken::Sign(']'));
            (
                listed
                    .filter(|(token, _)| matches!(token, TemplateToken::Text(_)))
                    .collect(),
                false,
            )
        }
        Some((_, range)) => {
            found.push(Reference {
                target: ReferenceTarget::DynamicTemplate,
                range: range.clone(),
            });
            return;
        }
        None => return,
    };
    for (token, range) in names {
        if let TemplateToken::Text(name) = token {
            let target = ReferenceTarget::Template {
                name: name.clone(),
                required,
            };
            found.push(Reference {
                target,
                range: range.clone(),
            });
        }
    }
}

/// Adds filters, tests and calls.
fn in_expression(tokens: &[PlacedToken], found: &mut Vec<Reference>) {
    for window in 0..tokens.len() {
        let target = match &tokens[window..] {
            [
                (TemplateToken::Sign('|'), _),
                (TemplateToken::Word(name), range),
                ..,
            ] => Some((ReferenceTarget::Filter(name.clone()), range)),
            [
                (TemplateToken::Word(is), _),
                (TemplateToken::Word(not), _),
                (TemplateToken::Word(name), range),
                ..,
            ] if is == "is" && not == "not" => Some((ReferenceTarget::Test(name.clone()), range)),
            [
                (TemplateToken::Word(is), _),
                (TemplateToken::Word(name), range),
                ..,
            ] if is == "is" && name != "not" => Some((ReferenceTarget::Test(name.clone()), range)),
            [
                (TemplateToken::Word(name), range),
                (TemplateToken::Sign('('), _),
                ..,
            ] => Some((ReferenceTarget::Call(name.clone()), range)),
            _ => None,
        };
        found.extend(target.map(|(target, range)| Reference {
            target,
            range: range.clone(),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<(ReferenceTarget, &str)> {
        references(text)
            .into_iter()
            .map(|found| (found.target, &text[found.range]))
            .collect()
    }

    fn template(name: &str, required: bool) -> ReferenceTarget {
        ReferenceTarget::Template {
            name: name.into(),
            required,
        }
    }

    #[test]
    fn every_tag_that_names_a_template_is_found() {
        for (text, target) in [
            ("{% extends \"a.j2\" %}", template("a.j2", true)),
            ("{%- include 'a.j2' -%}", template("a.j2", true)),
            (
                "{% include 'a.j2' ignore missing %}",
                template("a.j2", false),
            ),
            ("{% include ['a.j2'] %}", template("a.j2", false)),
            ("{% import 'a.j2' as a %}", template("a.j2", true)),
            ("{% from 'a.j2' import b %}", template("a.j2", true)),
            ("{% include name %}", ReferenceTarget::DynamicTemplate),
        ] {
            assert_eq!(references(text)[0].target, target, "{text}");
        }
    }

    #[test]
    fn filters_tests_and_calls_are_found_in_code_only() {
        let text = "{{ a | sh }} | no {% if b is not even %}{% filter upper %}{{ '| no' }}{# {{ c | no }} #}{% raw %}{{ d | no }}{% endraw %}{{ f(1) is odd }}";
        assert_eq!(
            all(text),
            [
                (ReferenceTarget::Filter("sh".into()), "sh"),
                (ReferenceTarget::Test("even".into()), "even"),
                (ReferenceTarget::Filter("upper".into()), "upper"),
                (ReferenceTarget::Call("f".into()), "f"),
                (ReferenceTarget::Test("odd".into()), "odd"),
            ]
        );
    }

    #[test]
    fn an_unterminated_tag_does_not_panic() {
        for text in [
            "{{",
            "{%",
            "{#",
            "{{ 'a",
            "{% raw %}",
            "{",
            "{{ \"\\",
            "{% include",
            "é{é{{ é",
        ] {
            references(text);
        }
    }
}
