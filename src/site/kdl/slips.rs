//! Finds common mistakes in KDL, which are called slips here.
//!
//! Slips in an invalid text are errors. A valid text can contain slips as well: `tags a, b` is the tags `a,` and `b`, and
//! `url http://mirror.example/` is the URL `http:` and a comment.

use ::kdl::{KdlEntry, KdlIdentifier};

use crate::{
    model::{FileId, SourceSpan},
    site::{Diagnostic, literal, mask::mask},
};

use super::{
    source_span,
    tokens::{KdlToken, Scan, Slip, TokenKind, invisible, line_length},
};

/// Finds the first slip of each line, in the order of the text.
pub(super) fn slips(scan: &Scan<'_>) -> Vec<Slip> {
    let text = scan.text;
    let mut slips = scan.slips.clone();
    slips.extend(token_slips(scan));
    if slips.is_empty() {
        slips.clone_from(&scan.structure);
    }
    slips.sort_by_key(|slip| slip.at.start);
    slips.dedup_by_key(|slip| text[..slip.at.start].matches('\n').count());
    // In a file of another format, all other slips are consequences.
    let other_format = slips.iter().position(|slip| slip.message == TOML_HEADER);
    match other_format {
        Some(at) => vec![slips.swap_remove(at)],
        None => slips,
    }
}

/// Turns slips into diagnostics.
pub(super) fn diagnostics(
    slips: &[Slip],
    severity: fn(String, SourceSpan) -> Diagnostic,
    text: &str,
    file: FileId,
) -> Vec<Diagnostic> {
    if slips.is_empty() {
        return Vec::new();
    }
    let masked = mask(text);
    let diagnostic = |slip: &Slip| {
        let span = source_span(file, slip.at.start, slip.at.len());
        severity(unless_secret(slip, text, &masked), span).help(&*slip.help)
    };
    slips.iter().map(diagnostic).collect()
}

/// Returns a slip's message. If the text that it quotes contains a secret, the quote is replaced.
fn unless_secret(slip: &Slip, text: &str, masked: &str) -> String {
    let quoted = &text[slip.at.clone()];
    match masked.get(slip.at.clone()) == Some(quoted) {
        true => slip.message.clone(),
        false => slip.message.replace(quoted, "…"),
    }
}

const TOML_HEADER: &str = "this is a table header of TOML";

/// The position of a token in its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Name,
    AfterName,
    Value,
    AfterBlock,
}

/// A token with its neighbours.
struct Place<'t> {
    tokens: &'t [KdlToken<'t>],
    at: usize,
    role: Role,
}

/// Finds the slips of single tokens.
fn token_slips(scan: &Scan<'_>) -> Vec<Slip> {
    let mut slips = invisible_characters(scan);
    let mut role = Role::Name;
    // The current line, the lines on which the open blocks begin, and the values of the node so far.
    let (mut line, mut blocks, mut values) = (0, Vec::new(), Vec::new());
    for (at, &token) in scan.tokens.iter().enumerate() {
        let tokens = &scan.tokens[..];
        let place = Place { tokens, at, role };
        slips.extend(place.slip(token, scan.text));
        match token.kind {
            TokenKind::Newline | TokenKind::Semicolon | TokenKind::Open | TokenKind::Close => {
                let is_one_line = blocks.last() == Some(&line);
                slips.extend(run_together(&values).filter(|_| is_one_line));
                values.clear();
                role = Role::Name;
            }
            TokenKind::Equals => drop(values.pop()),
            _ if !token.is_value() || role == Role::AfterBlock => {}
            _ if role == Role::Name => role = Role::AfterName,
            _ if place
                .before()
                .is_some_and(|before| before.kind == TokenKind::Equals) => {}
            _ => {
                values.push(token);
                role = Role::Value;
            }
        }
        match token.kind {
            TokenKind::Newline => line += 1,
            TokenKind::Open => blocks.push(line),
            TokenKind::Close => {
                blocks.pop();
                role = Role::AfterBlock;
            }
            _ => {}
        }
    }
    slips
}

