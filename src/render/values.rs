//! Checks settings whose text is written into installer documents.

use crate::{
    model::{Settings, Spanned},
    site::Diagnostic,
};

use super::{regional, system_accounts};

/// What a text may be.
struct TextRule {
    is_valid: fn(&str) -> bool,
    what: &'static str,
    expected: &'static str,
}

const SSH_KEY: TextRule = rule(
    is_ssh_key,
    "an SSH key",
    "one line such as `ssh-ed25519 AAAA… name`",
);
const PACKAGE: TextRule = rule(is_package, "a package", "letters, digits and `-+._@^*:=~`");
const KERNEL_ARGUMENT: TextRule = rule(
    is_kernel_word,
    "a kernel argument",
    "one line without control characters",
);
const KEPT_DISK: TextRule = rule(is_line, "a disk", "a path or a serial number on one line");
const DISK: TextRule = rule(
    is_line,
    "a disk",
    "a path, serial number or model on one line",
);

const fn rule(is_valid: fn(&str) -> bool, what: &'static str, expected: &'static str) -> TextRule {
    TextRule {
        is_valid,
        what,
        expected,
    }
}

/// Reports invalid texts.
pub(super) fn mistakes(settings: &Settings) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    let mut check = |texts: &[Spanned<String>], rule: &TextRule| {
        let bad = texts.iter().filter(|at| !(rule.is_valid)(&at.value));
        diagnostics.extend(bad.map(|at| invalid(at, rule.what, rule.expected)));
    };
    for (list, rule) in [
        (&settings.ssh_keys, SSH_KEY),
        (&settings.packages, PACKAGE),
        (&settings.kernel_args, KERNEL_ARGUMENT),
        (&settings.boot_args, KERNEL_ARGUMENT),
        (&settings.keep, KEPT_DISK),
    ] {
        check(list.as_deref().map_or(&[], |list| &list.value), &rule);
    }
    if let Some(disk) = settings.disk.as_deref().map(|at| &at.value) {
        for text in [&disk.path, &disk.serial, &disk.wwid, &disk.model] {
            check(text.as_slice(), &DISK);
        }
    }
    diagnostics.extend(of_user(settings));
    diagnostics.extend(regional::mistakes(settings));
    diagnostics
}

fn of_user(settings: &Settings) -> Vec<Diagnostic> {
    let Some(at) = &settings.user else {
        return Vec::new();
    };
    let mut diagnostics = Vec::new();
    match &at.value.name {
        None => diagnostics.push(Diagnostic::error("this user has no `name`", at.span)),
        Some(name) if !is_user(&name.value) => {
            diagnostics.push(invalid(
                name,
                "a user name",
                "a letter or `_`, then at most 31 lower-case letters, digits, `_` and `-`",
            ));
        }
        Some(name) if name.value == "root" => diagnostics.push(
            Diagnostic::error("`user` is an account besides root", name.span)
                .help("root has `root-password-hash` and `ssh-keys`"),
        ),
        Some(name) if system_accounts::has(&name.value) => diagnostics.push(
            Diagnostic::error(
                format!("`{name}` is a user or group of the system itself"),
                name.span,
            )
            .help("choose another name"),
        ),
        Some(_) => {}
    }
    let keys = at
        .value
        .ssh_keys
        .iter()
        .flat_map(|list| &list.value)
        .filter(|at| !is_ssh_key(&at.value));
    diagnostics.extend(keys.map(|at| {
        invalid(
            at,
            "an SSH key",
            "one line such as `ssh-ed25519 AAAA… name`",
        )
    }));
    diagnostics
}

fn invalid(at: &Spanned<String>, what: &str, expected: &str) -> Diagnostic {
    let shown: String = at
        .value
        .chars()
        .take(40)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    Diagnostic::error(
        format!("`{shown}` is not {what}: expected {expected}"),
        at.span,
    )
}

fn is_line(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

fn is_kernel_word(text: &str) -> bool {
    is_line(text) && text.trim() == text
}

/// A key, possibly preceded by options (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
fn is_ssh_key(text: &str) -> bool {
    let types = ["ssh-", "ecdsa-", "sk-"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let key = words.windows(2).any(|pair| {
        types.iter().any(|kind| pair[0].starts_with(kind)) && pair[1].starts_with("AAAA")
    });
    is_line(text) && text.trim() == text && key
}

fn is_user(text: &str) -> bool {
    let first = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let rest = text
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
    first && rest && text.len() <= 32
}

fn is_package(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-+._@^*:=~/".contains(&byte))
}
