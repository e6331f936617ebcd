//! The tokens of a KDL text, also of one that is wrong.
//!
//! Stricter than people and more patient than a parser: what is no token is a [`Slip`], and reading goes
//! on behind it.

use std::ops::Range;

use crate::site::tree::MAX_DEPTH;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// Anything without quotes: a name, a number, or what somebody took for text.
    Word,
    /// `"text"`
    Quoted,
    /// `#"text"#`
    Raw,
    /// `#true` and its like.
    Keyword,
    Equals,
    Open,
    Close,
    Paren,
    Semicolon,
    Newline,
    /// `/-`
    Slashdash,
}

/// A token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KdlToken<'a> {
    pub(super) kind: TokenKind,
    pub(super) text: &'a str,
    /// The offset of its first byte.
    pub(super) at: usize,
    /// Whether a blank or the line's beginning stands before it.
    pub(super) spaced: bool,
}

impl KdlToken<'_> {
    pub(super) fn end(&self) -> usize {
        self.at + self.text.len()
    }
}

/// A mistake that is known by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slip {
    pub(super) at: Range<usize>,
    pub(super) message: String,
    pub(super) help: String,
}

impl Slip {
    pub(super) fn new(
        at: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Slip {
            at,
            message: message.into(),
            help: help.into(),
        }
    }
}

/// Splits a text into its tokens.
pub(super) fn lex(text: &str) -> (Vec<KdlToken<'_>>, Vec<Slip>) {
    let mut lexer = Lexer {
        text,
        at: 0,
        tokens: Vec::new(),
        slips: unprintable(text),
    };
    while lexer.at < text.len() {
        lexer.step();
    }
    (lexer.tokens, lexer.slips)
}

