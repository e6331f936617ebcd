//! Splits a KDL text into tokens, and finds slips that no valid text contains.
//!
//! For valid KDL the tokens are exact: if this scanner finds a [`Slip`], the crate `kdl` rejects the text as well. The reverse
//! is not true: the crate decides whether a text is valid. The scanner exists because the crate's parser is recursive: once
//! for each open block, for each `*` or `/` inside a comment and for each error at the top level, and twice for each
//! slashdashed block inside another one.

use std::ops::Range;

use crate::site::{ObjectKind, tree::MAX_DEPTH};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A word without quotes: a name, a number, or text that needs quotes.
    Word,
    /// A string in quotes, on one line or several, raw or not.
    Text,
    /// `#true`, `#false`, `#null` or a special number such as `#inf`.
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KdlToken<'t> {
    pub(super) kind: TokenKind,
    pub(super) text: &'t str,
    /// The offset of its first byte.
    pub(super) at: usize,
    /// Whether it follows white space or a comment, or is at the beginning of the text.
    pub(super) spaced: bool,
}

impl KdlToken<'_> {
    pub(super) fn end(&self) -> usize {
        self.at + self.text.len()
    }

    pub(super) fn range(&self) -> Range<usize> {
        self.at..self.end()
    }

    /// Returns whether it can be a name or a value.
    pub(super) fn is_value(&self) -> bool {
        use TokenKind::{Keyword, Text, Word};
        matches!(self.kind, Word | Text | Keyword)
    }

    pub(super) fn is_string(&self) -> bool {
        self.kind == TokenKind::Text
    }
}

/// A common mistake, recognized by its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slip {
    pub(super) at: Range<usize>,
    pub(super) message: String,
    pub(super) help: String,
}

impl Slip {
    pub(super) fn new(at: Range<usize>, message: &str, help: &str) -> Self {
        let (message, help) = (message.to_owned(), help.to_owned());
        Slip { at, message, help }
    }
}

/// A text and its tokens.
pub(super) struct Scan<'t> {
    pub(super) text: &'t str,
    pub(super) tokens: Vec<KdlToken<'t>>,
    /// The slips that make the text invalid in any case.
    pub(super) slips: Vec<Slip>,
    /// Like `slips`, for unmatched braces and missing spaces, which are often the consequence of another slip.
    pub(super) structure: Vec<Slip>,
    /// The maximum depth of nested blocks.
    pub(super) depth: usize,
    /// The offset at which the depth exceeds [`MAX_DEPTH`].
    pub(super) too_deep: Option<usize>,
    /// The text with spaces in place of comments, and of slashdashed blocks inside slashdashed blocks.
    plain: Vec<u8>,
    /// Like `plain`, with `_` in place of the contents of strings except white space.
    pub(super) masked: Vec<u8>,
    /// The maximum depth that the contents of strings could add if the parser read them as blocks.
    pub(super) quoted_depth: usize,
    /// The offset of the next character.
    pub(super) at: usize,
    is_spaced: bool,
}

/// Splits a text into tokens.
pub(super) fn scan(text: &str) -> Scan<'_> {
    let mut scan = Scan {
        text,
        tokens: Vec::new(),
        slips: Vec::new(),
        structure: Vec::new(),
        depth: 0,
        too_deep: None,
        plain: text.into(),
        masked: text.into(),
        quoted_depth: 0,
        at: 0,
        is_spaced: true,
    };
    while scan.at < text.len() {
        scan.step();
    }
    scan.check_blocks();
    scan
}

