//! How tokens stand together, as far as slips show there: lines, values, blocks.

use crate::site::{ObjectKind, tree::MAX_DEPTH};

use super::{
    lex::{KdlToken, Slip, TokenKind, lex},
    words,
};

/// Finds every slip of a text, in no order; or where it nests too deep.
pub(super) fn slips(text: &str) -> Result<Vec<Slip>, usize> {
    let (tokens, slips) = lex(text);
    let mut grammar = Grammar {
        tokens: &tokens,
        next: 0,
        line: 0,
        open: Vec::new(),
        unclosed: None,
        too_deep: None,
        braces: Vec::new(),
        slips,
    };
    grammar.text();
    if let Some(at) = grammar.too_deep {
        return Err(at);
    }
    grammar.unbalanced();
    match grammar.slips.is_empty() {
        // Braces that do not fit together are mostly the echo of another slip.
        true => Ok(grammar.braces),
        false => Ok(grammar.slips),
    }
}

/// A block that is open.
struct Block {
    at: usize,
    line: usize,
    /// It is commented out by `/-`.
    slashdashed: bool,
}

struct Grammar<'t> {
    tokens: &'t [KdlToken<'t>],
    next: usize,
    line: usize,
    open: Vec<Block>,
    /// A block that was still open where an object begins at the margin.
    unclosed: Option<usize>,
    too_deep: Option<usize>,
    braces: Vec<Slip>,
    slips: Vec<Slip>,
}

