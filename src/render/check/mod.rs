//! Checks of formats whose own programs do not check.
//!
//! ESXi's installer warns of a word that it does not know and goes on; its loader stops at a fatal screen. So
//! what is rendered for them is held to their rules here, before a machine sees it.

mod shlex;
mod commands;
mod esxi_ks;
mod esxi_network;
mod esxi_script;
mod esxi_include;
mod boot_cfg;
mod order;

use crate::site::{Diagnostic, Severity};

use super::{
    external::RepoContents,
    library::Task,
    request::{FileBody, RenderRequest, RenderedAttempt},
    task::Dialect,
};

pub use boot_cfg::{BootCfgRequirements, check_boot_cfg};
pub use esxi_ks::check_ks;
pub use shlex::split;

/// A rule that a text breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleViolation {
    /// The rule's number; tests have a bad example for each.
    pub rule: u8,
    /// How bad it is.
    pub severity: Severity,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
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

/// Holds what was rendered to the rules of its format.
pub(super) fn rendered(
    request: &RenderRequest<'_>,
    task: &Task,
    rendered: &RenderedAttempt,
) -> Vec<Diagnostic> {
    if task.spec.microkernel {
        return order::check(request, rendered);
    }
    if task.spec.dialect != Dialect::Esxi {
        return Vec::new();
    }
    let mut found = Vec::new();
    for file in &rendered.files {
        let FileBody::Bytes(bytes) = &file.body else {
            continue;
        };
        let text = String::from_utf8_lossy(bytes);
        let findings = match file.name.as_str() {
            "ks.cfg" => {
                let secure = request
                    .resolved
                    .settings
                    .secure_boot
                    .as_deref()
                    .is_some_and(|at| at.value);
                check_ks(&text, secure)
            }
            "boot.cfg" => check_boot_cfg(&text, &expected(request)),
            _ => continue,
        };
        found.extend(
            findings
                .into_iter()
                .map(|finding| shown(&file.name, finding)),
        );
    }
    found
}

/// What a machine's boot.cfg is held to.
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

fn shown(name: &str, finding: RuleViolation) -> Diagnostic {
    let message = format!("{name}, line {}: {}", finding.line, finding.message);
    match finding.severity {
        Severity::Error => Diagnostic::error(message, None),
        Severity::Warning => Diagnostic::warning(message, None),
    }
}
