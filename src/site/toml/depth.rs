//! Checks how deep a TOML text is nested, before a recursive parser reads it.

use crate::site::tree::MAX_DEPTH;

/// Returns the offset at which brackets, or the dots of one key, exceed [`MAX_DEPTH`].
pub(super) fn too_deep(text: &str) -> Option<usize> {
    let (mut brackets, mut dots) = (0usize, 0usize);
    let mut at = 0;
    while let Some(&byte) = text.as_bytes().get(at) {
        match byte {
            b'[' | b'{' => brackets += 1,
            b']' | b'}' => brackets = brackets.saturating_sub(1),
            b'.' => dots += 1,
            _ => {}
        }
        if b"\n=,[]{}".contains(&byte) {
            dots = 0;
        }
        if brackets > MAX_DEPTH || dots > MAX_DEPTH {
            return Some(at);
        }
        at = match byte {
            b'#' => past(text, at, "\n"),
            b'"' | b'\'' => past_string(text, at),
            _ => at + 1,
        };
    }
    None
}

/// Returns the offset after the next `end`.
fn past(text: &str, at: usize, end: &str) -> usize {
    // `at` is always the offset of an ASCII character, so it is a character boundary.
    let found = text.get(at..).and_then(|rest| rest.find(end));
    found.map_or(text.len(), |found| at + found + end.len())
}

/// Returns the offset after the string that begins at `at`. An unclosed string ends with its line.
fn past_string(text: &str, at: usize) -> usize {
    for triple in ["\"\"\"", "'''"] {
        if text[at..].starts_with(triple) {
            return past(text, at + 3, triple);
        }
    }
    let bytes = text.as_bytes();
    let (quote, mut next) = (bytes[at], at + 1);
    while let Some(&byte) = bytes.get(next) {
        next += 1;
        match byte {
            b'\n' => break,
            b'\\' if quote == b'"' => next += 1,
            byte if byte == quote => break,
            _ => {}
        }
    }
    // After an escape, `next` may be inside a character or past the end.
    (next..text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(text.len())
}
