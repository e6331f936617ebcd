//! The script sections of ESXi's ks.cfg.
//!
//! A section ends where the next one begins; there is no `%end`.

use super::{
    RuleViolation,
    commands::{ArgumentValue, SECTION, parted},
    shlex::split,
};
use crate::render::quote::esxi_section;

/// One script.
pub(super) struct Section<'a> {
    number: usize,
    pub(super) header: &'a str,
    pub(super) lines: Vec<(usize, &'a str)>,
}

/// Numbered lines.
type NumberedLines<'a> = Vec<(usize, &'a str)>;

/// Parts a file into its command lines and its scripts.
pub(super) fn parted_into_sections(text: &str) -> (NumberedLines<'_>, Vec<Section<'_>>) {
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
    let mut found: Vec<RuleViolation> = sections
        .iter()
        .flat_map(|section| one(section, secure_boot))
        .collect();
    // One port is one mistake, however many lines say it.
    let mut seen = false;
    found.retain(|finding| finding.rule != 27 || !std::mem::replace(&mut seen, true));
    found
}

fn one(section: &Section<'_>, secure_boot: bool) -> Vec<RuleViolation> {
    let words = split(section.header).unwrap_or_default();
    let name = words.first().map(String::as_str).unwrap_or_default();
    let mut found = header(section, name, &words);
    for (number, line) in &section.lines {
        match esxi_section(line) {
            Some("%end") => found.push(RuleViolation::error(
                21,
                *number,
                "ESXi has no `%end`: this becomes a line of the script",
            )),
            Some(word) => found.push(RuleViolation::error(
                22,
                *number,
                format!("a line that begins with `{word}` ends the script"),
            )),
            None => {}
        }
        found.extend(wget(*number, line));
        if ["%post", "%firstboot"].contains(&name) {
            found.extend(port(*number, line));
        }
    }
    if name == "%pre" {
        found.extend(ends_well(section));
    }
    if name == "%firstboot" && secure_boot {
        found.push(RuleViolation::error(
            25,
            section.number,
            "Secure Boot does not run scripts at the first boot",
        ));
    }
    found
}

fn header(section: &Section<'_>, name: &str, words: &[String]) -> Vec<RuleViolation> {
    let number = section.number;
    if !["%pre", "%post", "%firstboot"].contains(&name) {
        return match name {
            "%packages" | "%vmlicense_text" => vec![RuleViolation::error(
                10,
                number,
                format!("`{name}` does nothing on ESXi"),
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
    let (arguments, others) = parted(words.get(1..).unwrap_or_default());
    if !others.is_empty() {
        return vec![RuleViolation::error(
            22,
            number,
            format!("a line that begins with `{name}` ends the script"),
        )];
    }
    let mut found = Vec::new();
    for argument in arguments {
        let takes = SECTION
            .iter()
            .find(|(known, _)| *known == argument.name)
            .map(|(_, takes)| *takes);
        let foreign = name != "%post" && argument.name != "--interpreter";
        match (takes, &argument.value) {
            (None, _) => found.push(RuleViolation::error(
                9,
                number,
                format!("`{name}` has no argument `{}`", argument.name),
            )),
            (Some(_), _) if foreign => found.push(RuleViolation::error(
                9,
                number,
                format!("`{name}` has no argument `{}`", argument.name),
            )),
            (Some(ArgumentValue::Required), None) => found.push(RuleViolation::error(
                11,
                number,
                format!("`{}` wants a value", argument.name),
            )),
            (Some(_), Some(value))
                if argument.name == "--interpreter"
                    && !["busybox", "python"].contains(&value.as_str()) =>
            {
                found.push(RuleViolation::error(
                    24,
                    number,
                    format!("`{value}` is no interpreter of ESXi: `busybox` or `python`"),
                ));
            }
            _ => {}
        }
    }
    found
}

/// A script before the installation that ends with an error ends the installation.
fn ends_well(section: &Section<'_>) -> Option<RuleViolation> {
    let code =
        |line: &&(usize, &str)| !line.1.trim().is_empty() && !line.1.trim_start().starts_with('#');
    let last = section.lines.iter().rev().find(code);
    let (number, line) = last.map_or((section.number, ""), |(number, line)| {
        (*number, line.trim())
    });
    let well =
        line.is_empty() || line == "exit 0" || line.ends_with("|| true") || line.ends_with("|| :");
    (!well).then(|| {
        RuleViolation::error(
            23,
            number,
            "this script must end with `exit 0`: an error here ends the installation",
        )
    })
}

/// The wget of busybox: `-q -O FILE URL`, and nothing else everywhere.
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
                    format!("not every ESXi's wget knows `{bad}`"),
                ));
            }
            let writes = words
                .iter()
                .any(|word| word.starts_with('-') && !word.starts_with("--") && word.contains('O'));
            (!writes).then(|| {
                RuleViolation::error(
                    26,
                    number,
                    "without `-O` wget writes a file, and fails when it is there already",
                )
            })
        })
        .collect()
}

/// A line of a shell without the comment at its end.
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

/// ESXi's firewall lets web requests out on two ports.
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
                "ESXi's firewall lets a fresh host call back on port 80 and 443, not on {port}"
            ),
        )
    })
}
