//! What a site says about tasks and templates, held to what there is.

use crate::{
    model::{Broker, Settings, Spanned, TaskName},
    site::{Diagnostic, Site, suggest},
};

use super::{broker::WITHOUT, engine, library::Library};

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
    found.extend(brokers.filter_map(|broker| broker_mistake(library, broker)));
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

/// A kind that there is not, or a program that is not named.
fn broker_mistake(library: &Library, broker: &Broker) -> Option<Diagnostic> {
    let kind = &broker.kind;
    if broker.is_program() {
        let message = format!("broker `{}` is a program, and says none", broker.name);
        return broker.program().is_none().then(|| {
            Diagnostic::error(message, kind.span).help("set `run` to the program and its arguments")
        });
    }
    if WITHOUT.contains(&kind.value.as_str()) || library.broker(&kind.value).is_some() {
        return None;
    }
    let known: Vec<&str> = library.brokers().chain(WITHOUT).collect();
    let mistake = Diagnostic::error(format!("there is no kind of broker `{kind}`"), kind.span);
    Some(
        mistake.help(match suggest(&kind.value, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "there are {}; a site's own stand under templates/brokers/",
                known.join(", ")
            ),
        }),
    )
}
