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
mod kickstart;
mod document;

use crate::site::{Diagnostic, Severity};

use super::{
    external::RepoContents,
    library::Task,
    request::{FileBody, RenderRequest, RenderedAttempt},
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
    diagnostics.extend(missing_addresses(request, task, rendered));
    for file in &rendered.files {
        let FileBody::Bytes(bytes) = &file.body else {
            continue;
        };
        let text = String::from_utf8_lossy(bytes);
        diagnostics.extend(document::check(&file.name, file.format, &text));
        if task.spec.dialect != Dialect::Esxi {
            continue;
        }
        let violations = match file.name.as_str() {
            "ks.cfg" => check_ks(&text, request.resolved.settings.effective().secure_boot),
            "boot.cfg" => check_boot_cfg(&text, &expected(request)),
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
    rendered: &RenderedAttempt,
) -> Option<Diagnostic> {
    let links = &request.resolved.net.links;
    let mut addresses = links.iter().flat_map(|link| &link.addresses);
    let is_there = |address: &str| {
        rendered.files.iter().any(|file| match &file.body {
            FileBody::Bytes(bytes) => bytes
                .windows(address.len())
                .any(|window| window == address.as_bytes()),
            FileBody::Repo { .. } => false,
        })
    };
    let missing = addresses.find(|net| !is_there(&net.addr().to_string()))?;
    task.spec.installs.then(|| {
        let message = format!(
            "no file of task `{}` has the address {}",
            task.name,
            missing.addr()
        );
        let node = request.resolved.declared.as_ref().map(|node| node.span());
        Diagnostic::warning(message, node)
            .help("the installed system would not get it; `net` and `net.ip` have it in templates")
    })
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
