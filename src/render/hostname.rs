//! A machine's host name, which may be a template over its facts.

use std::sync::OnceLock;

use minijinja::{Environment, Value, context, value::Serde};

use crate::{
    model::{Facts, Hostname, NodeName, PolicyName, Spanned},
    site::{Diagnostic, HostnameRule, Resolved, complete_hostname},
};

use super::{engine, vars::vars};

/// Returns the host name of a machine.
pub fn hostname(resolved: &Resolved, facts: &Facts) -> Result<Hostname, Diagnostic> {
    match &resolved.hostname {
        HostnameRule::Plain(hostname) => Ok(hostname.clone()),
        HostnameRule::Template(template) => from_template(template, resolved, facts),
    }
}

fn from_template(
    template: &Spanned<String>,
    resolved: &Resolved,
    facts: &Facts,
) -> Result<Hostname, Diagnostic> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    let environment = ENVIRONMENT.get_or_init(engine::request_environment);
    let wrong = |message: String| {
        Diagnostic::error(message, template.span)
            .note(node_note(&resolved.node, resolved.policy.as_ref()))
    };
    let name = environment
        .render_named_str(
            "hostname",
            &template.value,
            template_context(resolved, facts),
        )
        .map_err(|error| {
            let mistake = engine::template_error("hostname", &error);
            let mut wrong = wrong(format!("in this host name: {}", mistake.message));
            wrong.help = mistake.help;
            wrong
        })?;
    complete_hostname(name.trim(), domain(resolved).as_deref())
        .map_err(|error| wrong(error.to_string()))
}

/// The values that a host name template can use.
fn template_context(resolved: &Resolved, facts: &Facts) -> Value {
    let text = |declared: Option<String>, reported: &Option<String>| {
        declared
            .or_else(|| reported.clone())
            .map_or(Value::UNDEFINED, Value::from)
    };
    let mac = resolved.macs.first().map(ToString::to_string);
    context! {
        node => context! {
            name => resolved.node.as_str(),
            serial => text(resolved.serial.as_ref().map(|serial| serial.as_str().into()), &facts.serial),
            uuid => text(resolved.uuid.as_ref().map(|uuid| uuid.as_str().into()), &facts.uuid),
            asset => text(resolved.asset.as_ref().map(|asset| asset.as_str().into()), &facts.asset),
            mac => mac.map_or(Value::UNDEFINED, Value::from),
        },
        facts => Value::from(Serde(facts)),
        vars => vars(resolved),
    }
}

/// The domain that is added to a host name without one.
pub(super) fn domain(resolved: &Resolved) -> Option<String> {
    let own = resolved.settings.domain.as_deref();
    let network = || resolved.network.as_ref()?.body.domain.as_ref();
    own.or_else(network).map(|at| at.value.clone())
}

/// The note that names the node: `for node esx02 (policy esxi)`.
pub(super) fn node_note(node: &NodeName, policy: Option<&PolicyName>) -> String {
    match policy {
        Some(policy) => format!("for node {node} (policy {policy})"),
        None => format!("for node {node}"),
    }
}
