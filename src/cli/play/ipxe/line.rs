//! Parses one line of a script: its commands, words and variables `${…}`.

use super::IpxeSettings;

/// The operator between two commands of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Continuation {
    /// `;`
    Always,
    /// `&&`
    OnSuccess,
    /// `||`
    OnFailure,
}

/// One command of a line, before its variables are expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScriptCommand<'a> {
    pub(super) words: Vec<&'a str>,
    /// The operator after it; `None` at the end of the line.
    pub(super) next: Option<Continuation>,
}

/// Splits a line into its commands.
pub(super) fn commands(line: &str) -> Vec<ScriptCommand<'_>> {
    let mut commands = Vec::new();
    let mut words = Vec::new();
    for word in line.split_ascii_whitespace() {
        let next = match word {
            ";" => Continuation::Always,
            "&&" => Continuation::OnSuccess,
            "||" => Continuation::OnFailure,
            _ if word.starts_with('#') => break,
            _ => {
                words.push(word);
                continue;
            }
        };
        commands.push(ScriptCommand {
            words: std::mem::take(&mut words),
            next: Some(next),
        });
    }
    commands.push(ScriptCommand { words, next: None });
    commands
}

/// Expands every `${…}` in a word, the innermost first. An unset variable becomes an empty string.
pub(super) fn expand(word: &str, settings: &IpxeSettings) -> String {
    let mut text = word.to_string();
    // A value may contain `${` again; the loop's bound ends a recursion.
    for _ in 0..100 {
        let Some(end) = text.find("${").and_then(|start| {
            let close = text[start..].find('}')?;
            Some(start + close)
        }) else {
            return text;
        };
        let Some(start) = text[..end].rfind("${") else {
            return text;
        };
        let value = settings.read(&text[start + 2..end]);
        text.replace_range(start..=end, &value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::play::ipxe::IpxeSetting;

    #[test]
    fn operators_are_recognized_as_whole_words() {
        let command = |words: &[&'static str], next| ScriptCommand {
            words: words.to_vec(),
            next,
        };
        for (line, expected) in [
            ("", vec![command(&[], None)]),
            ("# a comment", vec![command(&[], None)]),
            (
                "isset ${ip} || goto again # why",
                vec![
                    command(&["isset", "${ip}"], Some(Continuation::OnFailure)),
                    command(&["goto", "again"], None),
                ],
            ),
            (
                "iseq a b && goto c ||",
                vec![
                    command(&["iseq", "a", "b"], Some(Continuation::OnSuccess)),
                    command(&["goto", "c"], Some(Continuation::OnFailure)),
                    command(&[], None),
                ],
            ),
            (
                "echo a||b x#y",
                vec![command(&["echo", "a||b", "x#y"], None)],
            ),
            (
                "echo a ; exit",
                vec![
                    command(&["echo", "a"], Some(Continuation::Always)),
                    command(&["exit"], None),
                ],
            ),
        ] {
            assert_eq!(commands(line), expected, "{line}");
        }
    }

    #[test]
    fn variables_are_expanded_from_the_inside() {
        let mut settings = IpxeSettings::default();
        for (name, value) in [("a", "b"), ("b", "two words"), ("loop", "${loop}")] {
            settings.set(name, IpxeSetting::Text(value.into()));
        }
        for (word, expected) in [
            ("plain", "plain"),
            ("x${a}y", "xby"),
            ("${${a}}", "two words"),
            ("${nothing}", ""),
            ("${a", "${a"),
            ("}${a}", "}b"),
        ] {
            assert_eq!(expand(word, &settings), expected, "{word}");
        }
        assert_eq!(expand("${loop}", &settings), "${loop}");
    }
}
