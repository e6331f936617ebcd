//! Texts in quotes: on one line, on several, and raw.

use super::lex::{Lexer, Slip, TokenKind, is_newline, to_end_of_line};

impl Lexer<'_> {
    pub(super) fn quoted(&mut self) {
        let rest = self.rest();
        let mut chars = rest.char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => return self.token(TokenKind::Quoted, at + 1),
                '\\' => {
                    let Some((_, escaped)) = chars.next() else {
                        break;
                    };
                    if escaped.is_whitespace() {
                        while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
                    } else if !"\"\\bfnrtsu".contains(escaped) {
                        let at = self.at + at;
                        self.slips.push(Slip::new(
                            at..at + 1 + escaped.len_utf8(),
                            format!("`\\{escaped}` means nothing inside quotes"),
                            "write `\\\\` for a backslash, or put the text in #\"…\"#",
                        ));
                    }
                }
                c if is_newline(c) => break,
                _ => {}
            }
        }
        self.slip(1, "this quote is never closed", "close it on the same line");
        self.token(TokenKind::Quoted, to_end_of_line(rest));
    }

    /// A text of several lines between triple quotes, with so many `#` around it.
    pub(super) fn block(&mut self, hashes: usize) {
        let rest = self.rest();
        let closing = format!("\"\"\"{}", "#".repeat(hashes));
        let body = &rest[hashes + 3..];
        if !body.starts_with(is_newline) {
            let help = "the text begins on the next line; for one line write one quote";
            self.slip(
                hashes + 3,
                "text on the line of its opening triple quotes",
                help,
            );
            return self.token(TokenKind::Quoted, to_end_of_line(rest));
        }
        let ends = body.match_indices(&closing).map(|(at, _)| at);
        let end = ends
            .into_iter()
            .find(|at| hashes > 0 || !is_escaped(body, *at));
        let Some(end) = end else {
            self.slip(
                hashes + 3,
                "these quotes are never closed",
                "close them on a line of their own",
            );
            self.at = self.text.len();
            return;
        };
        self.indented(&body[..end], hashes + 3);
        self.token(
            if hashes > 0 {
                TokenKind::Raw
            } else {
                TokenKind::Quoted
            },
            hashes + 3 + end + closing.len(),
        );
    }

    /// The blanks before the closing quotes stand before every line of the text.
    fn indented(&mut self, body: &str, opening: usize) {
        let last = body.rfind(is_newline).map_or(0, |at| at + 1);
        let indent = body.get(last..).unwrap_or_default();
        if !indent.trim().is_empty() {
            return self.slip(
                opening,
                "the closing triple quotes stand behind text",
                "put them on a line of their own",
            );
        }
        let line = body
            .lines()
            .find(|line| !line.trim().is_empty() && !line.starts_with(indent));
        if line.is_some() {
            let help = "begin every line with the blanks that stand before the closing quotes";
            self.slip(
                opening,
                "a line of this text is indented less than its closing quotes",
                help,
            );
        }
    }

    pub(super) fn raw(&mut self, hashes: usize) {
        let rest = self.rest();
        let line = &rest[..to_end_of_line(rest)];
        let closing = format!("\"{}", "#".repeat(hashes));
        match line[hashes + 1..].find(&closing) {
            Some(end) => self.token(TokenKind::Raw, hashes + 1 + end + closing.len()),
            None => {
                let help = format!("close it with `{closing}` on the same line");
                self.slip(hashes + 1, "this raw text is never closed", &help);
                self.token(TokenKind::Raw, line.len());
            }
        }
    }

    /// `r"…"` and `r#"…"#` of KDL 1.
    pub(super) fn old_raw(&mut self) {
        let rest = self.rest();
        let hashes = rest[1..].len() - rest[1..].trim_start_matches('#').len();
        let closing = format!("\"{}", "#".repeat(hashes));
        let line = &rest[..to_end_of_line(rest)];
        let end = line[hashes + 2..].find(&closing);
        let length = end.map_or(line.len(), |end| hashes + 2 + end + closing.len());
        self.slip(
            length,
            "this is a raw text of KDL 1",
            "write `#\"…\"#`, without the `r`",
        );
        self.token(TokenKind::Raw, length);
    }
}

fn is_escaped(text: &str, at: usize) -> bool {
    let before = &text[..at];
    (before.len() - before.trim_end_matches('\\').len()) % 2 == 1
}