/// Returns whether a character ends a line in KDL. Other white space does not.
pub(super) fn is_newline(c: char) -> bool {
    matches!(c, '\n'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Returns whether a character is not allowed outside comments.
pub(super) fn is_disallowed(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{e}'..='\u{1f}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Returns the length of the first line of `rest`, without its line end.
pub(super) fn line_length(rest: &str) -> usize {
    rest.find(is_newline).unwrap_or(rest.len())
}

impl<'t> Scan<'t> {
    /// Returns whether the scan shows that the crate would reject the text.
    pub(super) fn is_invalid(&self) -> bool {
        !self.slips.is_empty() || !self.structure.is_empty()
    }

    /// Returns the text without the parts that the parser may ignore. Every byte keeps its offset.
    pub(super) fn plain(&self) -> &str {
        str::from_utf8(&self.plain).expect("whole characters were replaced")
    }

    /// Returns the text without the contents of strings, if the parser could exhaust the stack on them: after an error inside a
    /// string, it reads the rest of the string as blocks and comments.
    pub(super) fn masked(&self) -> Option<&str> {
        let is_deep = self.depth + self.quoted_depth > MAX_DEPTH;
        is_deep.then(|| str::from_utf8(&self.masked).expect("whole characters were replaced"))
    }

    pub(super) fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn step(&mut self) {
        let rest = self.rest();
        let Some(c) = rest.chars().next() else {
            return;
        };
        match c {
            '\r' if rest.starts_with("\r\n") => self.token(TokenKind::Newline, 2),
            c if is_newline(c) => self.token(TokenKind::Newline, c.len_utf8()),
            c if c.is_whitespace() => self.skip(c.len_utf8()),
            // A byte order mark.
            '\u{feff}' if self.at == 0 => self.ignore(c.len_utf8()),
            c if is_disallowed(c) => {
                self.slips.push(invisible(self.at, c));
                self.at += c.len_utf8();
            }
            '/' if rest.starts_with("//") => self.ignore(line_length(rest)),
            '/' if rest.starts_with("/*") => self.comment(),
            '/' if rest.starts_with("/-") => self.token(TokenKind::Slashdash, 2),
            ';' => self.token(TokenKind::Semicolon, 1),
            '=' => self.token(TokenKind::Equals, 1),
            '{' => self.token(TokenKind::Open, 1),
            '}' => self.token(TokenKind::Close, 1),
            '(' | ')' => self.token(TokenKind::Paren, 1),
            '"' | '#' => self.hash_or_quote(rest),
            '\\' if self.continues_line() => {}
            _ => self.token(TokenKind::Word, word_length(rest)),
        }
    }

    pub(super) fn token(&mut self, kind: TokenKind, length: usize) {
        let token = KdlToken {
            kind,
            text: &self.rest()[..length],
            at: self.at,
            spaced: self.is_spaced,
        };
        self.check_space(&token);
        self.tokens.push(token);
        self.at += length;
        self.is_spaced = kind == TokenKind::Newline;
    }

    /// Reports a missing space before or after a string.
    fn check_space(&mut self, token: &KdlToken<'_>) {
        let Some(before) = self.tokens.last().filter(|_| !token.spaced) else {
            return;
        };
        let begins = token.is_value() || token.kind == TokenKind::Slashdash || token.text == "(";
        if before.is_string() && begins || token.is_string() && before.is_value() {
            let (message, help) = ("a missing space", "put a space between values");
            self.structure.push(Slip::new(token.range(), message, help));
        }
    }

    /// Reports a slip in the next `length` bytes.
    pub(super) fn slip(&mut self, length: usize, message: &str, help: &str) {
        let at = self.at..self.at + length;
        self.slips.push(Slip::new(at, message, help));
    }

    fn skip(&mut self, length: usize) {
        self.at += length;
        self.is_spaced = true;
    }

    fn ignore(&mut self, length: usize) {
        self.erase(self.at..self.at + length);
        self.skip(length);
    }

    fn erase(&mut self, range: Range<usize>) {
        self.plain[range.clone()].fill(b' ');
        self.masked[range].fill(b' ');
    }

    fn comment(&mut self) {
        let rest = self.rest();
        let (mut open, mut length) = (1, 2);
        while open > 0 {
            let ends = ["*/", "/*"].map(|mark| rest[length..].find(mark));
            let Some(next) = ends.iter().flatten().min() else {
                self.slip(2, "this comment is never closed", "close it with `*/`");
                return self.ignore(rest.len());
            };
            match ends[0] == Some(*next) {
                true => open -= 1,
                false => open += 1,
            }
            if open > MAX_DEPTH {
                self.too_deep.get_or_insert(self.at);
            }
            length += next + 2;
        }
        self.ignore(length);
    }

    /// Skips a backslash that joins two lines: only white space and comments follow it on its line.
    fn continues_line(&mut self) -> bool {
        let start = self.at;
        self.at += 1;
        while let Some(c) = self.rest().chars().next() {
            let rest = self.rest();
            match c {
                '\r' if rest.starts_with("\r\n") => return self.joins(2),
                c if is_newline(c) => return self.joins(c.len_utf8()),
                c if c.is_whitespace() => self.at += c.len_utf8(),
                '/' if rest.starts_with("/*") => self.comment(),
                '/' if rest.starts_with("//") => self.ignore(line_length(rest)),
                _ => {
                    self.at = start;
                    return false;
                }
            }
        }
        self.joins(0)
    }

    fn joins(&mut self, length: usize) -> bool {
        self.skip(length);
        true
    }

    /// Matches braces, and measures the depth of nested blocks and slashdashes.
    fn check_blocks(&mut self) {
        // The open blocks, each with the offset of its `{` and of the `/-` before it.
        let mut open: Vec<(usize, Option<usize>)> = Vec::new();
        let (mut unclosed, mut ignored) = (None, Vec::new());
        let (mut slashdashes, mut slashdash, mut line_start) = (0, None, 0);
        for token in &self.tokens {
            match token.kind {
                TokenKind::Newline => {
                    line_start = token.end();
                    continue;
                }
                TokenKind::Open => open.push((token.at, slashdash)),
                TokenKind::Close => match open.pop() {
                    Some((_, Some(start)))
                        if open.iter().any(|(_, slashdash)| slashdash.is_some()) =>
                    {
                        ignored.push(start..token.end());
                    }
                    Some(_) => {}
                    None => {
                        let help = "delete it, or add the missing `{` before it";
                        let slip = Slip::new(token.range(), "this `}` has no matching `{`", help);
                        self.structure.push(slip);
                    }
                },
                // An object at the beginning of a line inside a block: the block before it was not closed.
                TokenKind::Word
                    if token.at == line_start && ObjectKind::of(token.text).is_some() =>
                {
                    unclosed = unclosed.or(open.last().map(|(at, _)| *at));
                }
                _ => {}
            }
            // After two slashdashes in a row, the parser calls itself up to the end of the node.
            let is_slashdash = token.kind == TokenKind::Slashdash;
            slashdashes += usize::from(is_slashdash && slashdash.is_some());
            slashdash = is_slashdash.then_some(token.at);
            self.depth = self.depth.max(open.len() + slashdashes);
            if self.depth > MAX_DEPTH {
                self.too_deep.get_or_insert(token.at);
            }
        }
        ignored.into_iter().for_each(|range| self.erase(range));
        if let (Some((at, _)), true) = (open.last(), self.structure.is_empty()) {
            let at = unclosed.unwrap_or(*at);
            let slip = Slip::new(
                at..at + 1,
                "this block is never closed",
                "close it with `}`",
            );
            self.structure.push(slip);
        }
    }
}

/// Returns the length of the word at the beginning of `rest`.
fn word_length(rest: &str) -> usize {
    let continues = |rest: &str| {
        let after = rest.trim_start_matches(|c: char| c.is_whitespace() && !is_newline(c));
        after
            .chars()
            .next()
            .is_none_or(|c| is_newline(c) || c == '/')
    };
    let ends = |(at, c): &(usize, char)| match c {
        '/' => rest[*at..].starts_with("//") || rest[*at..].starts_with("/*"),
        '\\' => continues(&rest[at + 1..]),
        c => c.is_whitespace() || is_disallowed(*c) || "{}();\"=".contains(*c),
    };
    let end = rest.char_indices().skip(1).find(ends);
    end.map_or(rest.len(), |(at, _)| at)
}

/// Returns the slip of an invisible character.
pub(super) fn invisible(at: usize, c: char) -> Slip {
    let message = format!("invisible character U+{:04X}", u32::from(c));
    Slip::new(
        at..at + c.len_utf8(),
        &message,
        "delete it and type the text again",
    )
}
