//! Checks that the tasks, broker kinds and templates that a site names exist.

use crate::{
    matcher::MAX_DEPTH,
    model::{Broker, Repo, Settings, Spanned, TaskName},
    site::{Diagnostic, Site, suggest},
};

use super::{
    broker::KINDS_WITHOUT_SCRIPT,
    engine,
    growth::{self, GROWS},
    library::Library,
    scan,
};

/// Reports tasks and broker kinds that do not exist, and host name templates that do not compile.
pub(super) fn check(site: &Site, library: &Library, diagnostics: &mut Vec<Diagnostic>) {
    for repo in site.repos.values() {
        diagnostics.extend(
            repo.body
                .task
                .as_ref()
                .and_then(|task| unknown_task(library, task)),
        );
        diagnostics.extend(unreachable_url(site, library, repo));
    }
    let brokers = site.brokers.values();
    diagnostics.extend(brokers.filter_map(|broker| broker_mistake(library, broker)));
    for settings in site.layers() {
        diagnostics.extend(of_settings(library, settings));
    }
}

/// Warns about a URL from which Debian's loaders cannot fetch a kernel. The agent of a microkernel task reports its own limits.
fn unreachable_url(site: &Site, library: &Library, repo: &Repo) -> Option<Diagnostic> {
    let url = repo.body.url.as_ref()?;
    if !url.starts_with("https://") || repo.body.installer.is_some() {
        return None;
    }
    let name = &repo.name.value;
    let users = site
        .repos
        .values()
        .filter(|other| other.has_installer(name));
    let tasks = users.map(|user| &user.body).chain([&repo.body]);
    let mut tasks = tasks.filter_map(|body| library.task(&body.task.as_ref()?.value));
    tasks.find(|task| task.spec.installs && !task.spec.microkernel)?;
    let message = format!(
        "the loader of a machine fetches the kernel of repo `{}` by HTTPS, which Debian's iPXE and GRUB cannot",
        repo.name
    );
    Some(Diagnostic::warning(message, url.span).help(
        "use `http://`, or serve the files from here (`iso`, `path`); an iPXE that is built with HTTPS and `TRUST=` can \
         fetch them",
    ))
}

fn of_settings(library: &Library, settings: &Settings) -> impl Iterator<Item = Diagnostic> {
    let task = settings
        .task
        .as_deref()
        .and_then(|task| unknown_task(library, task));
    let hostname = settings.hostname.as_deref().and_then(invalid_hostname);
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
            "there are {}; a site's own are in templates/tasks/",
            known.join(", ")
        ),
    });
    Some(mistake)
}

/// The maximum length of a host name template in bytes.
const MAX_HOSTNAME_TEMPLATE: usize = 4_096;

/// Reports a host name template that does not compile, or that is not bounded: host names are rendered at each request.
fn invalid_hostname(hostname: &Spanned<String>) -> Option<Diagnostic> {
    if !hostname.value.contains("{{") && !hostname.value.contains("{%") {
        return None;
    }
    let text = &hostname.value;
    let reason = if text.len() > MAX_HOSTNAME_TEMPLATE {
        format!("it is longer than {MAX_HOSTNAME_TEMPLATE} bytes")
    } else if scan::too_deep(text).is_some() {
        format!("it is nested too deeply: at most {MAX_DEPTH} levels")
    } else if growth::growing(text).is_some() {
        GROWS.into()
    } else {
        let environment = engine::environment();
        let error = environment
            .template_from_named_str("hostname", text)
            .err()?;
        engine::template_error("hostname", &error).message
    };
    Some(Diagnostic::error(
        format!("in this host name: {reason}"),
        hostname.span,
    ))
}

/// Reports a broker kind that does not exist, and a program that is not set.
fn broker_mistake(library: &Library, broker: &Broker) -> Option<Diagnostic> {
    let kind = &broker.kind;
    if broker.is_program() {
        let message = format!("broker `{}`: `run` is missing", broker.name);
        return broker.program().is_none().then(|| {
            Diagnostic::error(message, kind.span).help("set `run` to the program and its arguments")
        });
    }
    if KINDS_WITHOUT_SCRIPT.contains(&kind.value.as_str()) || library.broker(&kind.value).is_some()
    {
        return None;
    }
    let known: Vec<&str> = library.brokers().chain(KINDS_WITHOUT_SCRIPT).collect();
    let mistake = Diagnostic::error(format!("there is no broker kind `{kind}`"), kind.span);
    Some(
        mistake.help(match suggest(&kind.value, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "there are {}; a site's own are in templates/brokers/",
                known.join(", ")
            ),
        }),
    )
}
