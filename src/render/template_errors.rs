//! Mistakes in templates, as diagnostics.

use crate::{
    model::SourceSpan,
    site::{Diagnostic, Site},
};

use super::{engine::TemplateError, template_sources::TemplateOrigin};

/// Reports mistakes in templates. A mistake in a template that several tasks or brokers share is reported once.
pub(super) fn report_all(
    site: &Site,
    mistakes: Vec<(TemplateOrigin, TemplateError)>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    for (origin, mistake) in mistakes {
        let mistake = diagnostic(site, &origin, &mistake);
        if !diagnostics.contains(&mistake) {
            diagnostics.push(mistake);
        }
    }
}

/// A mistake in a template as a diagnostic: `template esxi/ks.cfg.j2, line 14: …`.
pub(super) fn diagnostic(
    site: &Site,
    origin: &TemplateOrigin,
    mistake: &TemplateError,
) -> Diagnostic {
    let message = format!(
        "template {}, line {}: {}",
        origin.label(),
        mistake.line,
        mistake.message
    );
    let span = origin.file(site).map(|file| {
        let range = mistake
            .range
            .clone()
            .unwrap_or_else(|| origin.line(site, mistake.line));
        SourceSpan {
            file,
            start: range.start as u32,
            end: range.end as u32,
        }
    });
    let mut shown = Diagnostic::error(message, span);
    shown.help.clone_from(&mistake.help);
    shown
}
