//! Masks secrets in a text that a message quotes.
//!
//! The text may be invalid, so it is not parsed: each line is searched word by word. If in doubt, too much is masked. Every
//! byte keeps its offset.

/// The endings of keys with secret values, with or without a final `s`.
const SECRET_SUFFIXES: [&str; 4] = ["password", "secret", "token", "hash"];

/// The prefixes of crypt(3) hashes.
const HASH_PREFIXES: [&str; 8] = ["$1$", "$2a$", "$2b$", "$2y$", "$5$", "$6$", "$7$", "$y$"];

/// Returns `text` with every secret replaced by asterisks.
pub(crate) fn mask(text: &str) -> String {
    let mut mask = Masker::default();
    text.split_inclusive('\n')
        .map(|line| mask.line(line))
        .collect()
}

/// Returns whether the value of `key` must not be displayed.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let ends = |key: &str| SECRET_SUFFIXES.iter().any(|word| key.ends_with(word));
    ends(&key) || key.strip_suffix('s').is_some_and(ends)
}

/// The state between two lines.
#[derive(Default)]
struct Masker {
    /// Whether the last TOML header has a secret key.
    section: bool,
    /// The number of brackets and braces of a secret value that are still open.
    open: usize,
    /// The quotes that end a secret value that spans several lines.
    quotes: Option<&'static str>,
}

impl Masker {
    fn line(&mut self, line: &str) -> String {
        if let Some(quotes) = self.quotes {
            if line.contains(quotes) {
                self.quotes = None;
            }
            return hide(line, 0);
        }
        if self.open > 0 {
            self.track(line);
            return hide(line, 0);
        }
        if let Some(header) = line.trim_start().strip_prefix('[') {
            self.section = words(header).any(|(_, word)| is_secret(word));
        }
        let Some(from) = self.value_of_secret_key(line) else {
            return hide_hashes(line);
        };
        if let Some(end) = end_of_quoted(&line[from..]) {
            let (value, rest) = line.split_at(from + end);
            return hide(value, from + 1) + &self.line(rest);
        }
        self.track(&line[from..]);
        let sign = line[from..].starts_with(['=', ':', '{']);
        hide(line, from + usize::from(sign))
    }

    /// Returns the offset at which a secret value begins.
    fn value_of_secret_key(&self, line: &str) -> Option<usize> {
        let keyed = words(line)
            .filter(|(_, word)| is_secret(word))
            .find_map(|(at, word)| value_after(line, at + word.len()));
        let assigned = || line.find('=');
        keyed.or_else(|| self.section.then(assigned).flatten())
    }

    /// Updates the state by the brackets, braces and quotes of a secret value.
    fn track(&mut self, value: &str) {
        for quotes in ["\"\"\"", "'''"] {
            if value.matches(quotes).count() % 2 == 1 {
                self.quotes = Some(quotes);
            }
        }
        for c in value.chars() {
            match c {
                '[' | '{' => self.open += 1,
                ']' | '}' => self.open = self.open.saturating_sub(1),
                _ => {}
            }
        }
    }
}

/// Returns where the value of the key that ends at `end` begins; none if the word there is not a key.
fn value_after(line: &str, end: usize) -> Option<usize> {
    let rest = &line[end..];
    let unquoted = rest.strip_prefix(['"', '\'']).unwrap_or(rest);
    let value = unquoted.trim_start();
    let at = line.len() - value.len();
    let is_key = match value.chars().next()? {
        '=' | ':' | '{' => true,
        ',' | ']' | '}' | ')' => false,
        // In KDL, only a space separates key and value. A word at the end of a quoted text is not a key.
        _ => unquoted.len() == rest.len(),
    };
    is_key.then_some(at)
}

/// Returns where a value such as `= "…"` ends, if it is certain that the text after it is not part of it.
fn end_of_quoted(value: &str) -> Option<usize> {
    let text = value.strip_prefix('=')?.trim_start();
    let quote = text.chars().next().filter(|c| "\"'".contains(*c))?;
    let inner = &text[1..];
    let end = inner.find([quote, '\\'])?;
    let rest = inner[end..].strip_prefix(quote)?;
    let next = rest.trim_start();
    let property = words(next).next().is_some_and(|(at, word)| {
        at == 0 && rest.starts_with(' ') && next[word.len()..].trim_start().starts_with('=')
    });
    (next.is_empty() || next.starts_with([',', '}', ']', '#']) || property)
        .then(|| value.len() - rest.len())
}

/// Iterates over the words of a line that may be keys, with their offsets.
fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_inner = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    line.split(move |c| !is_inner(c))
        .filter(|word| !word.is_empty())
        .map(|word| (word.as_ptr() as usize - line.as_ptr() as usize, word))
}

fn hide(line: &str, from: usize) -> String {
    let hidden = line[from..].bytes().map(|byte| match byte {
        b' ' | b'\t' | b'\r' | b'\n' | b'"' | b'\'' => char::from(byte),
        _ => '*',
    });
    line[..from].chars().chain(hidden).collect()
}

fn hide_hashes(line: &str) -> String {
    let Some(from) = HASH_PREFIXES
        .iter()
        .filter_map(|hash| line.find(hash))
        .min()
    else {
        return line.to_owned();
    };
    let length = line[from..]
        .find(|c: char| c.is_whitespace() || "\"',;".contains(c))
        .unwrap_or(line.len() - from);
    let (hash, rest) = line[from..].split_at(length);
    format!(
        "{}{}{}",
        &line[..from],
        "*".repeat(hash.len()),
        hide_hashes(rest)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_keys_are_hidden_and_others_are_not() {
        for (text, shown) in [
            (
                "root-password-hash = \"$6$ab\"\n",
                "root-password-hash = \"*****\"\n",
            ),
            (
                "root-password-hash \"$6$ab\"",
                "root-password-hash \"*****\"",
            ),
            ("root-password-file = \"x\"", "root-password-file = \"x\""),
            ("vars { api-token \"abc\" }", "vars { api-token \"***\" *"),
            (
                "x = { password = 'hush', y = 1 }",
                "x = { password = '****', y = 1 }",
            ),
            ("tags = [\"secret\", \"b\"]", "tags = [\"secret\", \"b\"]"),
            ("note = \"$6$ab/c\" # x", "note = \"*******\" # x"),
            (
                "[vars.secret]\na = \"b\"\n[node.n]\nc = \"d\"",
                "[vars.secret]\na = \"*\"\n[node.n]\nc = \"d\"",
            ),
            (
                "token = \"\"\"\nabc\n\"\"\"\nx = 1",
                "token = \"\"\"\n***\n\"\"\"\nx = 1",
            ),
            (
                "secret {\n  a \"b\"\n}\nc \"d\"",
                "secret {\n  * \"*\"\n*\nc \"d\"",
            ),
            ("password = \"é\"", "password = \"**\""),
        ] {
            assert_eq!(mask(text), shown);
        }
    }

    proptest::proptest! {
        #[test]
        fn every_byte_keeps_its_offset(text in "(password|=|\"|'|\\{|\\[| |\n|é|x|#|\\$6\\$){0,20}") {
            proptest::prop_assert_eq!(mask(&text).len(), text.len());
        }
    }
}
