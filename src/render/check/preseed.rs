//! What a preseed file has to answer, so that Debian's installer waits at no question.
//!
//! The installer is started with `priority=critical`, and its questions of the priorities `high` and `critical` that a
//! preseed file does not answer stop it, some of them after the disk has been wiped. The shipped template answers them. A
//! template of the site may replace it, so its result is checked: a line for each question that every installation asks,
//! and values that the installer does not accept as an answer. The tests run the installer's own scripts without each of
//! these lines.

use std::{borrow::Cow, collections::BTreeMap};

use crate::site::Diagnostic;

/// A question that every installation asks.
#[derive(Debug)]
pub struct NeededAnswer {
    /// The question.
    pub question: &'static str,
    /// What answers it: the lines of one of these groups.
    pub answers: &'static [&'static [&'static str]],
    /// A line that answers it.
    pub example: &'static str,
}

const fn needed(
    question: &'static str,
    answers: &'static [&'static [&'static str]],
    example: &'static str,
) -> NeededAnswer {
    NeededAnswer {
        question,
        answers,
        example,
    }
}

/// The questions, in the order of the installer of Debian 12 and 13.
pub const NEEDED: &[NeededAnswer] = &[
    needed(
        "localechooser/languagelist",
        &[
            &["debian-installer/locale"],
            &["debian-installer/language", "debian-installer/country"],
        ],
        "d-i debian-installer/locale string en_US.UTF-8",
    ),
    needed(
        "keyboard-configuration/xkb-keymap",
        &[&["keyboard-configuration/xkb-keymap"]],
        "d-i keyboard-configuration/xkb-keymap select us",
    ),
    needed(
        "mirror/http/countries",
        &[&["mirror/country"]],
        "d-i mirror/country string manual",
    ),
    needed(
        "mirror/http/hostname",
        &[&["mirror/http/hostname"], &["mirror/https/hostname"]],
        "d-i mirror/http/hostname string mirror.example",
    ),
    needed(
        "mirror/http/directory",
        &[&["mirror/http/directory"], &["mirror/https/directory"]],
        "d-i mirror/http/directory string /debian",
    ),
    needed(
        "mirror/http/proxy",
        &[&["mirror/http/proxy"], &["mirror/https/proxy"]],
        "d-i mirror/http/proxy string",
    ),
    needed(
        "passwd/root-password",
        &[
            &["passwd/root-password-crypted"],
            &["passwd/root-password", "passwd/root-password-again"],
        ],
        "d-i passwd/root-password-crypted password *",
    ),
    needed(
        "time/zone",
        &[&["time/zone"]],
        "d-i time/zone string Etc/UTC",
    ),
    needed(
        "partman-auto/init_automatically_partition",
        &[
            &["partman-auto/method"],
            &["partman-auto/init_automatically_partition"],
        ],
        "d-i partman-auto/method string regular",
    ),
    needed(
        "partman-auto/choose_recipe",
        &[
            &["partman-auto/choose_recipe"],
            &["partman-auto/expert_recipe"],
            &["partman-auto/expert_recipe_file"],
        ],
        "d-i partman-auto/choose_recipe select atomic",
    ),
    needed(
        "partman/choose_partition",
        &[&["partman/choose_partition"]],
        "d-i partman/choose_partition select finish",
    ),
    needed(
        "partman/confirm",
        &[&["partman/confirm"]],
        "d-i partman/confirm boolean true",
    ),
    needed(
        "partman/confirm_nooverwrite",
        &[&["partman/confirm_nooverwrite"]],
        "d-i partman/confirm_nooverwrite boolean true",
    ),
    needed(
        "apt-setup/service-failed",
        &[&["apt-setup/service-failed"]],
        "d-i apt-setup/service-failed note",
    ),
    needed(
        "grub-installer/only_debian",
        &[&["grub-installer/only_debian"]],
        "d-i grub-installer/only_debian boolean true",
    ),
    needed(
        "finish-install/reboot_in_progress",
        &[&["finish-install/reboot_in_progress"]],
        "d-i finish-install/reboot_in_progress note",
    ),
];

/// One line: the question, its type and its value.
#[derive(Debug, PartialEq, Eq)]
struct PreseedLine<'a> {
    /// Counted from 1.
    line: usize,
    question: Cow<'a, str>,
    kind: Cow<'a, str>,
    value: Cow<'a, str>,
}

/// The lines by their questions.
type PreseedAnswers<'a> = BTreeMap<&'a str, &'a PreseedLine<'a>>;

/// The types of debconf-devel(7), and `seen`, which marks a question as answered.
const TYPES: [&str; 11] = [
    "boolean",
    "entropy",
    "error",
    "multiselect",
    "note",
    "password",
    "seen",
    "select",
    "string",
    "text",
    "title",
];

/// Questions whose answers name further preseed files.
const MORE: [&str; 3] = ["preseed/include", "preseed/include_command", "preseed/run"];

/// Checks a preseed file.
pub(super) fn check(name: &str, text: &str) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut answers: PreseedAnswers<'_> = BTreeMap::new();
    let (lines, broken) = parse(text);
    for number in broken {
        let message =
            format!("{name}, line {number}: expected an owner, a question, its type and a value");
        found.push(Diagnostic::error(message, None));
    }
    for line in &lines {
        if !TYPES.contains(&&*line.kind) {
            let message = format!("{name}, line {}: `{}` is not a type", line.line, line.kind);
            found.push(
                Diagnostic::error(message, None)
                    .help(format!("expected one of {}", TYPES.join(", "))),
            );
        }
        if let Some(first) = answers.insert(&line.question, line) {
            let message = format!(
                "{name}, line {}: `{}` is also set in line {}, and the last one counts",
                line.line, line.question, first.line
            );
            found.push(Diagnostic::warning(message, None));
        }
    }
    if let Some(line) = answers.get("apt-setup/security_host")
        && line.value.contains("://")
    {
        let message = format!(
            "{name}, line {}: the installer cannot use `{}` as its source of security updates",
            line.line, line.value
        );
        let help = "it uses `http://<host>/debian-security`; for another URL set `security = false` and an entry in `repos`";
        found.push(Diagnostic::error(message, None).help(help));
    }
    // Another file may have the other answers.
    let is_part = MORE.iter().any(|question| answers.contains_key(question));
    if !is_part {
        found.extend(unanswered(name, &answers));
        found.extend(refused(name, &answers));
    }
    found
}

