//! Scans strings and keywords, which begin with a quote or `#`.

use super::tokens::{Scan, Slip, TokenKind, invisible, is_disallowed, is_newline, line_length};
use crate::site::tree::MAX_DEPTH;

impl<'t> Scan<'t> {
    /// Scans a string, which may be raw, or a keyword.
    pub(super) fn hash_or_quote(&mut self, rest: &'t str) {
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        let quotes = &rest[hashes..];
        match quotes.strip_prefix("\"\"\"") {
            Some(body) if body.starts_with(is_newline) => self.string(hashes, 3),
            Some(_) if hashes == 0 => {
                let help =
                    "begin the text on the next line, or write one quote for a text of one line";
                self.slip(
                    3,
                    "text on the same line as the opening triple quotes",
                    help,
                );
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
                    let message = format!("`{word}` is not in lower case");
                    self.slip(length, &message, &format!("write `{lower}`"));
                }
                self.token(TokenKind::Keyword, length);
            }
            _ => {
                let message = "a comment begins with `//` here";
                self.slip(1, message, "write `//` instead of `#`");
                self.at += line_length(rest);
            }
        }
    }

    /// Scans a string: one line in one pair of quotes, or several lines in triple quotes.
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
                '\\' if hashes == 0 => {
                    let length = self.escape(at, &rest[at + 1..]);
                    self.mask(at, length);
                    at += length;
                }
                c => {
                    let slip = is_disallowed(c).then(|| invisible(self.at + at, c));
                    self.slips.extend(slip);
                    self.mask(at, c.len_utf8());
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
                "this raw string is never closed",
                &*format!("close it with `{closing}` on the same line"),
            ),
        };
        self.slip(open, message, help);
        self.token(TokenKind::Text, at);
    }

    /// Masks a character or escape of a string, unless it ends with white space.
    fn mask(&mut self, at: usize, length: usize) {
        let rest = &self.rest()[at..];
        self.quoted_depth += match rest {
            _ if rest.starts_with('{') => 1,
            _ if rest.starts_with("/*") || rest.starts_with("/-") => MAX_DEPTH,
            _ => 0,
        };
        if !rest[..length].ends_with(char::is_whitespace) {
            self.masked[self.at + at..][..length].fill(b'_');
        }
    }

    /// Returns the length of the escape at `at`. `rest` is the text after its backslash.
    fn escape(&mut self, at: usize, rest: &str) -> usize {
        let blanks = rest.len() - rest.trim_start().len();
        match rest.chars().next() {
            _ if blanks > 0 => 1 + blanks,
            Some('u') if is_code_point(rest) => 2,
            Some(c) if "\"\\bfnrts".contains(c) => 2,
            Some(c) => {
                let (start, length) = (self.at + at, 1 + c.len_utf8());
                let message = format!("`\\{c}` is not an escape sequence");
                let help = "write `\\\\` for a backslash, or put the text in #\"…\"#";
                self.slips
                    .push(Slip::new(start..start + length, &message, help));
                length
            }
            None => 1,
        }
    }
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
