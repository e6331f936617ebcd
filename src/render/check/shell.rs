//! The syntax of shell scripts: POSIX and Bash.
//!
//! The shell that runs a script reads it step by step, so a mistake at the end is found when the rest has been done.

use std::panic;

use brush_parser::{ParseError, Parser, ParserOptions};

/// Longer texts are not parsed.
const MAX_BYTES: usize = 64 << 10;
/// The parser tries every reading of nested `((`, which takes exponential time.
const MAX_DOUBLE_PARENTHESES: usize = 4;
/// The tests parse texts of [`MAX_LEVELS`] in this stack, without optimization.
const STACK: usize = 16 << 20;
const MAX_LEVELS: usize = 200;

/// Returns the first mistake, with its line counted from 1. A text that the parser cannot take is not checked.
pub(in super::super) fn mistake(text: &str) -> Option<(usize, String)> {
    if text.len() > MAX_BYTES || is_nested_deeply(text) {
        return None;
    }
    let parse = || {
        let mut parser = Parser::new(text.as_bytes(), &ParserOptions::default());
        parser.parse_program().err()
    };
    // A panic of the parser is a mistake in the parser, not in the script.
    let error = stacker::grow(STACK, || panic::catch_unwind(parse)).ok()??;
    let last = text.lines().count().max(1);
    Some(match error {
        ParseError::ParsingNear(position) => (position.line, "it is not valid shell syntax".into()),
        ParseError::ParsingAtEndOfInput => {
            (last, "the script ends within a command of the shell".into())
        }
        ParseError::Tokenizing { inner, position } => {
            let message = inner.to_string();
            // Some messages end with the place where the quoted text began: its line and column.
            let began = message.rsplit_once(" at ").and_then(|(message, place)| {
                Some((message, place.split_once(',')?.0.parse().ok()?))
            });
            let (message, line) = match began {
                Some((message, line)) => (message, line),
                None => (
                    &*message,
                    position.map_or(last, |position| position.line.min(last)),
                ),
            };
            (line, format!("it is not valid shell syntax: {message}"))
        }
    })
}

/// Whether the brackets and compound commands of a text may be nested more deeply than the parser can take. Words that only
/// look like them count too.
fn is_nested_deeply(text: &str) -> bool {
    let (mut level, mut deepest) = (0_usize, 0_usize);
    let (mut double, mut deepest_double) = (0_usize, 0_usize);
    let mut before = ' ';
    for c in text.chars() {
        match c {
            '(' | '{' => level += 1,
            ')' | '}' => level = level.saturating_sub(1),
            _ => {}
        }
        match (before, c) {
            ('(', '(') => double += 1,
            (')', ')') => double = double.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(level);
        deepest_double = deepest_double.max(double);
        before = c;
    }
    let mut commands = 0_usize;
    for word in text.split(|c: char| c.is_whitespace() || c == ';') {
        match word {
            "if" | "while" | "until" | "for" | "case" | "select" | "!" | "elif" => commands += 1,
            "fi" | "done" | "esac" => commands = commands.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(level + commands);
    }
    deepest > MAX_LEVELS
        || deepest_double > MAX_DOUBLE_PARENTHESES
        || text.matches('`').count() > MAX_LEVELS
}

/// Whether a program of a `#!` line runs scripts of this syntax.
pub(in super::super) fn is_shell(interpreter: &str) -> bool {
    let mut words = interpreter.split_whitespace();
    let mut program = words.next().unwrap_or_default();
    if program.ends_with("/env") {
        program = words
            .find(|word| !word.starts_with('-'))
            .unwrap_or_default();
    }
    let name = program.rsplit('/').next().unwrap_or(program);
    ["sh", "bash", "dash", "ash", "ksh"].contains(&name)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_mistake_is_found_at_its_line() {
        for (text, expected) in [
            ("echo hello\n", None),
            ("", None),
            (
                "#!/bin/bash\narray=(a b)\n[[ $x =~ ^a ]] && echo \"${array[@]}\"\n",
                None,
            ),
            ("cat <<'E'\nif then (\nE\n", None),
            ("case $x in a) b ;; esac\n", None),
            ("echo $((1 + (2 * 3)))\n", None),
            ("if true; then\n  echo x\n", Some(2)),
            ("echo a\nfi\n", Some(2)),
            ("echo \"a\nb\n", Some(1)),
            ("f() {\n  echo x\n", Some(2)),
            ("a\nfor in do\n", Some(2)),
            ("echo )\n", Some(1)),
            ("while true; do echo; fi\n", Some(1)),
            ("a && && b\n", Some(1)),
            ("cat <<E\nno end\n", Some(2)),
        ] {
            let found = mistake(text);
            assert_eq!(
                found.as_ref().map(|(line, _)| *line),
                expected,
                "{text:?}: {found:?}"
            );
        }
    }

    #[test]
    fn texts_that_the_parser_cannot_take_end_soon() {
        let levels =
            |open: &str, close: &str, times: usize| open.repeat(times) + &close.repeat(times);
        for text in [
            levels("(", ")", 150),
            levels("(", ")", 10_000),
            levels("((", "))", 4),
            "((".repeat(100),
            levels("{ ", "}; ", 190),
            levels("if true; then ", "fi; ", 190),
            levels("if true; then ", "fi; ", 5_000),
            levels("$(", ")", 190),
            levels("\"$(", ")\"", 150),
            levels("${a:-", "}", 190),
            "`".repeat(199),
            levels("while ", "; done", 190),
            "! ".repeat(190),
            "a | ".repeat(10_000),
            "a\n".repeat(32_000),
            "a && ".repeat(10_000),
            "<<E ".repeat(200),
            levels("case x in x) ", ";; esac", 150),
        ] {
            let begun = Instant::now();
            mistake(&text);
            let took = begun.elapsed();
            assert!(took < Duration::from_secs(20), "{took:?}: {:.40}", text);
        }
    }

    #[test]
    fn shells_are_recognized() {
        for (interpreter, expected) in [
            ("sh", true),
            ("/bin/sh", true),
            ("/bin/bash -e", true),
            ("/usr/bin/env bash", true),
            ("/usr/bin/env -S bash -e", true),
            ("/usr/bin/python3", false),
            ("/usr/bin/env python3", false),
            ("/usr/bin/zsh", false),
            ("", false),
        ] {
            assert_eq!(is_shell(interpreter), expected, "{interpreter}");
        }
    }
}
