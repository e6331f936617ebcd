//! How deeply an expression is nested.
//!
//! The engine's parser bounds parentheses, but `1+1+1+…` nests as well: each operator contains what is before it. What walks
//! through such an expression calls itself for each of them, and would exhaust the stack.

/// The maximum number of operators, filters, calls and brackets that contain each other.
pub(crate) const MAX_DEPTH: usize = 300;

/// Returns whether an expression may be nested more deeply than [`MAX_DEPTH`]. Only the operators are counted, so it may
/// also be nested less deeply.
pub(crate) fn is_too_deep(expression: &str) -> bool {
    // The operators since the last comma, outside and inside each open bracket. A bracket counts outside: it contains what is
    // inside, and what follows it contains the bracket, as calls and subscripts form chains too.
    let mut open = vec![0];
    let mut sum = 0;
    let mut rest = expression;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        let mut count = 0;
        match c {
            '"' | '\'' => length = text_length(rest, c),
            '(' | '[' | '{' => {
                if let Some(last) = open.last_mut() {
                    *last += 1;
                }
                sum += 1;
                open.push(0);
            }
            ')' | ']' | '}' if open.len() > 1 => sum -= open.pop().unwrap_or(0),
            ',' => sum -= open.last_mut().map_or(0, std::mem::take),
            c if c.is_alphanumeric() || c == '_' => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                length = end.unwrap_or(rest.len());
                let word = &rest[..length];
                count = usize::from(WORDS.contains(&word));
            }
            c => count = usize::from(!c.is_whitespace()),
        }
        if let Some(last) = open.last_mut() {
            *last += count;
        }
        sum += count;
        if sum > MAX_DEPTH {
            return true;
        }
        rest = &rest[length..];
    }
    false
}

/// The operators that are words.
const WORDS: [&str; 6] = ["and", "or", "not", "if", "is", "in"];

/// The length of a string literal, including the quotes.
fn text_length(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_of_every_kind_are_counted() {
        for link in [
            "+ 1",
            "~ x",
            "* 2",
            "** 2",
            ".a",
            "[0]",
            "[f(0, 0)]",
            "(1, 2)",
            "| f",
            "| f(1, 2)",
            " and x",
            " or x",
            " is x",
            " in x",
            " if x else y",
            " < x",
            " not in x",
        ] {
            let few = format!("x{}", link.repeat(20));
            let many = format!("x{}", link.repeat(MAX_DEPTH + 1));
            assert_eq!(
                (is_too_deep(&few), is_too_deep(&many)),
                (false, true),
                "{link}"
            );
        }
        for opening in ["(", "[", "not ", "-", "{'a': ", "f(1, "] {
            let many = opening.repeat(MAX_DEPTH + 1);
            assert!(is_too_deep(&many), "{opening}");
        }
    }

    #[test]
    fn long_lists_and_texts_are_not_deep() {
        let list = format!("[{}]", "a.b | f(1), ".repeat(10_000));
        let map = format!("{{{}}}", "'a': x.y[0] + 1, ".repeat(10_000));
        let text = format!("'{}' ~ \"{}\"", "(+.".repeat(1_000), "\\\"(".repeat(1_000));
        for expression in [list, map, text] {
            assert!(!is_too_deep(&expression), "{expression:.40}");
        }
    }
}
