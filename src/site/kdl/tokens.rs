//! The tokens of a KDL text, and what no valid text contains.
//!
//! For valid KDL the tokens are exact: where this scanner finds a [`Slip`], the crate `kdl` rejects the
//! text as well. The reverse does not hold; the crate decides whether a text is valid. The scanner exists
//! because the crate's parser recurses: once for each open block, for each `*` or `/` inside a comment, for
//! each error at the top level, and twice for each slashdashed block inside another one.

use std::ops::Range;

use crate::site::{ObjectKind, tree::MAX_DEPTH};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// Anything without quotes: a name, a number, or text that needs quotes.
    Word,
    /// A string in quotes, on one line or several, raw or not.
    Text,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KdlToken<'t> {
    pub(super) kind: TokenKind,
    pub(super) text: &'t str,
    /// The offset of its first byte.
    pub(super) at: usize,
    /// Whether it follows white space, a comment or the beginning of the text.
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

    /// Returns the length of the quotes of a string, with the `#` before them.
    fn delimiter(&self) -> usize {
        let quotes = self.text.trim_start_matches('#');
        let lines = quotes.strip_prefix("\"\"\"");
        let length = match lines.is_some_and(|body| body.starts_with(is_newline)) {
            true => 3,
            false => 1,
        };
        self.text.len() - quotes.len() + length
    }
}

/// A usual mistake, recognized by its form.
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

/// A text that was split into its tokens.
pub(super) struct Scan<'t> {
    pub(super) text: &'t str,
    pub(super) tokens: Vec<KdlToken<'t>>,
    /// What makes the text invalid, whatever else it contains.
    pub(super) slips: Vec<Slip>,
    /// The same for braces that do not match and blanks that are missing: often the consequence of another slip.
    pub(super) structure: Vec<Slip>,
    /// How deep blocks nest.
    pub(super) depth: usize,
    /// Where they nest deeper than [`MAX_DEPTH`].
    pub(super) too_deep: Option<usize>,
    /// Comments, and slashdashed blocks inside of slashdashed blocks.
    ignored: Vec<Range<usize>>,
    at: usize,
}

/// Splits a text into its tokens.
pub(super) fn scan(text: &str) -> Scan<'_> {
    let mut scan = Scan {
        text,
        tokens: Vec::new(),
        slips: Vec::new(),
        structure: Vec::new(),
        depth: 0,
        too_deep: None,
        ignored: Vec::new(),
        at: 0,
    };
    while scan.at < text.len() {
        scan.step();
    }
    scan.check_blanks();
    scan.check_blocks();
    scan
}

