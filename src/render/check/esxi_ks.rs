//! Checks ESXi's ks.cfg: its commands and sections.
//!
//! Each rule has a number. The tests have a bad example for each.

use super::{
    RuleViolation,
    commands::{ArgumentValue, EsxiArgument, KsCommand, command, is_deprecated, split_arguments},
    esxi_include::texts_written_to,
    esxi_network, esxi_script,
    shlex::split,
};
use crate::render::esxi::is_license;

/// The number of commands that the installer accepts.
const MAX_COMMANDS: usize = 256;

/// Returns every rule that a ks.cfg breaks.
pub fn check_ks(text: &str, secure_boot: bool) -> Vec<RuleViolation> {
    let mut violations = bytes(text);
    let (commands, sections) = esxi_script::split_sections(text);
    let mut lines = parse_commands(commands, &mut violations);
    // Of several texts for one file only one is included. The first one is used for the rules about the whole document.
    let mut alternatives = Vec::new();
    for path in included(&lines) {
        for (at, text) in texts_written_to(&sections, &path).into_iter().enumerate() {
            let more = parse_commands(
                text.iter().map(|(at, line)| (*at, line.as_str())),
                &mut violations,
            );
            match at {
                0 => lines.extend(more),
                _ => alternatives.extend(more),
            }
        }
    }
    violations.extend(lines.iter().chain(&alternatives).flat_map(spelling));
    violations.extend(presence(&lines));
    violations.extend(lines.iter().flat_map(password));
    violations.extend(lines.iter().chain(&alternatives).flat_map(license));
    violations.extend(disks(&lines));
    violations.extend(disks(&alternatives));
    violations.extend(esxi_network::check(&lines));
    violations.extend(esxi_script::check(&sections, secure_boot));
    violations.sort_by_key(|violation| (violation.line, violation.rule));
    violations
}

fn parse_commands<'a>(
    commands: impl IntoIterator<Item = (usize, &'a str)>,
    violations: &mut Vec<RuleViolation>,
) -> Vec<KsCommand> {
    let mut lines = Vec::new();
    for (number, line) in commands {
        match split(line) {
            None => violations.push(RuleViolation::error(9, number, "a quote is not closed")),
            Some(words) if words.is_empty() => {}
            Some(words) => {
                let (arguments, others) = split_arguments(&words[1..]);
                lines.push(KsCommand {
                    number,
                    name: words[0].clone(),
                    arguments,
                    words: others,
                });
            }
        }
    }
    lines
}

/// The files that a document includes.
fn included(lines: &[KsCommand]) -> Vec<String> {
    let includes = lines
        .iter()
        .filter(|line| ["include", "%include"].contains(&line.name.as_str()));
    includes.flat_map(|line| line.words.clone()).collect()
}

fn bytes(text: &str) -> Vec<RuleViolation> {
    let mut violations = Vec::new();
    if let Some(at) = text.lines().position(|line| !line.is_ascii()) {
        violations.push(RuleViolation::error(28, at + 1, "this is not ASCII"));
    }
    if let Some(at) = text.split('\n').position(|line| line.ends_with('\r')) {
        violations.push(RuleViolation::error(
            30,
            at + 1,
            "this line has a Windows line ending",
        ));
    }
    violations
}

/// Reports words that the installer would only warn about.
fn spelling(line: &KsCommand) -> Vec<RuleViolation> {
    let (number, name) = (line.number, &line.name);
    if is_deprecated(name) {
        return vec![RuleViolation::error(
            10,
            number,
            format!("`{name}` has no effect on ESXi"),
        )];
    }
    let Some(known) = command(name) else {
        return vec![RuleViolation::error(
            9,
            number,
            format!("there is no command `{name}`"),
        )];
    };
    let mut violations = Vec::new();
    for argument in &line.arguments {
        let value_rule = known
            .arguments
            .iter()
            .find(|(known, _)| *known == argument.name)
            .map(|(_, value_rule)| *value_rule);
        violations.extend(match (value_rule, &argument.value) {
            (None, _) => Some(RuleViolation::error(
                9,
                number,
                format!("`{name}` has no argument `{}`", argument.name),
            )),
            (Some(ArgumentValue::Required), None) => Some(RuleViolation::error(
                11,
                number,
                format!("`{}` needs a value", argument.name),
            )),
            (Some(ArgumentValue::Required | ArgumentValue::Optional), Some(value))
                if value.is_empty() =>
            {
                Some(RuleViolation::error(
                    11,
                    number,
                    format!("`{}` needs a value", argument.name),
                ))
            }
            (Some(ArgumentValue::Forbidden), Some(_)) => Some(RuleViolation::error(
                11,
                number,
                format!("`{}` takes no value", argument.name),
            )),
            _ => None,
        });
    }
    if line.words.len() != known.words {
        let message = format!(
            "`{name}` takes {} words besides its arguments, not {}",
            known.words,
            line.words.len()
        );
        violations.push(RuleViolation::error(9, number, message));
    }
    violations
}

