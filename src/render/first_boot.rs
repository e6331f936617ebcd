//! What runs at the first boot: what makes up for an installer, and the operator's own scripts.

use std::collections::BTreeMap;

use minijinja::{Value, context};

use crate::site::Diagnostic;

use super::{
    context as seen,
    job::Job,
    library::Task,
    net::{self, NetText},
    quote::{self, FileFormat},
};

/// Shell lines that make up at the first boot for what the installer cannot say; what nothing makes up for is a
/// mistake.
pub(super) fn made_up_for(
    task: &Task,
    net: &NetText,
    runs: bool,
    found: &mut Vec<Diagnostic>,
) -> Vec<String> {
    let mut later = Vec::new();
    for loss in &net.losses {
        let moved = task.spec.to_first_boot.contains(&loss.setting) && !loss.later.is_empty();
        if moved && runs {
            later.extend(loss.later.iter().cloned());
            continue;
        }
        let message = format!(
            "task `{}` cannot express `{}`: {}",
            task.name, loss.setting, loss.what
        );
        // Name servers, search domains and time servers come from the network, for every kind of machine in it.
        let from_network = loss.span.is_none() && moved;
        let mut mistake = match from_network {
            true => Diagnostic::warning(message, None),
            false => Diagnostic::error(message, loss.span),
        };
        if moved {
            mistake.help =
                Some("it needs a script at the first boot, which Secure Boot does not run".into());
        }
        found.push(mistake);
    }
    if later.iter().any(|line| line.contains("$(nic ")) {
        later.insert(0, net::NIC.to_string());
    }
    later
}

/// Whether a task's templates or a machine's scripts call `secret`.
pub(super) fn uses_secrets(job: &Job<'_>, task: &Task) -> bool {
    let scripts = job
        .resolved
        .settings
        .first_boot
        .iter()
        .flat_map(|list| list.values());
    let broker = job.resolved.broker.as_deref();
    let broker = broker.and_then(|broker| job.library.broker(&broker.kind.value));
    task.unit.uses_secrets
        || broker.is_some_and(|unit| unit.uses_secrets)
        || scripts
            .filter_map(|path| job.library.loose(path))
            .any(|loose| loose.uses_secrets())
}

/// The scripts of the first boot, rendered. Where they stand inside of a document their lines are held to it.
pub(super) fn scripts(
    job: &Job<'_>,
    shared: &BTreeMap<&'static str, Value>,
    inside: bool,
    found: &mut Vec<Diagnostic>,
) -> Vec<Value> {
    let mut scripts = Vec::new();
    for at in job
        .resolved
        .settings
        .first_boot
        .iter()
        .flat_map(|list| &list.value)
    {
        // A script that does not exist was reported when the templates were compiled.
        let Some(loose) = job.library.loose(&at.value) else {
            continue;
        };
        let format = if inside {
            FileFormat::Esxi
        } else {
            FileFormat::Shell
        };
        let text = match loose.render(&at.value, seen::file(shared, format)) {
            Ok(text) => text,
            Err(wrong) => {
                found.push(job.mistake(wrong));
                continue;
            }
        };
        let breaks = text
            .lines()
            .position(|line| quote::esxi_section(line).is_some())
            .filter(|_| inside);
        if let Some(line) = breaks {
            let why =
                quote::section_break(&format!("\n{text}"), FileFormat::Esxi).unwrap_or_default();
            found.push(Diagnostic::error(
                format!("script {}, line {}: {why}", at.value, line + 1),
                at.span,
            ));
            continue;
        }
        let name = at
            .value
            .rsplit('/')
            .next()
            .unwrap_or(&at.value)
            .trim_end_matches(".j2")
            .to_string();
        scripts.push(context! { name => name, text => text });
    }
    scripts
}