/// Returns whether a character ends a line in KDL. All other white space is a blank.
pub(super) fn is_newline(c: char) -> bool {
    matches!(c, '\n'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Returns whether a character is not allowed outside of comments.
fn is_disallowed(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{e}'..='\u{1f}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Returns the length of the line that `rest` begins with, without what ends it.
pub(super) fn line_length(rest: &str) -> usize {
    rest.find(is_newline).unwrap_or(rest.len())
}

impl<'t> Scan<'t> {
    /// Returns whether the crate rejects the text, without asking it.
    pub(super) fn is_invalid(&self) -> bool {
        !self.slips.is_empty() || !self.structure.is_empty()
    }

    /// Returns the text with blanks in place of what the parser may ignore. Every byte keeps its offset.
    pub(super) fn without_ignored(&self) -> String {
        let mut bytes = self.text.as_bytes().to_vec();
        for range in &self.ignored {
            bytes[range.clone()].fill(b' ');
        }
        String::from_utf8(bytes).expect("ignored ranges begin and end between characters")
    }

    /// Returns whether the parser could exhaust the stack if it read the contents of a string as blocks and comments.
    pub(super) fn has_deep_strings(&self) -> bool {
        let strings = || self.tokens.iter().filter(|token| token.is_string());
        let braces: usize = strings().map(|token| token.text.matches('{').count()).sum();
        self.depth + braces > MAX_DEPTH || strings().any(|token| token.text.contains(['*', '/']))
    }

    /// Returns `text`, a text with the offsets of this one, with `_` for all that strings contain, but blanks.
    pub(super) fn without_strings(&self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        for token in self.tokens.iter().filter(|token| token.is_string()) {
            let delimiter = token.delimiter();
            let content = &token.text[delimiter..token.text.len() - delimiter];
            let mut chars = content.char_indices().peekable();
            while let Some((at, c)) = chars.next() {
                // A backslash before blanks joins lines; before all else it is an escape.
                let escaped = chars.next_if(|_| c == '\\').map(|(_, c)| c);
                if !escaped.unwrap_or(c).is_whitespace() {
                    let at = token.at + delimiter + at;
                    let length = c.len_utf8() + escaped.map_or(0, char::len_utf8);
                    bytes[at..at + length].fill(b'_');
                }
            }
        }
        String::from_utf8(bytes).expect("whole characters were replaced by ASCII")
    }

    fn rest(&self) -> &'t str {
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
            c if c.is_whitespace() => self.at += c.len_utf8(),
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

    fn token(&mut self, kind: TokenKind, length: usize) {
        let before = self.text[..self.at].chars().next_back();
        let after_comment = self.ignored.last().is_some_and(|last| last.end == self.at);
        self.tokens.push(KdlToken {
            kind,
            text: &self.rest()[..length],
            at: self.at,
            spaced: after_comment || before.is_none_or(char::is_whitespace),
        });
        self.at += length;
    }

    /// Reports `length` bytes from here on.
    fn slip(&mut self, length: usize, message: &str, help: &str) {
        let at = self.at..self.at + length;
        self.slips.push(Slip::new(at, message, help));
    }

    fn ignore(&mut self, length: usize) {
        self.ignored.push(self.at..self.at + length);
        self.at += length;
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
            length += next + 2;
        }
        self.ignore(length);
    }

    /// Skips a backslash with nothing but blanks and comments behind it, which joins two lines.
    fn continues_line(&mut self) -> bool {
        let (start, ignored) = (self.at, self.ignored.len());
        self.at += 1;
        loop {
            let rest = self.rest();
            match rest.chars().next() {
                Some('\r') if rest.starts_with("\r\n") => break self.at += 2,
                Some(c) if is_newline(c) => break self.at += c.len_utf8(),
                Some(c) if c.is_whitespace() => self.at += c.len_utf8(),
                Some('/') if rest.starts_with("/*") => self.comment(),
                Some('/') if rest.starts_with("//") => self.ignore(line_length(rest)),
                None => break,
                Some(_) => {
                    self.at = start;
                    self.ignored.truncate(ignored);
                    return false;
                }
            }
        }
        true
    }

    /// A string, raw or not, or a keyword.
    fn hash_or_quote(&mut self, rest: &'t str) {
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        let quotes = &rest[hashes..];
        match quotes.strip_prefix("\"\"\"") {
            Some(body) if body.starts_with(is_newline) => self.string(hashes, 3),
            Some(_) if hashes == 0 => {
                let help = "the text begins on the next line; for one line write one quote";
                self.slip(3, "text on the line of its opening triple quotes", help);
                self.token(TokenKind::Text, line_length(rest));
            }
            _ if quotes.starts_with('"') => self.string(hashes, 1),
            _ => self.keyword(rest),
        }
    }

    fn keyword(&mut self, rest: &str) {
        let ends = |c: char| !c.is_ascii_alphanumeric() && c != '-';
        let length = 1 + rest[1..].find(ends).unwrap_or(rest.len() - 1);
        let (word, lower) = (&rest[..length], rest[..length].to_ascii_lowercase());
        match lower.as_str() {
            "#true" | "#false" | "#null" | "#inf" | "#-inf" | "#nan" => {
                if word != lower {
                    let message = format!("`{word}` in capitals");
                    self.slip(length, &message, &format!("write `{lower}`"));
                }
                self.token(TokenKind::Keyword, length);
            }
            _ => {
                let message = "a comment begins with `//` here";
                self.slip(1, message, "write `//` in place of `#`");
                self.at += line_length(rest);
            }
        }
    }

    /// A string of one line between single quotes, or of several between triple quotes.
    fn string(&mut self, hashes: usize, quotes: usize) {
        let (rest, open) = (self.rest(), hashes + quotes);
        let closing = "\"".repeat(quotes) + &"#".repeat(hashes);
        let mut at = open;
        let ends = |c: &char| quotes == 1 && is_newline(*c);
        while let Some(c) = rest[at..].chars().next().filter(|c| !ends(c)) {
            match c {
                '"' if rest[at..].starts_with(&closing) => {
                    if hashes > 0 && quotes == 1 && &rest[open..at] == "\"" {
                        let help = "write `\"\\\"\"`";
                        self.slip(at, "a quote in quotes looks like triple quotes", help);
                    }
                    return self.token(TokenKind::Text, at + closing.len());
                }
                '\\' if hashes == 0 => at += self.escape(at, &rest[at + 1..]),
                c => {
                    let slip = is_disallowed(c).then(|| invisible(self.at + at, c));
                    self.slips.extend(slip);
                    at += c.len_utf8();
                }
            }
        }
        let (message, help) = match (quotes, hashes) {
            (3, _) => (
                "these quotes are never closed",
                "close them on a line of their own",
            ),
            (_, 0) => ("this quote is never closed", "close it on the same line"),
            _ => (
                "this raw text is never closed",
                &*format!("close it with `{closing}` on the same line"),
            ),
        };
        self.slip(open, message, help);
        self.token(TokenKind::Text, at);
    }

    /// Returns the length of the escape at `at`, whose backslash stands before `rest`.
    fn escape(&mut self, at: usize, rest: &str) -> usize {
        let blanks = rest.len() - rest.trim_start().len();
        match rest.chars().next() {
            _ if blanks > 0 => 1 + blanks,
            Some('u') if is_code_point(rest) => 2,
            Some(c) if "\"\\bfnrts".contains(c) => 2,
            Some(c) => {
                let (start, length) = (self.at + at, 1 + c.len_utf8());
                let message = format!("`\\{c}` means nothing inside quotes");
                let help = "write `\\\\` for a backslash, or put the text in #\"…\"#";
                self.slips
                    .push(Slip::new(start..start + length, &message, help));
                length
            }
            None => 1,
        }
    }

    /// Finds strings that nothing separates from what stands before or behind them.
    fn check_blanks(&mut self) {
        let (message, help) = ("a blank is missing here", "put a blank between values");
        for pair in self.tokens.windows(2).filter(|pair| !pair[1].spaced) {
            let [before, token] = [&pair[0], &pair[1]];
            let begins =
                token.is_value() || token.kind == TokenKind::Slashdash || token.text == "(";
            if before.is_string() && begins || token.is_string() && before.is_value() {
                self.structure.push(Slip::new(token.range(), message, help));
            }
        }
    }

    /// Matches braces, and measures how deep blocks and slashdashes nest.
    fn check_blocks(&mut self) {
        // The blocks that are open, each with its `{` and the `/-` before that.
        let mut open: Vec<(usize, Option<usize>)> = Vec::new();
        let mut unclosed = None;
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
                        self.ignored.push(start..token.end());
                    }
                    Some(_) => {}
                    None => {
                        let help = "delete it, or find the `{` that is missing before it";
                        let slip = Slip::new(token.range(), "this `}` closes nothing", help);
                        self.structure.push(slip);
                    }
                },
                // An object at the margin inside of a block: the block before it was not closed.
                TokenKind::Word
                    if token.at == line_start && ObjectKind::of(token.text).is_some() =>
                {
                    unclosed = unclosed.or(open.last().map(|(at, _)| *at));
                }
                _ => {}
            }
            // The parser calls itself for what is slashdashed twice, up to the end of the node.
            let is_slashdash = token.kind == TokenKind::Slashdash;
            slashdashes += usize::from(is_slashdash && slashdash.is_some());
            slashdash = is_slashdash.then_some(token.at);
            self.depth = self.depth.max(open.len() + slashdashes);
            if self.depth > MAX_DEPTH {
                self.too_deep.get_or_insert(token.at);
            }
        }
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

/// Returns the length of the word that `rest` begins with.
fn word_length(rest: &str) -> usize {
    let continues = |rest: &str| {
        let behind = rest.trim_start_matches(|c: char| c.is_whitespace() && !is_newline(c));
        behind
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

/// Returns whether a text begins with `u{…}` and the number of a character.
fn is_code_point(text: &str) -> bool {
    let code = text
        .strip_prefix("u{")
        .and_then(|code| code.split_once('}'));
    let digits = code
        .map(|(digits, _)| digits)
        .filter(|digits| digits.len() <= 6);
    let number = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let number = number.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    number.and_then(char::from_u32).is_some()
}

/// A character that people cannot see.
pub(super) fn invisible(at: usize, c: char) -> Slip {
    let message = format!(
        "an invisible character, U+{:04X}, stands here",
        u32::from(c)
    );
    Slip::new(
        at..at + c.len_utf8(),
        &message,
        "delete it and type the text again",
    )
}
