//! What runs at the first boot: what makes up for an installer, and the operator's own scripts.

use std::collections::BTreeMap;

use minijinja::Value;

use crate::site::Diagnostic;

use super::{
    context,
    library::Task,
    net::{self, NetText},
    quote::{self, FileFormat},
    request::RenderRequest,
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
pub(super) fn uses_secrets(request: &RenderRequest<'_>, task: &Task) -> bool {
    let scripts = request
        .resolved
        .settings
        .first_boot
        .iter()
        .flat_map(|list| list.values());
    let broker = request.resolved.broker.as_deref();
    let broker = broker.and_then(|broker| request.library.broker(&broker.kind.value));
    task.templates.uses_secrets
        || broker.is_some_and(|templates| templates.uses_secrets)
        || scripts
            .filter_map(|path| request.library.first_boot_scripts(path))
            .any(|first_boot_scripts| first_boot_scripts.uses_secrets())
}

/// The scripts of the first boot, rendered. Where they stand inside of a document their lines are held to it.
pub(super) fn scripts(
    request: &RenderRequest<'_>,
    shared: &BTreeMap<&'static str, Value>,
    inside: bool,
    found: &mut Vec<Diagnostic>,
) -> Vec<Value> {
    let mut scripts = Vec::new();
    for at in request
        .resolved
        .settings
        .first_boot
        .iter()
        .flat_map(|list| &list.value)
    {
        // A script that does not exist was reported when the templates were compiled.
        let Some(first_boot_scripts) = request.library.first_boot_scripts(&at.value) else {
            continue;
        };
        let format = if inside {
            FileFormat::Esxi
        } else {
            FileFormat::Shell
        };
        let text = match first_boot_scripts.render(&at.value, context::file(shared, format)) {
            Ok(text) => text,
            Err(wrong) => {
                found.push(request.mistake(wrong));
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
        scripts.push(minijinja::context! { name => name, text => text });
    }
    scripts
}
