//! One machine's documents and hand-outs, all of them.

use crate::site::{Diagnostic, Severity};

use super::{
    attempt_renderer::AttemptRenderer,
    check,
    hostname::for_node,
    library::Task,
    request::{RenderRequest, RenderedAttempt},
};

/// Renders everything that a machine is given in one attempt, or tells every mistake that stands against it.
pub fn render_attempt(request: &RenderRequest<'_>) -> Result<RenderedAttempt, Vec<Diagnostic>> {
    let (rendered, found) = render(request);
    let errors: Vec<Diagnostic> = found
        .into_iter()
        .filter(|one| one.severity == Severity::Error)
        .collect();
    match rendered {
        Some(rendered) if errors.is_empty() => Ok(rendered),
        _ => Err(errors),
    }
}

/// As [`render_attempt`], for `check`: everything there is to say, warnings and the strict checks of formats that no
/// installer holds to its own rules included.
pub fn inspect_attempt(request: &RenderRequest<'_>) -> (Option<RenderedAttempt>, Vec<Diagnostic>) {
    let (rendered, mut found) = render(request);
    let errors = found.iter().any(|one| one.severity == Severity::Error);
    if let (Some(rendered), Some(task), false) = (&rendered, task(request).ok(), errors) {
        found.extend(
            check::rendered(request, task, rendered)
                .into_iter()
                .map(|one| for_job(request, one)),
        );
    }
    (rendered, found)
}

fn render(request: &RenderRequest<'_>) -> (Option<RenderedAttempt>, Vec<Diagnostic>) {
    let mut found = Vec::new();
    let rendered = match task(request) {
        Ok(task) => AttemptRenderer::gather(request, task, &mut found)
            .and_then(|renderer| renderer.files(&mut found)),
        Err(mistake) => {
            found.push(mistake);
            None
        }
    };
    (
        rendered,
        found.into_iter().map(|one| for_job(request, one)).collect(),
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

/// Says for whom, once.
fn for_job(request: &RenderRequest<'_>, mut diagnostic: Diagnostic) -> Diagnostic {
    let note = for_node(&request.resolved.node, request.resolved.policy.as_ref());
    if !diagnostic.notes.contains(&note) {
        diagnostic.notes.push(note);
    }
    diagnostic
}
