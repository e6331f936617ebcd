//! Strict checks of formats whose own programs do not check them before use.
//!
//! ESXi's installer only warns about an unknown word and continues. Its loader stops with a fatal error on the machine's screen.
//! So files for them are checked against their rules here, before a machine fetches them.

mod shlex;
mod commands;
mod esxi_ks;
mod esxi_network;
mod esxi_script;
mod esxi_include;
mod boot_cfg;
mod order;
mod preseed;
mod yaml;
pub(super) mod shell;
mod kickstart;
mod document;

use crate::site::{Diagnostic, Severity};

use super::{
    external::RepoContents,
    library::Task,
    request::{FileBody, RenderRequest, RenderedAttempt, RenderedFile},
    task::Dialect,
};

pub use boot_cfg::{BootCfgRequirements, check_boot_cfg};
pub use esxi_ks::check_ks;
pub use preseed::{NEEDED, NeededAnswer};
pub use shlex::split;

/// A violation of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleViolation {
    /// The number of the rule. The tests have a bad example for each.
    pub rule: u8,
    pub severity: Severity,
    /// Counted from 1.
    pub line: usize,
    pub message: String,
}

impl RuleViolation {
    fn error(rule: u8, line: usize, message: impl Into<String>) -> RuleViolation {
        RuleViolation {
            rule,
            severity: Severity::Error,
            line,
            message: message.into(),
        }
    }

    fn warning(rule: u8, line: usize, message: impl Into<String>) -> RuleViolation {
        RuleViolation {
            severity: Severity::Warning,
            ..RuleViolation::error(rule, line, message)
        }
    }
}

/// Checks rendered files against the rules of their formats.
pub(super) fn check_rendered(
    request: &RenderRequest<'_>,
    task: &Task,
    rendered: &RenderedAttempt,
) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    if task.spec.microkernel {
        diagnostics.extend(order::check(request, rendered));
    }
    let files = rendered.files.iter();
    let texts: Vec<(&RenderedFile, &str)> =
        files.filter_map(|file| Some((file, text(file)?))).collect();
    diagnostics.extend(missing_addresses(request, task, &texts));
    for (file, text) in texts {
        diagnostics.extend(document::check(&file.name, file.format, text));
        // The tests check the shipped templates.
        if task.templates.has_own {
            diagnostics.extend(document::shell_warning(&file.name, file.format, text));
        }
        if task.spec.dialect != Dialect::Esxi {
            continue;
        }
        let violations = match file.name.as_str() {
            "ks.cfg" => check_ks(text, request.resolved.settings.effective().secure_boot),
            "boot.cfg" => check_boot_cfg(text, &expected(request)),
            _ => continue,
        };
        diagnostics.extend(
            violations
                .into_iter()
                .map(|violation| diagnostic(&file.name, violation)),
        );
    }
    diagnostics
}

/// Warns about a static address that no file has: the installed system would not get it.
fn missing_addresses(
    request: &RenderRequest<'_>,
    task: &Task,
    texts: &[(&RenderedFile, &str)],
) -> Option<Diagnostic> {
    if !task.spec.installs {
        return None;
    }
    let links = &request.resolved.net.links;
    let mut addresses = links.iter().flat_map(|link| &link.addresses);
    let missing = addresses.find(|net| {
        let address = net.addr().to_string();
        !texts.iter().any(|(_, text)| has_address(text, &address))
    })?;
    let message = format!(
        "no file of task `{}` has the address {}",
        task.name,
        missing.addr()
    );
    let node = request.resolved.declared.as_ref().map(|node| node.span());
    Some(
        Diagnostic::warning(message, node)
            .help("the installed system would not get it; `net` and `net.ip` have it in templates"),
    )
}

/// Whether a text has an address that is not a part of a longer one.
fn has_address(text: &str, address: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || (c == ':' && address.contains(':'));
    // Only the search for one occurrence is vectorized.
    text.contains(address)
        && text.match_indices(address).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + address.len()..].chars().next();
            !before.is_some_and(is_part) && !after.is_some_and(is_part)
        })
}

/// The text of a rendered file; none for a file of a repo.
fn text(file: &RenderedFile) -> Option<&str> {
    match &file.body {
        FileBody::Bytes(bytes) => Some(str::from_utf8(bytes).expect("templates render text")),
        FileBody::Repo { .. } => None,
    }
}

/// The requirements for a machine's boot.cfg.
fn expected<'a>(request: &RenderRequest<'a>) -> BootCfgRequirements<'a> {
    let name = request.resolved.repo.as_ref().map(|repo| &repo.name.value);
    let tree = match name.and_then(|name| request.external.repos.get(name)) {
        Some(RepoContents::Tree { files }) => Some(files),
        _ => None,
    };
    BootCfgRequirements {
        mac: None,
        has: Box::new(move |path| tree.is_none_or(|tree| matches!(tree.get(path), Some(Some(_))))),
    }
}

fn diagnostic(name: &str, violation: RuleViolation) -> Diagnostic {
    let message = format!("{name}, line {}: {}", violation.line, violation.message);
    match violation.severity {
        Severity::Error => Diagnostic::error(message, None),
        Severity::Warning => Diagnostic::warning(message, None),
    }
}
