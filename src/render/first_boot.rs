//! What runs at the first boot: settings that the installer does not support, and the operator's scripts.

use minijinja::Value;

use crate::site::Diagnostic;

use super::{
    context::{self, SharedValues},
    library::Task,
    net::{self, NetText},
    quote::{self, FileFormat},
    request::RenderRequest,
};

/// Returns the shell lines that apply, at the first boot, network settings that the installer does not support. Reports those
/// that cannot be applied at all.
pub(super) fn deferred_settings(
    task: &Task,
    net: &NetText,
    runs: bool,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<String> {
    let mut commands = Vec::new();
    for setting in &net.unsupported {
        let moved = task.spec.to_first_boot.contains(&setting.setting)
            && !setting.first_boot_commands.is_empty();
        if moved && runs {
            commands.extend(setting.first_boot_commands.iter().cloned());
            continue;
        }
        let message = format!(
            "task `{}` does not support `{}`: {}",
            task.name, setting.setting, setting.detail
        );
        // Name servers, search domains and time servers belong to the network, whose machines may have other tasks.
        let from_network = setting.span.is_none() && moved;
        let mut mistake = match from_network {
            true => Diagnostic::warning(message, None),
            false => Diagnostic::error(message, setting.span),
        };
        if moved {
            mistake.help = Some(
                "it needs a script at the first boot, and scripts do not run with Secure Boot"
                    .into(),
            );
        }
        diagnostics.push(mistake);
    }
    if commands.iter().any(|line| line.contains("$(nic ")) {
        commands.insert(0, net::NIC.to_string());
    }
    commands
}

/// Renders the first-boot scripts. With `inside` they become part of the document, and no line may end its section.
pub(super) fn scripts(
    request: &RenderRequest<'_>,
    shared: &SharedValues,
    inside: bool,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Value> {
    let mut scripts = Vec::new();
    for at in request
        .resolved
        .settings
        .first_boot
        .iter()
        .flat_map(|list| &list.value)
    {
        // A missing script was reported when the templates were compiled.
        let Some(script) = request.library.first_boot_script(&at.value) else {
            continue;
        };
        let format = if inside {
            FileFormat::Esxi
        } else {
            FileFormat::Shell
        };
        let text = match script.render(&at.value, context::file(shared, format, true)) {
            Ok(text) => text,
            Err(error) => {
                diagnostics.push(request.template_diagnostic(error));
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
            diagnostics.push(Diagnostic::error(
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
        if let Some((line, why)) = script.syntax_mistake(&text) {
            let message = format!("script {}, line {line}: {why}", at.value);
            diagnostics.push(Diagnostic::warning(message, at.span));
        }
        match interpreter(&text) {
            Ok(interpreter) => scripts.push(
                minijinja::context! { name => name, text => text, interpreter => interpreter },
            ),
            Err(why) => diagnostics.push(Diagnostic::error(
                format!("script {}: {why}", at.value),
                at.span,
            )),
        }
    }
    scripts
}

/// What runs a script, as words of a shell: the interpreter of its first line with its argument, else `sh`. The kernel
/// passes all that follows the interpreter as one argument (execve(2)).
fn interpreter(script: &str) -> Result<String, String> {
    let first = script.lines().next().unwrap_or_default();
    let Some(rest) = first.strip_prefix("#!") else {
        return Ok("sh".into());
    };
    let rest = rest.trim_matches([' ', '\t']);
    let (program, argument) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    if !program.starts_with('/') {
        return Err("its first line names no interpreter by its path, such as `#!/bin/sh`".into());
    }
    let words = [program, argument.trim_start()];
    let words = words.into_iter().filter(|word| !word.is_empty());
    let quoted: Result<Vec<String>, String> = words.map(quote::shell).collect();
    Ok(quoted?.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_run_by_the_interpreter_of_its_first_line() {
        for (script, expected) in [
            ("echo\n", Some("sh")),
            ("", Some("sh")),
            ("# a comment\n", Some("sh")),
            ("#!/bin/sh\n", Some("'/bin/sh'")),
            ("#! /bin/bash -eu \necho", Some("'/bin/bash' '-eu'")),
            ("#!/usr/bin/env python3", Some("'/usr/bin/env' 'python3'")),
            (
                "#!/usr/bin/env -S python3 -u\n",
                Some("'/usr/bin/env' '-S python3 -u'"),
            ),
            ("#!\tperl\n", None),
            ("#!\n", None),
        ] {
            let run = interpreter(script).ok();
            assert_eq!(run.as_deref(), expected, "{script:?}");
        }
    }
}