/// The lines, and the numbers of those that are none.
fn parse(text: &str) -> (Vec<PreseedLine<'_>>, Vec<usize>) {
    let (mut lines, mut broken) = (Vec::new(), Vec::new());
    // The parts of a line that ends with a backslash, and so continues.
    let mut begun = String::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_end_matches('\r');
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let line = line.trim_start();
        if let Some(part) = line.strip_suffix('\\') {
            begun += part.trim_end();
            begun.push(' ');
            continue;
        }
        let fields = if begun.is_empty() {
            fields(line).map(|fields| fields.map(Cow::Borrowed))
        } else {
            let whole = std::mem::take(&mut begun) + line;
            fields(&whole).map(|fields| fields.map(|field| Cow::Owned(field.to_owned())))
        };
        match fields {
            None => broken.push(index + 1),
            Some([question, kind, value]) => lines.push(PreseedLine {
                line: index + 1,
                question,
                kind,
                value,
            }),
        }
    }
    (lines, broken)
}

/// The question, the type and the value of a line, which begins with the question's owner.
fn fields(line: &str) -> Option<[&str; 3]> {
    let mut rest = line;
    let mut word = || {
        let (word, after) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
        rest = after.trim_start();
        word
    };
    let (_, question, kind) = (word(), word(), word());
    (!question.is_empty() && !kind.is_empty()).then_some([question, kind, rest])
}

/// Warns about questions without an answer.
fn unanswered(name: &str, answers: &PreseedAnswers<'_>) -> Vec<Diagnostic> {
    let has = |question: &&str| answers.contains_key(question);
    let open = NEEDED
        .iter()
        .filter(|needed| !needed.answers.iter().any(|group| group.iter().all(has)));
    // Without root's login, root has no password.
    let rootless = is(answers, "passwd/root-login", "false");
    open.filter(|needed| !(rootless && needed.question == "passwd/root-password"))
        .map(|needed| waits(name, needed.question, needed.example))
        .collect()
}

/// Warns about values that the installer does not accept as an answer.
fn refused(name: &str, answers: &PreseedAnswers<'_>) -> Vec<Diagnostic> {
    let value = |question: &str| answers.get(question).map(|line| &*line.value);
    let mut found = Vec::new();
    let rootless = is(answers, "passwd/root-login", "false");
    if !rootless && matches!(value("passwd/root-password-crypted"), Some("" | "!")) {
        let example = "d-i passwd/root-password-crypted password *";
        found.push(waits(name, "passwd/root-password", example));
    }
    // Without root's login, there is always an account besides.
    if rootless || !is(answers, "passwd/make-user", "false") {
        for (question, example) in [
            (
                "passwd/user-fullname",
                "d-i passwd/user-fullname string Operator",
            ),
            ("passwd/username", "d-i passwd/username string ops"),
        ] {
            if value(question).is_none_or(str::is_empty) {
                found.push(waits(name, question, example));
            }
        }
        let crypted = value("passwd/user-password-crypted").is_some_and(|value| !value.is_empty());
        let plain = value("passwd/user-password").is_some_and(|value| !value.is_empty());
        if !crypted && !plain {
            let example = "d-i passwd/user-password-crypted password *";
            found.push(waits(name, "passwd/user-password", example));
        }
    }
    found
}

fn is(answers: &PreseedAnswers<'_>, question: &str, value: &str) -> bool {
    answers
        .get(question)
        .is_some_and(|line| line.value == value)
}

fn waits(name: &str, question: &str, example: &str) -> Diagnostic {
    let message = format!(
        "{name}: Debian's installer waits at the question `{question}`, which no line answers"
    );
    Diagnostic::warning(message, None).help(format!("answer it, for example: {example}"))
}
