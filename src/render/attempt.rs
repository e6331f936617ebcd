//! One machine's documents and hand-outs, all of them.

use crate::site::{Diagnostic, Severity};

use super::{
    check,
    hostname::for_node,
    job::{Job, Rendered},
    library::Task,
    pieces::AttemptRenderer,
};

/// Renders everything that a machine is given in one attempt, or tells every mistake that stands against it.
pub fn attempt(job: &Job<'_>) -> Result<Rendered, Vec<Diagnostic>> {
    let (rendered, found) = render(job);
    let errors: Vec<Diagnostic> = found
        .into_iter()
        .filter(|one| one.severity == Severity::Error)
        .collect();
    match rendered {
        Some(rendered) if errors.is_empty() => Ok(rendered),
        _ => Err(errors),
    }
}

/// As [`attempt`], for `check`: everything there is to say, warnings and the strict checks of formats that no
/// installer holds to its own rules included.
pub fn inspect(job: &Job<'_>) -> (Option<Rendered>, Vec<Diagnostic>) {
    let (rendered, mut found) = render(job);
    let errors = found.iter().any(|one| one.severity == Severity::Error);
    if let (Some(rendered), Some(task), false) = (&rendered, task(job).ok(), errors) {
        found.extend(
            check::rendered(job, task, rendered)
                .into_iter()
                .map(|one| for_job(job, one)),
        );
    }
    (rendered, found)
}

fn render(job: &Job<'_>) -> (Option<Rendered>, Vec<Diagnostic>) {
    let mut found = Vec::new();
    let rendered = match task(job) {
        Ok(task) => AttemptRenderer::gather(job, task, &mut found)
            .and_then(|pieces| pieces.files(&mut found)),
        Err(mistake) => {
            found.push(mistake);
            None
        }
    };
    (
        rendered,
        found.into_iter().map(|one| for_job(job, one)).collect(),
    )
}

fn task<'a>(job: &Job<'a>) -> Result<&'a Task, Diagnostic> {
    let node = job.resolved.declared.as_ref().map(|node| node.span());
    let Some(name) = &job.resolved.task else {
        return Err(
            Diagnostic::error(format!("node {} has no task", job.resolved.node), node)
                .help("set `task`, or a `repo` that names one, in the node or its policy"),
        );
    };
    let task = job.library.task(name);
    task.map(AsRef::as_ref)
        .ok_or_else(|| Diagnostic::error(format!("task `{name}` cannot be used"), node))
}

/// Says for whom, once.
fn for_job(job: &Job<'_>, mut diagnostic: Diagnostic) -> Diagnostic {
    let note = for_node(&job.resolved.node, job.resolved.policy.as_ref());
    if !diagnostic.notes.contains(&note) {
        diagnostic.notes.push(note);
    }
    diagnostic
}
