//! The broker that takes over one machine.

use std::collections::BTreeMap;

use minijinja::{Value, context, value::Serde};

use crate::{model::Broker, site::Diagnostic};

use super::{broker::KINDS_WITHOUT_SCRIPT, library::Task, request::RenderRequest};

/// Returns the broker whose script a machine runs. An error if its task runs no such script.
pub(super) fn scripted_broker<'a>(
    request: &RenderRequest<'a>,
    task: &Task,
) -> Result<Option<&'a Broker>, Diagnostic> {
    let broker = request.resolved.broker.as_deref();
    let scripted =
        broker.filter(|broker| !KINDS_WITHOUT_SCRIPT.contains(&broker.kind.value.as_str()));
    match scripted {
        Some(broker) if !task.spec.hands_over => {
            let message = format!(
                "task `{}` does not run broker scripts, which broker `{}` needs",
                task.name, broker.name
            );
            let span = request.resolved.settings.broker.as_deref();
            Err(Diagnostic::error(message, span.map(|at| at.span))
                .help("use a broker of kind `program`: the server runs it, for every task"))
        }
        scripted => Ok(scripted),
    }
}

/// Returns `broker` of the templates.
pub(super) fn broker_value(broker: &Broker) -> Value {
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
