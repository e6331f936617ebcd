//! The broker that takes a machine over, for one machine.

use std::collections::BTreeMap;

use minijinja::{Value, context, value::Serde};

use crate::{model::Broker, site::Diagnostic};

use super::{broker::WITHOUT, library::Task, request::RenderRequest};

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
