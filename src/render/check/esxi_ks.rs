//! ESXi's ks.cfg: commands and sections.
//!
//! Each rule has a number, and tests have a bad example for each.

use super::{
    RuleViolation,
    commands::{ArgumentValue, EsxiArgument, KsCommand, command, is_deprecated, parted},
    esxi_include::written,
    esxi_network, esxi_script,
    shlex::split,
};
use crate::render::esxi::is_license;

/// How many commands the installer takes.
const MOST_COMMANDS: usize = 256;

/// Returns every rule that a ks.cfg breaks.
pub fn check_ks(text: &str, secure_boot: bool) -> Vec<RuleViolation> {
    let mut found = bytes(text);
    let (commands, sections) = esxi_script::parted_into_sections(text);
    let mut lines = taken_apart(commands, &mut found);
    // Of texts that take each other's place the first one stands for all in what concerns the whole document.
    let mut others = Vec::new();
    for path in included(&lines) {
        for (at, text) in written(&sections, &path).into_iter().enumerate() {
            let more = taken_apart(
                text.iter().map(|(at, line)| (*at, line.as_str())),
                &mut found,
            );
            match at {
                0 => lines.extend(more),
                _ => others.extend(more),
            }
        }
    }
    found.extend(lines.iter().chain(&others).flat_map(spelling));
    found.extend(presence(&lines));
    found.extend(lines.iter().flat_map(password));
    found.extend(lines.iter().chain(&others).flat_map(license));
    found.extend(disks(&lines));
    found.extend(disks(&others));
    found.extend(esxi_network::check(&lines));
    found.extend(esxi_script::check(&sections, secure_boot));
    found.sort_by_key(|finding| (finding.line, finding.rule));
    found
}