impl<'t> Place<'t> {
    fn before(&self) -> Option<KdlToken<'t>> {
        self.tokens[..self.at].last().copied()
    }

    fn next(&self) -> Option<KdlToken<'t>> {
        self.tokens.get(self.at + 1).copied()
    }

    /// Returns the next token, if no white space precedes it.
    fn adjacent(&self) -> Option<KdlToken<'t>> {
        self.next().filter(|next| !next.spaced)
    }

    fn slip(&self, token: KdlToken<'_>, text: &str) -> Option<Slip> {
        let slip = |message: &str, help: &str| Some(Slip::new(token.range(), message, help));
        let before = self.before().map(|before| before.kind);
        match (token.kind, self.role) {
            (TokenKind::Open, _) if self.is_template() => {
                let line = &text[token.at..token.at + line_length(&text[token.at..])];
                let end = token.at + line.find("}}").unwrap_or(line.len() - 2) + 2;
                let help = "put the whole text in quotes";
                Some(Slip::new(token.at..end, "a template without quotes", help))
            }
            (TokenKind::Open, Role::AfterBlock) if before == Some(TokenKind::Slashdash) => None,
            (TokenKind::Open, Role::AfterBlock) => slip(
                "a second block for one name",
                "put everything into one block",
            ),
            (TokenKind::Open, Role::Name) => slip(
                "a block without a name",
                "write `{` on the same line as the name of the block",
            ),
            (TokenKind::Paren, _) if self.is_annotation() => None,
            (TokenKind::Paren, _) => slip(
                "unexpected parentheses",
                "omit them; a list is written `name \"a\" \"b\"`",
            ),
            (TokenKind::Equals, Role::Name) => slip(
                "`=` without a name before it",
                "write `name=value` without a line break, or `name value`",
            ),
            (TokenKind::Equals, Role::AfterName) => slip(
                "`=` between a name and its value",
                "write a space between name and value; `=` is for properties, such as `policy \"web\" order=10`",
            ),
            (TokenKind::Equals, Role::Value) if before == Some(TokenKind::Equals) => {
                slip("`=` is written twice", "a property is written `name=value`")
            }
            (TokenKind::Equals, Role::Value)
                if !self
                    .next()
                    .is_some_and(|next| next.is_value() || "=(".contains(next.text)) =>
            {
                slip("no value after `=`", "a property is written `name=value`")
            }
            (TokenKind::Keyword, Role::Name) => slip(
                &format!("a line begins with a name, not with `{}`", token.text),
                "write the name of the setting first",
            ),
            (_, Role::AfterBlock) if token.is_value() || token.kind == TokenKind::Equals => slip(
                &format!("`{}` after the block", token.text),
                "write values and properties before `{`; begin a new setting on a new line or after `;`",
            ),
            (TokenKind::Word, Role::Name) => self.name(token),
            (TokenKind::Word, _) => self.value(token, text),
            (TokenKind::Text | TokenKind::Keyword, _) => self.after_quotes(token),
            _ => None,
        }
    }

    /// Returns whether a brace is the first one of `{{`.
    fn is_template(&self) -> bool {
        self.adjacent()
            .is_some_and(|next| next.kind == TokenKind::Open)
    }

    /// Returns whether a parenthesis belongs to a type annotation: `(u8)10`.
    fn is_annotation(&self) -> bool {
        let is = |at: Option<usize>, text: &str| {
            let token = at.and_then(|at| self.tokens.get(at));
            token.is_some_and(|token| token.text == text)
        };
        match self.tokens[self.at].text {
            "(" => is(Some(self.at + 2), ")"),
            _ => is(self.at.checked_sub(2), "("),
        }
    }

    fn name(&self, name: KdlToken<'_>) -> Option<Slip> {
        let word = name.text;
        if word.starts_with('[') {
            let help = "in KDL an object is written `policy \"web\" { … }`; a file of TOML is named `….toml`";
            return Some(Slip::new(name.at..name.end(), TOML_HEADER, help));
        }
        if let Some(slip) = wrong_quotes(name) {
            return Some(slip);
        }
        match word.chars().last() {
            Some(':') if word.len() > 1 => return Some(colon(name.end() - 1)),
            Some(',') => return Some(comma(name.end() - 1)),
            _ => {}
        }
        if let Some(next) = self.adjacent().filter(|next| next.kind == TokenKind::Text) {
            let help = "put a space between the name and its value";
            return Some(Slip::new(next.at..next.end(), "a missing space", help));
        }
        let is_name = KdlIdentifier::parse(word).is_ok();
        (!is_name).then(|| needs_quotes(name.at, "this name", word))
    }

    fn value(&self, token: KdlToken<'_>, text: &str) -> Option<Slip> {
        let word = token.text;
        let slip = |message: &str, help: &str| Some(Slip::new(token.range(), message, help));
        if let Some(slip) = wrong_quotes(token) {
            return Some(slip);
        }
        if word.starts_with('[') || word.ends_with(']') {
            let help = "write its values one after the other: `tags \"a\" \"b\"`";
            return slip("brackets around a list", help);
        }
        if word.starts_with(',') {
            return Some(comma(token.at));
        }
        if word.ends_with(',') {
            return Some(comma(token.end() - 1));
        }
        if word.ends_with(':') && text[token.end()..].starts_with("//") {
            let end = text[token.at..].find(|c: char| c.is_whitespace() || "\";".contains(c));
            let url = &text[token.at..end.map_or(text.len(), |end| token.at + end)];
            return Some(needs_quotes(token.at, "a URL", url));
        }
        let lower = word.to_ascii_lowercase();
        let without_hash = format!("`{word}` without `#`");
        match lower.as_str() {
            "true" | "false" | "null" => return slip(&without_hash, &format!("write `#{lower}`")),
            "inf" | "-inf" | "nan" if word == lower => {
                return slip(&without_hash, "put it in quotes");
            }
            _ => {}
        }
        if let Some(next) = self.adjacent().filter(|next| next.kind == TokenKind::Text) {
            if word.trim_end_matches('#') == "r" {
                let help = "write `#\"…\"#`, without the `r`";
                let message = "this is a raw string of KDL 1";
                return Some(Slip::new(token.at..next.end(), message, help));
            }
            let help = "put the whole text in quotes";
            return Some(Slip::new(
                next.at..next.end(),
                "a quote in the middle of a word",
                help,
            ));
        }
        let is_property = self
            .next()
            .is_some_and(|next| next.kind == TokenKind::Equals);
        let fits =
            KdlIdentifier::parse(word).is_ok() || !is_property && KdlEntry::parse(word).is_ok();
        (!fits).then(|| needs_quotes(token.at, literal::kind_of(word), word))
    }

    /// Checks the token that follows a text or a keyword without white space.
    fn after_quotes(&self, token: KdlToken<'_>) -> Option<Slip> {
        let next = self.adjacent()?;
        match next.text.chars().next()? {
            ',' => Some(comma(next.at)),
            ':' => Some(colon(next.at)),
            _ if next.is_value() && token.kind == TokenKind::Text => Some(Slip::new(
                token.end() - 1..token.end(),
                "a quote inside quotes",
                "write `\\\"` for it, or put the whole text in #\"…\"#",
            )),
            _ => None,
        }
    }
}