/// What ends a line in KDL.
pub(super) fn is_newline(c: char) -> bool {
    matches!(
        c,
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// Finds what KDL does not allow anywhere, and what nobody can see.
fn unprintable(text: &str) -> Vec<Slip> {
    let hidden = |c: char| match c {
        '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' => false,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' => true,
        '\u{feff}' => true,
        c => c.is_control(),
    };
    text.match_indices(hidden)
        .map(|(at, found)| {
            let code = found.chars().next().map_or(0, u32::from);
            Slip::new(
                at..at + found.len(),
                format!("an invisible character, U+{code:04X}, stands here"),
                "delete it and type the text again",
            )
        })
        .collect()
}

pub(super) struct Lexer<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    tokens: Vec<KdlToken<'a>>,
    pub(super) slips: Vec<Slip>,
}

impl<'a> Lexer<'a> {
    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn step(&mut self) {
        let rest = self.rest();
        let Some(c) = rest.chars().next() else {
            return;
        };
        match c {
            c if is_newline(c) => {
                let length = if rest.starts_with("\r\n") {
                    2
                } else {
                    c.len_utf8()
                };
                self.token(TokenKind::Newline, length);
            }
            c if c.is_whitespace() => self.at += c.len_utf8(),
            '/' if rest.starts_with("//") => self.at += to_end_of_line(rest),
            '/' if rest.starts_with("/*") => self.comment(),
            '/' if rest.starts_with("/-") => self.token(TokenKind::Slashdash, 2),
            ';' => self.token(TokenKind::Semicolon, 1),
            '=' => self.token(TokenKind::Equals, 1),
            '{' if rest.starts_with("{{") && !rest.starts_with("{{{") => self.template(),
            '{' => self.token(TokenKind::Open, 1),
            '}' => self.token(TokenKind::Close, 1),
            '(' | ')' => self.token(TokenKind::Paren, 1),
            '"' if rest.starts_with("\"\"\"") => self.block(0),
            '"' => self.quoted(),
            '#' => self.hash(),
            '\\' if continues_line(rest) => self.at += past_line(rest),
            'r' if rest[1..].trim_start_matches('#').starts_with('"') => self.old_raw(),
            _ => self.word(),
        }
    }

    pub(super) fn token(&mut self, kind: TokenKind, length: usize) {
        let before = self.text[..self.at].chars().next_back();
        self.tokens.push(KdlToken {
            kind,
            text: &self.rest()[..length],
            at: self.at,
            spaced: before.is_none_or(char::is_whitespace),
        });
        self.at += length;
    }

    pub(super) fn slip(&mut self, length: usize, message: &str, help: &str) {
        let slip = Slip::new(self.at..self.at + length, message, help);
        self.slips.push(slip);
    }

    fn comment(&mut self) {
        let (mut open, mut length) = (0, 0);
        let rest = self.rest();
        loop {
            let left = &rest[length..];
            let end = left.find("*/");
            let begin = left
                .find("/*")
                .filter(|begin| end.is_none_or(|end| *begin < end));
            (open, length) = match (begin, end) {
                (Some(begin), _) => (open + 1, length + begin + 2),
                (None, Some(end)) => (open - 1, length + end + 2),
                (None, None) => {
                    self.slip(2, "this comment is never closed", "close it with `*/`");
                    self.at = self.text.len();
                    return;
                }
            };
            if open > MAX_DEPTH {
                self.slip(
                    2,
                    "this comment nests too deep",
                    "begin its lines with `//`",
                );
                self.at = self.text.len();
                return;
            }
            if open == 0 {
                self.at += length;
                return;
            }
        }
    }

    fn template(&mut self) {
        let rest = self.rest();
        let length = rest
            .find("}}")
            .map_or(2, |end| end + 2)
            .min(to_end_of_line(rest));
        self.slip(
            length,
            "a template without quotes",
            "put the whole text in quotes",
        );
        self.at += to_end_of_line(rest);
    }

    fn hash(&mut self) {
        let rest = self.rest();
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        if rest[hashes..].starts_with("\"\"\"") {
            return self.block(hashes);
        }
        if rest[hashes..].starts_with('"') {
            return self.raw(hashes);
        }
        let length = rest[1..]
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .map_or(rest.len(), |length| length + 1);
        match &rest[..length] {
            "#true" | "#false" | "#null" | "#inf" | "#-inf" | "#nan" => {
                self.token(TokenKind::Keyword, length)
            }
            word if matches!(
                word.to_ascii_lowercase().as_str(),
                "#true" | "#false" | "#null"
            ) =>
            {
                let help = format!("write `{}`", word.to_ascii_lowercase());
                self.slip(length, &format!("`{word}` in capitals"), &help);
                self.token(TokenKind::Keyword, length);
            }
            _ => {
                self.slip(
                    1,
                    "a comment begins with `//` here",
                    "write `//` in place of `#`",
                );
                self.at += to_end_of_line(rest);
            }
        }
    }

    fn word(&mut self) {
        let rest = self.rest();
        let ends = |(at, c): (usize, char)| {
            let comment = rest[at..].starts_with("//") || rest[at..].starts_with("/*");
            let url = rest[..at].ends_with(':');
            c.is_whitespace() || "{}();\"=".contains(c) || comment && !url
        };
        let mut length = rest
            .char_indices()
            .skip(1)
            .find(|at| ends(*at))
            .map_or(rest.len(), |(at, _)| at);
        if rest[..length].contains("://") {
            length = rest
                .find(|c: char| c.is_whitespace() || "\";".contains(c))
                .unwrap_or(rest.len());
        }
        self.token(TokenKind::Word, length);
    }
}

pub(super) fn to_end_of_line(rest: &str) -> usize {
    rest.find(is_newline).unwrap_or(rest.len())
}

fn past_line(rest: &str) -> usize {
    let line = to_end_of_line(rest);
    let newline = if rest[line..].starts_with("\r\n") {
        2
    } else {
        1
    };
    (line + newline..rest.len())
        .find(|at| rest.is_char_boundary(*at))
        .unwrap_or(rest.len())
}

/// A backslash with nothing but a comment behind it joins two lines.
fn continues_line(rest: &str) -> bool {
    let behind = rest[1..to_end_of_line(rest)].trim_start();
    behind.is_empty() || behind.starts_with("//")
}