fn taken_apart<'a>(
    commands: impl IntoIterator<Item = (usize, &'a str)>,
    found: &mut Vec<RuleViolation>,
) -> Vec<KsCommand> {
    let mut lines = Vec::new();
    for (number, line) in commands {
        match split(line) {
            None => found.push(RuleViolation::error(9, number, "a quote is not closed")),
            Some(words) if words.is_empty() => {}
            Some(words) => {
                let (arguments, others) = parted(&words[1..]);
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
    let mut found = Vec::new();
    if let Some(at) = text.lines().position(|line| !line.is_ascii()) {
        found.push(RuleViolation::error(28, at + 1, "this is not ASCII"));
    }
    if let Some(at) = text.split('\n').position(|line| line.ends_with('\r')) {
        found.push(RuleViolation::error(
            30,
            at + 1,
            "this line ends as on Windows",
        ));
    }
    found
}

/// Words that the installer would pass over with no more than a warning.
fn spelling(line: &KsCommand) -> Vec<RuleViolation> {
    let (number, name) = (line.number, &line.name);
    if is_deprecated(name) {
        return vec![RuleViolation::error(
            10,
            number,
            format!("`{name}` does nothing on ESXi"),
        )];
    }
    let Some(known) = command(name) else {
        return vec![RuleViolation::error(
            9,
            number,
            format!("there is no command `{name}`"),
        )];
    };
    let mut found = Vec::new();
    for argument in &line.arguments {
        let takes = known
            .arguments
            .iter()
            .find(|(known, _)| *known == argument.name)
            .map(|(_, takes)| *takes);
        found.extend(match (takes, &argument.value) {
            (None, _) => Some(RuleViolation::error(
                9,
                number,
                format!("`{name}` has no argument `{}`", argument.name),
            )),
            (Some(ArgumentValue::Required), None) => Some(RuleViolation::error(
                11,
                number,
                format!("`{}` wants a value", argument.name),
            )),
            (Some(ArgumentValue::Required | ArgumentValue::Optional), Some(value))
                if value.is_empty() =>
            {
                Some(RuleViolation::error(
                    11,
                    number,
                    format!("`{}` wants a value", argument.name),
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
            "`{name}` takes {} words beside its arguments, not {}",
            known.words,
            line.words.len()
        );
        found.push(RuleViolation::error(9, number, message));
    }
    found
}

/// What must be there, and what must not be there twice.
fn presence(lines: &[KsCommand]) -> Vec<RuleViolation> {
    let mut found = Vec::new();
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
            found.push(RuleViolation::error(
                rule,
                1,
                format!("there is no `{}`", names[0]),
            ));
        }
    }
    match named(&["install", "upgrade", "installorupgrade"]).as_slice() {
        [] => found.push(match named(&["include", "%include"]).first() {
            None => RuleViolation::error(4, 1, "there is neither `install` nor `upgrade`"),
            Some(line) => RuleViolation::error(
                4,
                line.number,
                "there is neither `install` nor `upgrade`, nor a `%pre` that is seen to write one into this file",
            ),
        }),
        [_] => {}
        [_, second, ..] => found.push(RuleViolation::error(
            4,
            second.number,
            "only one of `install`, `upgrade` and `installorupgrade`, once",
        )),
    }
    if let [_, second, ..] = named(&["network"]).as_slice() {
        found.push(RuleViolation::error(
            12,
            second.number,
            "of several `network` lines the last one wins",
        ));
    }
    if let Some(line) = lines.get(MOST_COMMANDS) {
        found.push(RuleViolation::error(
            29,
            line.number,
            format!("the installer takes {MOST_COMMANDS} commands"),
        ));
    }
    found
}

fn password(line: &KsCommand) -> Option<RuleViolation> {
    let password = line.words.first().filter(|_| line.name == "rootpw")?;
    if !line.has("--iscrypted") {
        return Some(RuleViolation::warning(
            3,
            line.number,
            "the password stands here as it is, not as a hash",
        ));
    }
    let crypt = |part: &str| {
        part.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte))
    };
    let parts: Vec<&str> = password.split('$').collect();
    let sound = match parts.as_slice() {
        ["", "1", salt, hash] => {
            crypt(salt) && crypt(hash) && (22..=31).contains(&(salt.len() + 1 + hash.len()))
        }
        ["", "6", salt, hash] => {
            crypt(salt) && (1..=16).contains(&salt.len()) && crypt(hash) && hash.len() == 86
        }
        [des] => crypt(des) && des.len() == 13,
        _ => false,
    };
    (!sound).then(|| {
        RuleViolation::error(
            3,
            line.number,
            "the installer takes `$6$` without `rounds=`, `$1$`, or 13 characters of DES",
        )
    })
}

/// The installer takes `\w{5}` five times. The key is never repeated.
fn license(line: &KsCommand) -> Option<RuleViolation> {
    let asks = ["serialnum", "vmserialnum"].contains(&line.name.as_str());
    let sound = match line.arguments.as_slice() {
        // Without a value, the spelling is wrong already.
        [EsxiArgument { name, value }] if name == "--esx" => value
            .as_deref()
            .is_none_or(|key| key.is_empty() || is_license(key)),
        _ => false,
    };
    (asks && !sound).then(|| {
        RuleViolation::error(
            11,
            line.number,
            "`--esx` wants a licence key: five groups of five letters or digits",
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
    let mut found = Vec::new();
    let by_name = line.has("--disk") || line.has("--drive");
    let first = line.has("--firstdisk");
    if by_name == first {
        found.push(RuleViolation::error(
            5,
            line.number,
            format!("`{}` wants one of `--disk` and `--firstdisk`", line.name),
        ));
    }
    if line.has("--overwritevmfs") && (line.has("--preservevmfs")) {
        found.push(RuleViolation::error(
            6,
            line.number,
            "a VMFS is either overwritten or kept",
        ));
    }
    if line.has("--ignoressd") && (!first || line.name == "installorupgrade") {
        found.push(RuleViolation::error(
            7,
            line.number,
            "`--ignoressd` goes with `install --firstdisk` alone",
        ));
    }
    if line.has("--forcemigrate") && line.name == "install" {
        found.push(RuleViolation::error(
            9,
            line.number,
            "`install` has no argument `--forcemigrate`",
        ));
    }
    found
}

fn clearpart(line: &KsCommand, installs: bool) -> Vec<RuleViolation> {
    let which = ["--alldrives", "--drives", "--ignoredrives", "--firstdisk"];
    let chosen = which.iter().filter(|name| line.has(name)).count();
    let mut found = Vec::new();
    if !installs {
        found.push(RuleViolation::error(
            8,
            line.number,
            "`clearpart` goes with `install` alone",
        ));
    }
    if chosen != 1 {
        found.push(RuleViolation::error(
            8,
            line.number,
            format!("`clearpart` wants one of {}", which.join(", ")),
        ));
    }
    found
}
