//! Renders all files of one installation attempt.

use crate::site::{Diagnostic, Severity};

use super::{
    attempt_renderer::AttemptRenderer,
    check,
    hostname::node_note,
    library::Task,
    request::{RenderRequest, RenderedAttempt},
};

/// Renders every file of an attempt, or returns every error that prevents it.
pub fn render_attempt(request: &RenderRequest<'_>) -> Result<RenderedAttempt, Vec<Diagnostic>> {
    let (rendered, diagnostics) = render(request);
    let errors: Vec<Diagnostic> = diagnostics
        .into_iter()
        .filter(|one| one.severity == Severity::Error)
        .collect();
    match rendered {
        Some(rendered) if errors.is_empty() => Ok(rendered),
        _ => Err(errors),
    }
}

/// Renders an attempt for `check`: returns warnings as well, and applies the strict checks of formats whose own programs do
/// not check them.
pub fn inspect_attempt(request: &RenderRequest<'_>) -> (Option<RenderedAttempt>, Vec<Diagnostic>) {
    let (rendered, mut diagnostics) = render(request);
    let errors = diagnostics
        .iter()
        .any(|one| one.severity == Severity::Error);
    if let (Some(rendered), Some(task), false) = (&rendered, task(request).ok(), errors) {
        diagnostics.extend(
            check::check_rendered(request, task, rendered)
                .into_iter()
                .map(|one| with_node_note(request, one)),
        );
    }
    (rendered, diagnostics)
}

fn render(request: &RenderRequest<'_>) -> (Option<RenderedAttempt>, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let rendered = match task(request) {
        Ok(task) => AttemptRenderer::prepare(request, task, &mut diagnostics)
            .and_then(|renderer| renderer.files(&mut diagnostics)),
        Err(mistake) => {
            diagnostics.push(mistake);
            None
        }
    };
    (
        rendered,
        diagnostics
            .into_iter()
            .map(|one| with_node_note(request, one))
            .collect(),
    )
}

fn task<'a>(request: &RenderRequest<'a>) -> Result<&'a Task, Diagnostic> {
    let node = request.resolved.declared.as_ref().map(|node| node.span());
    let Some(name) = &request.resolved.task else {
        return Err(
            Diagnostic::error(format!("node {} has no task", request.resolved.node), node)
                .help("set `task`, or a `repo` that names one, in the node or its policy"),
        );
    };
    let task = request.library.task(name);
    task.map(AsRef::as_ref)
        .ok_or_else(|| Diagnostic::error(format!("task `{name}` cannot be used"), node))
}

/// Adds the note that names the node, once.
fn with_node_note(request: &RenderRequest<'_>, mut diagnostic: Diagnostic) -> Diagnostic {
    let note = node_note(&request.resolved.node, request.resolved.policy.as_ref());
    if !diagnostic.notes.contains(&note) {
        diagnostic.notes.push(note);
    }
    diagnostic
}
