//! What a site says about tasks and templates, held to what there is.

use crate::{
    model::{Settings, Spanned, TaskName},
    site::{Diagnostic, Site, suggest},
};

use super::{broker, engine, library::Library};

/// Reports tasks and kinds of brokers that do not exist, and host names that do not compile.
pub(super) fn check(site: &Site, library: &Library, found: &mut Vec<Diagnostic>) {
    for repo in site.repos.values() {
        found.extend(
            repo.body
                .task
                .as_ref()
                .and_then(|task| unknown_task(library, task)),
        );
    }
    let brokers = site.brokers.values();
    found.extend(brokers.filter_map(|broker| broker::check(library, broker)));
    for settings in site.layers() {
        found.extend(of_settings(library, settings));
    }
}

fn of_settings(library: &Library, settings: &Settings) -> impl Iterator<Item = Diagnostic> {
    let task = settings
        .task
        .as_deref()
        .and_then(|task| unknown_task(library, task));
    let hostname = settings.hostname.as_deref().and_then(bad_template);
    task.into_iter().chain(hostname)
}

fn unknown_task(library: &Library, task: &Spanned<TaskName>) -> Option<Diagnostic> {
    if library.has(&task.value) {
        return None;
    }
    let known: Vec<&str> = library.tasks().map(|task| task.name.as_str()).collect();
    let mut mistake = Diagnostic::error(format!("there is no task `{task}`"), task.span);
    mistake.help = Some(match suggest(task.value.as_str(), known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "there are {}; a site's own stand under templates/tasks/",
            known.join(", ")
        ),
    });
    Some(mistake)
}

/// A host name that is a template and does not compile.
fn bad_template(hostname: &Spanned<String>) -> Option<Diagnostic> {
    if !hostname.value.contains("{{") && !hostname.value.contains("{%") {
        return None;
    }
    let environment = engine::environment();
    let error = environment
        .template_from_named_str("hostname", &hostname.value)
        .err()?;
    let mistake = engine::mistake("hostname", &error);
    Some(Diagnostic::error(
        format!("in this host name: {}", mistake.message),
        hostname.span,
    ))
}
