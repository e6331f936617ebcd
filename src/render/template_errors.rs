//! Mistakes in templates, as diagnostics.

use crate::{
    model::SourceSpan,
    site::{Diagnostic, Site},
};

use super::{engine::TemplateError, template_sources::TemplateOrigin};

/// Reports mistakes in templates. Several tasks or brokers share templates, and one mistake is reported once.
pub(super) fn report(
    site: &Site,
    mistakes: Vec<(TemplateOrigin, TemplateError)>,
    found: &mut Vec<Diagnostic>,
) {
    for (origin, mistake) in mistakes {
        let mistake = diagnostic(site, &origin, &mistake);
        if !found.contains(&mistake) {
            found.push(mistake);
        }
    }
}

/// A mistake in a template, as it is shown: `template esxi/ks.cfg.j2, line 14: …`.
pub(super) fn diagnostic(
    site: &Site,
    origin: &TemplateOrigin,
    mistake: &TemplateError,
) -> Diagnostic {
    let message = format!(
        "template {}, line {}: {}",
        origin.shown(),
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