impl<'t> Grammar<'t> {
    fn peek(&self) -> Option<KdlToken<'t>> {
        self.tokens.get(self.next).copied()
    }

    fn take(&mut self) -> Option<KdlToken<'t>> {
        let token = self.peek()?;
        self.next += 1;
        if token.kind == TokenKind::Newline {
            self.line += 1;
        }
        Some(token)
    }

    fn slip(&mut self, token: KdlToken<'_>, message: impl Into<String>, help: impl Into<String>) {
        self.slips
            .push(Slip::new(token.at..token.end(), message, help));
        self.skip_line();
    }

    /// Goes to the line's end; only braces still count.
    fn skip_line(&mut self) {
        while let Some(token) = self.peek() {
            match token.kind {
                TokenKind::Newline => return,
                TokenKind::Open => self.open(token, false),
                TokenKind::Close => drop(self.open.pop()),
                _ => {}
            }
            self.take();
        }
    }

    fn open(&mut self, token: KdlToken<'_>, slashdashed: bool) {
        self.open.push(Block {
            at: token.at,
            line: self.line,
            slashdashed,
        });
        if self.open.len() > MAX_DEPTH {
            self.too_deep.get_or_insert(token.at);
        }
    }

    fn text(&mut self) {
        while let Some(token) = self.take() {
            match token.kind {
                TokenKind::Newline | TokenKind::Semicolon | TokenKind::Slashdash => {}
                TokenKind::Close => self.close(token),
                TokenKind::Open => {
                    self.open(token, false);
                    self.slip(
                        token,
                        "a block without a name",
                        "`{` stands on the line of the name it belongs to",
                    );
                }
                TokenKind::Paren => {
                    self.slip(token, "parentheses mean nothing here", "leave them out")
                }
                TokenKind::Equals => self.slip(
                    token,
                    "`=` without a name before it",
                    "write `name=value` without a line break, or `name value`",
                ),
                TokenKind::Keyword => self.slip(
                    token,
                    format!("a line begins with a name, not with `{}`", token.text),
                    "write the name of the setting first",
                ),
                TokenKind::Word | TokenKind::Quoted | TokenKind::Raw => self.node(token),
            }
        }
    }

    fn close(&mut self, token: KdlToken<'_>) {
        let Some(block) = self.open.pop() else {
            self.braces.push(Slip::new(
                token.at..token.end(),
                "this `}` closes nothing",
                "delete it, or find the `{` that is missing before it",
            ));
            return;
        };
        let Some(next) = self.peek() else {
            return;
        };
        match next.kind {
            TokenKind::Newline | TokenKind::Semicolon | TokenKind::Close | TokenKind::Slashdash => {}
            TokenKind::Open if block.slashdashed => {}
            TokenKind::Open => self.slip(next, "a second block of one name", "put everything into one block"),
            _ => self.slip(next, format!("`{}` stands behind the block", next.text), "values and properties stand before `{`; begin a new line or write `;` for a new setting"),
        }
    }

    fn node(&mut self, name: KdlToken<'t>) {
        self.note_margin(name);
        let next = self.peek();
        let mistake = match name.kind {
            TokenKind::Word => words::of_name(name, next),
            _ => behind_quotes(name, next),
        };
        let mistake = mistake.or_else(|| self.nameless(name, next));
        if let Some(mistake) = mistake {
            if name.text.starts_with('[') {
                // The whole file is of another format: nothing else in it is a slip of its own.
                self.slips.clear();
                self.next = self.tokens.len();
            }
            self.slips.push(mistake);
            return self.skip_line();
        }
        self.values(name);
    }

    /// An object at the margin inside of a block: the block before it was not closed.
    fn note_margin(&mut self, name: KdlToken<'_>) {
        let at_margin = match self.next.checked_sub(2) {
            None => name.at == 0,
            Some(before) => {
                let before = self.tokens[before];
                before.kind == TokenKind::Newline && before.end() == name.at
            }
        };
        if at_margin && ObjectKind::of(name.text).is_some() {
            let at = self.open.last().map(|block| block.at);
            self.unclosed = self.unclosed.or(at);
        }
    }

    /// `policy {` where `policy "web" {` is meant.
    fn nameless(&self, name: KdlToken<'_>, next: Option<KdlToken<'_>>) -> Option<Slip> {
        let kind = ObjectKind::of(name.text).filter(|kind| *kind != ObjectKind::Defaults)?;
        let ends = next.is_none_or(|next| {
            matches!(
                next.kind,
                TokenKind::Open | TokenKind::Newline | TokenKind::Semicolon
            )
        });
        let help = format!("write `{kind} \"name\" {{`");
        (self.open.is_empty() && ends)
            .then(|| Slip::new(name.at..name.end(), format!("a {kind} has a name"), help))
    }

    fn values(&mut self, name: KdlToken<'t>) {
        let mut arguments = Vec::new();
        let mut before = name;
        let mut slashdashed = false;
        while let Some(token) = self.peek() {
            match token.kind {
                TokenKind::Newline | TokenKind::Semicolon | TokenKind::Close => break,
                TokenKind::Open => {
                    self.take();
                    return self.open(token, slashdashed);
                }
                TokenKind::Slashdash => slashdashed = true,
                TokenKind::Paren => {
                    return self.slip(
                        token,
                        "parentheses mean nothing here",
                        "leave them out; a list is written `name \"a\" \"b\"`",
                    );
                }
                TokenKind::Equals => {
                    if let Some(mistake) = self.equals(token, before) {
                        self.slips.push(mistake);
                        return self.skip_line();
                    }
                    arguments.pop();
                }
                _ => {
                    let next = self.tokens.get(self.next + 1).copied();
                    let mistake = match token.kind {
                        TokenKind::Word => words::of_value(token, next),
                        _ => behind_quotes(token, next),
                    };
                    if let Some(mistake) = mistake {
                        self.slips.push(mistake);
                        return self.skip_line();
                    }
                    if before.kind != TokenKind::Equals {
                        arguments.push(token);
                    }
                }
            }
            before = token;
            self.take();
        }
        self.run_together(&arguments);
    }

    fn equals(&self, token: KdlToken<'_>, before: KdlToken<'_>) -> Option<Slip> {
        let at = token.at..token.end();
        if before.kind == TokenKind::Equals {
            return Some(Slip::new(
                at,
                "`=` stands here twice",
                "a property is written `name=value`",
            ));
        }
        let next = self.tokens.get(self.next + 1);
        let valued = next.is_some_and(|next| {
            matches!(
                next.kind,
                TokenKind::Word | TokenKind::Quoted | TokenKind::Raw | TokenKind::Keyword
            )
        });
        (!valued
            && next
                .is_none_or(|next| next.kind != TokenKind::Equals && next.kind != TokenKind::Paren))
        .then(|| {
            Slip::new(
                at,
                "nothing stands behind `=`",
                "a property is written `name=value`",
            )
        })
    }

    /// `{ a "1" b "2" }`: several settings on one line look like one list.
    fn run_together(&mut self, arguments: &[KdlToken<'_>]) {
        let one_line = self
            .open
            .last()
            .is_some_and(|block| block.line == self.line);
        let is_name =
            |token: &KdlToken<'_>| token.kind == TokenKind::Word && !words::is_number(token.text);
        let alternate = arguments
            .iter()
            .enumerate()
            .all(|(at, token)| is_name(token) == (at % 2 == 1));
        if one_line && alternate && arguments.len() >= 3 && arguments.len() % 2 == 1 {
            let token = arguments[1];
            self.slips.push(Slip::new(
                token.at..token.end(),
                format!(
                    "`{}` looks like a value of the setting before it",
                    token.text
                ),
                "put `;` between settings on one line",
            ));
        }
    }

    /// Blocks that are open at the end of the text.
    fn unbalanced(&mut self) {
        if let (Some(block), true) = (self.open.last(), self.braces.is_empty()) {
            let at = self.unclosed.unwrap_or(block.at);
            self.braces.push(Slip::new(
                at..at + 1,
                "this block is never closed",
                "close it with `}`",
            ));
        }
    }
}

/// What follows a text in quotes without a blank.
fn behind_quotes(token: KdlToken<'_>, next: Option<KdlToken<'_>>) -> Option<Slip> {
    let next = next.filter(|next| !next.spaced)?;
    let text = matches!(
        next.kind,
        TokenKind::Word | TokenKind::Quoted | TokenKind::Raw | TokenKind::Keyword
    );
    match next.text.chars().next()? {
        ',' => Some(words::comma(next.at)),
        ':' => Some(words::colon(next.at)),
        _ if text && token.kind == TokenKind::Keyword => Some(Slip::new(
            next.at..next.end(),
            "a blank is missing here",
            "put a blank between values",
        )),
        _ if text => Some(Slip::new(
            token.end() - 1..token.end(),
            "a quote inside quotes",
            "write `\\\"` for it, or put the whole text in #\"…\"#",
        )),
        _ => None,
    }
}
