//! Brokers: what takes a machine over when it is installed.
//!
//! A kind of broker is a directory with one template, the script that the machine fetches and runs at its first boot when it
//! has run everything else. Two kinds have none: `program`, which the server runs, and `none`.

use std::{collections::BTreeMap, sync::Arc};

use minijinja::{Value, context, value::Serde};

use crate::{
    model::Broker,
    site::{Diagnostic, Site, suggest},
};

use super::{
    library::{Library, Task, report},
    request::RenderRequest,
    template_set::TemplateSet,
    template_sources::{BROKERS, COMMON, TemplateSources},
};

/// What a machine fetches the script as.
pub const HAND_OVER: &str = "hand-over.sh";

/// Its template.
pub(super) const TEMPLATE: &str = "hand-over.sh.j2";

/// The kinds that have no script.
const WITHOUT: [&str; 2] = [Broker::PROGRAM, "none"];

/// Compiles the script of every kind.
pub(super) fn compile(
    texts: &TemplateSources,
    site: &Site,
    found: &mut Vec<Diagnostic>,
) -> BTreeMap<String, Arc<TemplateSet>> {
    let wanted = [TEMPLATE.to_owned()].into();
    let kinds = texts.directories(BROKERS).into_iter();
    let compiled = kinds.map(|kind| {
        let directories = [format!("{BROKERS}{kind}/"), COMMON.to_string()];
        let (templates, mistakes) = TemplateSet::gather(texts, &directories, &wanted);
        report(site, mistakes, found);
        (kind, Arc::new(templates.compiled()))
    });
    compiled.collect()
}

/// A kind that there is not, or a program that is not named.
pub(super) fn check(library: &Library, broker: &Broker) -> Option<Diagnostic> {
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

/// The broker whose script a machine is to run; a mistake when its task runs none.
pub(super) fn of<'a>(
    request: &RenderRequest<'a>,
    task: &Task,
) -> Result<Option<&'a Broker>, Diagnostic> {
    let broker = request.resolved.broker.as_deref();
    let scripted = broker.filter(|broker| !WITHOUT.contains(&broker.kind.value.as_str()));
    match scripted {
        Some(broker) if !task.spec.hands_over => {
            let message = format!(
                "task `{}` runs no script by which broker `{}` could take a machine over",
                task.name, broker.name
            );
            let span = request.resolved.settings.broker.as_deref();
            Err(Diagnostic::error(message, span.map(|at| at.span)).help(
                "a broker of kind `program` is run by the server, whatever installs the machine",
            ))
        }
        scripted => Ok(scripted),
    }
}

/// `broker` in templates.
pub(super) fn seen(broker: &Broker) -> Value {
    let settings: BTreeMap<&str, Value> = broker
        .vars
        .iter()
        .map(|(key, at)| (key.as_str(), Value::from(Serde(&at.value))))
        .collect();
    context! {
        name => broker.name.value.as_str(),
        kind => broker.kind.value.as_str(),
        settings => Value::from(settings),
    }
}