/// Reports required commands that are missing, and repeated ones.
fn presence(lines: &[KsCommand]) -> Vec<RuleViolation> {
    let mut violations = Vec::new();
    let named = |names: &[&str]| {
        lines
            .iter()
            .filter(|line| names.contains(&line.name.as_str()))
            .collect::<Vec<_>>()
    };
    for (rule, names) in [
        (1, &["vmaccepteula", "accepteula"][..]),
        (2, &["rootpw"]),
        (20, &["reboot"]),
    ] {
        if named(names).is_empty() {
            violations.push(RuleViolation::error(
                rule,
                1,
                format!("there is no `{}`", names[0]),
            ));
        }
    }
    match named(&["install", "upgrade", "installorupgrade"]).as_slice() {
        [] => violations.push(match named(&["include", "%include"]).first() {
            None => RuleViolation::error(4, 1, "there is neither `install` nor `upgrade`"),
            Some(line) => RuleViolation::error(
                4,
                line.number,
                "there is neither `install` nor `upgrade`, and no `%pre` writes a literal one to this file",
            ),
        }),
        [_] => {}
        [_, second, ..] => violations.push(RuleViolation::error(
            4,
            second.number,
            "only one of `install`, `upgrade` and `installorupgrade` is allowed",
        )),
    }
    if let [_, second, ..] = named(&["network"]).as_slice() {
        violations.push(RuleViolation::error(
            12,
            second.number,
            "of several `network` lines only the last one is used",
        ));
    }
    if let Some(line) = lines.get(MAX_COMMANDS) {
        violations.push(RuleViolation::error(
            29,
            line.number,
            format!("the installer accepts {MAX_COMMANDS} commands"),
        ));
    }
    violations
}

fn password(line: &KsCommand) -> Option<RuleViolation> {
    let password = line.words.first().filter(|_| line.name == "rootpw")?;
    if !line.has("--iscrypted") {
        return Some(RuleViolation::warning(
            3,
            line.number,
            "the password is in plain text, not a hash",
        ));
    }
    let crypt = |part: &str| {
        part.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte))
    };
    let parts: Vec<&str> = password.split('$').collect();
    let is_valid = match parts.as_slice() {
        ["", "1", salt, hash] => {
            crypt(salt) && crypt(hash) && (22..=31).contains(&(salt.len() + 1 + hash.len()))
        }
        ["", "6", salt, hash] => {
            crypt(salt) && (1..=16).contains(&salt.len()) && crypt(hash) && hash.len() == 86
        }
        [des] => crypt(des) && des.len() == 13,
        _ => false,
    };
    (!is_valid).then(|| {
        RuleViolation::error(
            3,
            line.number,
            "the installer accepts `$6$` without `rounds=`, `$1$`, or 13 characters of DES",
        )
    })
}

/// The installer accepts `\w{5}` five times. The message never contains the key.
fn license(line: &KsCommand) -> Option<RuleViolation> {
    let is_command = ["serialnum", "vmserialnum"].contains(&line.name.as_str());
    let is_valid = match line.arguments.as_slice() {
        // A missing value is reported by another rule.
        [EsxiArgument { name, value }] if name == "--esx" => value
            .as_deref()
            .is_none_or(|key| key.is_empty() || is_license(key)),
        _ => false,
    };
    (is_command && !is_valid).then(|| {
        RuleViolation::error(
            11,
            line.number,
            "`--esx` needs a licence key: five groups of five letters or digits",
        )
    })
}

fn disks(lines: &[KsCommand]) -> Vec<RuleViolation> {
    let installs = lines.iter().any(|line| line.name == "install");
    lines
        .iter()
        .flat_map(|line| match line.name.as_str() {
            "install" | "installorupgrade" => install(line),
            "clearpart" => clearpart(line, installs),
            _ => Vec::new(),
        })
        .collect()
}

fn install(line: &KsCommand) -> Vec<RuleViolation> {
    let mut violations = Vec::new();
    let by_name = line.has("--disk") || line.has("--drive");
    let first = line.has("--firstdisk");
    if by_name == first {
        violations.push(RuleViolation::error(
            5,
            line.number,
            format!(
                "`{}` needs exactly one of `--disk` and `--firstdisk`",
                line.name
            ),
        ));
    }
    if line.has("--overwritevmfs") && (line.has("--preservevmfs")) {
        violations.push(RuleViolation::error(
            6,
            line.number,
            "`--overwritevmfs` and `--preservevmfs` are mutually exclusive",
        ));
    }
    if line.has("--ignoressd") && (!first || line.name == "installorupgrade") {
        violations.push(RuleViolation::error(
            7,
            line.number,
            "`--ignoressd` is only allowed with `install --firstdisk`",
        ));
    }
    if line.has("--forcemigrate") && line.name == "install" {
        violations.push(RuleViolation::error(
            9,
            line.number,
            "`install` has no argument `--forcemigrate`",
        ));
    }
    violations
}

fn clearpart(line: &KsCommand, installs: bool) -> Vec<RuleViolation> {
    let which = ["--alldrives", "--drives", "--ignoredrives", "--firstdisk"];
    let chosen = which.iter().filter(|name| line.has(name)).count();
    let mut violations = Vec::new();
    if !installs {
        violations.push(RuleViolation::error(
            8,
            line.number,
            "`clearpart` is only allowed with `install`",
        ));
    }
    if chosen != 1 {
        violations.push(RuleViolation::error(
            8,
            line.number,
            format!("`clearpart` needs exactly one of {}", which.join(", ")),
        ));
    }
    violations
}
