//! Checks the script sections of ESXi's ks.cfg.
//!
//! A section ends where the next one begins. There is no `%end`.

use super::{
    RuleViolation,
    commands::{ArgumentValue, SECTION, split_arguments},
    shlex::split,
};
use crate::render::quote::esxi_section;

/// One script section.
pub(super) struct Section<'a> {
    number: usize,
    pub(super) header: &'a str,
    pub(super) lines: Vec<(usize, &'a str)>,
}

type NumberedLines<'a> = Vec<(usize, &'a str)>;

/// Splits a file into its command lines and its script sections.
pub(super) fn split_sections(text: &str) -> (NumberedLines<'_>, Vec<Section<'_>>) {
    let mut commands = Vec::new();
    let mut sections: Vec<Section<'_>> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        let word =
            esxi_section(line).filter(|word| !["include", "%include", "%end"].contains(word));
        match (word, sections.last_mut()) {
            (Some(_), _) => sections.push(Section {
                number,
                header: line,
                lines: Vec::new(),
            }),
            (None, Some(section)) => section.lines.push((number, line)),
            (None, None) => commands.push((number, line)),
        }
    }
    (commands, sections)
}

pub(super) fn check(sections: &[Section<'_>], secure_boot: bool) -> Vec<RuleViolation> {
    let mut violations: Vec<RuleViolation> = sections
        .iter()
        .flat_map(|section| check_section(section, secure_boot))
        .collect();
    // A wrong port is reported once, however many lines have it.
    let mut reported = false;
    violations.retain(|violation| violation.rule != 27 || !std::mem::replace(&mut reported, true));
    violations
}

fn check_section(section: &Section<'_>, secure_boot: bool) -> Vec<RuleViolation> {
    let words = split(section.header).unwrap_or_default();
    let name = words.first().map(String::as_str).unwrap_or_default();
    let mut violations = header(section, name, &words);
    for (number, line) in &section.lines {
        match esxi_section(line) {
            Some("%end") => violations.push(RuleViolation::error(
                21,
                *number,
                "ESXi has no `%end`: this becomes a line of the script",
            )),
            Some(word) => violations.push(RuleViolation::error(
                22,
                *number,
                format!("a line that begins with `{word}` ends the script"),
            )),
            None => {}
        }
        violations.extend(wget(*number, line));
        if ["%post", "%firstboot"].contains(&name) {
            violations.extend(port(*number, line));
        }
    }
    if name == "%pre" {
        violations.extend(exit_status(section));
    }
    if name == "%firstboot" && secure_boot {
        violations.push(RuleViolation::error(
            25,
            section.number,
            "scripts at the first boot do not run with Secure Boot",
        ));
    }
    violations
}

fn header(section: &Section<'_>, name: &str, words: &[String]) -> Vec<RuleViolation> {
    let number = section.number;
    if !["%pre", "%post", "%firstboot"].contains(&name) {
        return match name {
            "%packages" | "%vmlicense_text" => vec![RuleViolation::error(
                10,
                number,
                format!("`{name}` has no effect on ESXi"),
            )],
            _ => vec![RuleViolation::error(
                22,
                number,
                format!(
                    "a line that begins with `{}` ends the script",
                    esxi_section(name).unwrap_or(name)
                ),
            )],
        };
    }
    let (arguments, others) = split_arguments(words.get(1..).unwrap_or_default());
    if !others.is_empty() {
        return vec![RuleViolation::error(
            22,
            number,
            format!("a line that begins with `{name}` ends the script"),
        )];
    }
    let mut violations = Vec::new();
    for argument in arguments {
        let value_rule = SECTION
            .iter()
            .find(|(known, _)| *known == argument.name)
            .map(|(_, value_rule)| *value_rule);
        let foreign = name != "%post" && argument.name != "--interpreter";
        match (value_rule, &argument.value) {
            (None, _) => violations.push(RuleViolation::error(
                9,
                number,
                format!("`{name}` has no argument `{}`", argument.name),
            )),
            (Some(_), _) if foreign => violations.push(RuleViolation::error(
                9,
                number,
                format!("`{name}` has no argument `{}`", argument.name),
            )),
            (Some(ArgumentValue::Required), None) => violations.push(RuleViolation::error(
                11,
                number,
                format!("`{}` needs a value", argument.name),
            )),
            (Some(_), Some(value))
                if argument.name == "--interpreter"
                    && !["busybox", "python"].contains(&value.as_str()) =>
            {
                violations.push(RuleViolation::error(
                    24,
                    number,
                    format!(
                        "`{value}` is not an interpreter of ESXi: expected `busybox` or `python`"
                    ),
                ));
            }
            _ => {}
        }
    }
    violations
}

/// A `%pre` script that ends with an error aborts the installation.
fn exit_status(section: &Section<'_>) -> Option<RuleViolation> {
    let code =
        |line: &&(usize, &str)| !line.1.trim().is_empty() && !line.1.trim_start().starts_with('#');
    let last = section.lines.iter().rev().find(code);
    let (number, line) = last.map_or((section.number, ""), |(number, line)| {
        (*number, line.trim())
    });
    let is_success =
        line.is_empty() || line == "exit 0" || line.ends_with("|| true") || line.ends_with("|| :");
    (!is_success).then(|| {
        RuleViolation::error(
            23,
            number,
            "this script must end with `exit 0`: an error here aborts the installation",
        )
    })
}

/// Checks calls of busybox's wget. Only `-q -O FILE URL` is supported by every release.
fn wget(number: usize, line: &str) -> Vec<RuleViolation> {
    let commands = without_comment(line).split([';', '|', '&', '(', ')', '`']);
    let calls = commands.filter_map(|command| {
        let words: Vec<&str> = command.split_whitespace().collect();
        let at = words
            .iter()
            .position(|word| *word == "wget" || word.ends_with("/wget"))?;
        Some(words[at + 1..].to_vec())
    });
    calls
        .filter_map(|words| {
            let bad = words.iter().find(|word| {
                ["--spider", "-s", "-S"].contains(*word) || word.starts_with("--post")
            });
            if let Some(bad) = bad {
                return Some(RuleViolation::error(
                    26,
                    number,
                    format!("not every ESXi's wget supports `{bad}`"),
                ));
            }
            let writes = words
                .iter()
                .any(|word| word.starts_with('-') && !word.starts_with("--") && word.contains('O'));
            (!writes).then(|| {
                RuleViolation::error(
                    26,
                    number,
                    "without `-O` wget writes a file, and fails if the file exists",
                )
            })
        })
        .collect()
}

/// A line of a shell script without its trailing comment.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') if before.is_whitespace() => return &line[..at],
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
        before = c;
    }
    line
}

/// ESXi's firewall allows outgoing HTTP requests on two ports.
fn port(number: usize, line: &str) -> Option<RuleViolation> {
    let rest = line.split("http://").nth(1)?;
    let host = rest.split(['/', '"', '\'', ' ']).next()?;
    let port = host
        .rsplit_once(':')
        .and_then(|(host, port)| (!host.is_empty() && !port.ends_with(']')).then_some(port))?;
    (!["80", "443"].contains(&port)).then(|| {
        RuleViolation::warning(
            27,
            number,
            format!(
                "a new ESXi host can report only to ports 80 and 443, not to {port}, because of its firewall"
            ),
        )
    })
}
