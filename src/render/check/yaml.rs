//! YAML: syntax, duplicate keys, and documents that grow when they are read.
//!
//! PyYAML and Go's YAML readers take the last one of two equal keys, or refuse the document, so both are mistakes. An alias
//! repeats the part that its anchor names. A few lines of aliases of aliases can stand for millions of values.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use saphyr_parser::{Event, Parser};

/// The most values that the aliases of a document may stand for.
const MAX_VALUES: usize = 100_000;

/// A table or a list that is being read.
#[derive(Default)]
struct Frame<'a> {
    /// The keys of a table; none for a list.
    keys: Option<BTreeSet<Cow<'a, str>>>,
    /// Whether the next value of a table is a key.
    at_key: bool,
    /// The number of values in it, and how many of them aliases stand for.
    values: usize,
    aliased: usize,
    anchor: usize,
}

/// Returns the first mistake with its line, counted from 1.
pub(super) fn mistake(text: &str) -> Option<(usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut frames: Vec<Frame<'_>> = Vec::new();
    // The number of values that each anchor stands for. The parser numbers them from 1.
    let mut anchors: BTreeMap<usize, usize> = BTreeMap::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => return Some((error.marker().line(), error.info().to_owned())),
        };
        let line = span.start.line();
        // PyYAML accepts no tab there, and this parser accepts some.
        let before = lines
            .get(line.saturating_sub(1))
            .copied()
            .unwrap_or_default();
        let mut before = before.chars().take(span.start.col());
        let is_value = matches!(
            event,
            Event::Scalar(..) | Event::MappingStart(..) | Event::SequenceStart(..)
        );
        if is_value && before.clone().all(char::is_whitespace) && before.any(|c| c == '\t') {
            return Some((line, "a tab in the indentation".into()));
        }
        let (values, aliased, anchor) = match event {
            Event::MappingStart(anchor, _) => {
                frames.push(Frame {
                    keys: Some(BTreeSet::new()),
                    at_key: true,
                    values: 1,
                    anchor,
                    ..Frame::default()
                });
                continue;
            }
            Event::SequenceStart(anchor, _) => {
                frames.push(Frame {
                    values: 1,
                    anchor,
                    ..Frame::default()
                });
                continue;
            }
            Event::Scalar(key, _, anchor, _) => {
                if let Some(frame) = frames.last_mut()
                    && frame.at_key
                    && let Some(keys) = &mut frame.keys
                    && let Some(twice) = keys.replace(key)
                {
                    return Some((line, format!("duplicate key `{twice}`")));
                }
                (1, 0, anchor)
            }
            Event::Alias(anchor) => {
                let values = anchors.get(&anchor).copied().unwrap_or(1);
                (values, values, 0)
            }
            Event::MappingEnd | Event::SequenceEnd => {
                let frame = frames.pop().unwrap_or_default();
                (frame.values, frame.aliased, frame.anchor)
            }
            _ => continue,
        };
        if aliased > MAX_VALUES {
            let message = format!("its aliases stand for more than {MAX_VALUES} values");
            return Some((line, message));
        }
        if anchor != 0 {
            anchors.insert(anchor, values);
        }
        if let Some(frame) = frames.last_mut() {
            frame.values = frame.values.saturating_add(values);
            frame.aliased = frame.aliased.saturating_add(aliased);
            frame.at_key = frame.keys.is_some() && !frame.at_key;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_of_yaml_does_not_accept_is_found() {
        let bomb: String = (1..8)
            .map(|level| {
                format!(
                    "a{level}: &a{level} [{}]\n",
                    vec![format!("*a{}", level - 1); 9].join(", ")
                )
            })
            .collect();
        for (text, expected) in [
            ("a: 1\nb: [1, {c: d}]\n", None),
            ("#cloud-config\n", None),
            ("", None),
            ("a: &x [1, 2]\nb: *x\nc: {d: *x}\n", None),
            ("a: 1\nb:\n  a: 1\n  c: 2\n", None),
            ("- a: 1\n- a: 1\n", None),
            ("a: 1\nb: 2\na: 3\n", Some((3, "duplicate key `a`"))),
            ("x:\n  - {a: 1, a: 2}\n", Some((2, "duplicate key `a`"))),
            ("a: [1, 2\nb: 3\n", Some((0, ""))),
            ("a: \"b\n", Some((0, ""))),
            ("a: b: c\n", Some((0, ""))),
            ("\ta: 1\n", Some((1, "a tab in the indentation"))),
            ("a:\n  - x\n\t- y\n", Some((0, ""))),
            ("a: |\n  b\n  \tc\n", None),
            ("a: *none\n", Some((0, ""))),
            (&*"- a\n".repeat(150_000), None),
            (
                &format!("a0: &a0 [x]\n{bomb}"),
                Some((6, "its aliases stand for more than 100000 values")),
            ),
        ] {
            let found = mistake(text);
            // Where a mistake of the syntax is found is the parser's.
            if expected == Some((0, "")) {
                assert!(found.is_some(), "{text:?}");
                continue;
            }
            let line = found.as_ref().map(|(line, _)| *line);
            assert_eq!(line, expected.map(|(line, _)| line), "{text:?}: {found:?}");
            if let (Some((_, message)), Some((_, expected))) = (found, expected) {
                assert_eq!(message, expected);
            }
        }
    }
}