/// Finds several settings on one line, such as `{ a "1" b "2" }`. KDL reads them as the values of one setting.
fn run_together(values: &[KdlToken<'_>]) -> Option<Slip> {
    let is_name = |token: &KdlToken<'_>| {
        token.kind == TokenKind::Word && KdlIdentifier::parse(token.text).is_ok()
    };
    let mut pairs = values.iter().enumerate();
    let alternate = pairs.all(|(at, token)| is_name(token) == (at % 2 == 1));
    let token = values
        .get(1)
        .filter(|_| alternate && values.len() >= 3 && values.len() % 2 == 1)?;
    let message = format!(
        "`{}` is read as a value of the setting before it",
        token.text
    );
    Some(Slip::new(
        token.at..token.end(),
        &message,
        "put `;` between settings on one line",
    ))
}

/// Finds invisible characters that KDL allows.
fn invisible_characters(scan: &Scan<'_>) -> Vec<Slip> {
    let is_invisible = |c: &char| matches!(c, '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}');
    let tokens = scan.tokens.iter().filter(|token| token.is_value());
    let found = tokens.flat_map(|token| {
        let chars = token.text.char_indices().filter(|(_, c)| is_invisible(c));
        chars.map(|(at, c)| invisible(token.at + at, c))
    });
    found.collect()
}

fn comma(at: usize) -> Slip {
    Slip::new(
        at..at + 1,
        "a comma between values",
        "write only a space between them",
    )
}

fn colon(at: usize) -> Slip {
    let help = "KDL has no colons: write `name \"value\"`, or `name { … }`";
    Slip::new(at..at + 1, "a colon after a name", help)
}

fn wrong_quotes(token: KdlToken<'_>) -> Option<Slip> {
    let mut chars = token.text.char_indices();
    if let Some((at, quote)) = chars.find(|(_, c)| "“”„‟‘’‚«»".contains(*c)) {
        let at = token.at + at;
        let message = format!("`{quote}` is a typographic quote");
        return Some(Slip::new(at..at + quote.len_utf8(), &message, "write `\"`"));
    }
    let single = token.text.starts_with(['\'', '`']);
    let slip = || {
        Slip::new(
            token.at..token.at + 1,
            "text needs double quotes",
            "write `\"…\"`",
        )
    };
    single.then(slip)
}

fn needs_quotes(at: usize, what: &str, word: &str) -> Slip {
    let message = format!("{what} without quotes: `{word}`");
    Slip::new(at..at + word.len(), &message, "put it in quotes")
}
