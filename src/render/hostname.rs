//! A machine's host name, which may be a template over its facts.

use std::sync::OnceLock;

use minijinja::{Environment, Value, context, value::Serde};

use crate::{
    model::{Facts, Hostname, NodeName, PolicyName, Spanned},
    site::{Diagnostic, HostnameRule, Resolved, complete_hostname},
};

use super::{engine, library::Task, task::Dialect, vars::vars};

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

/// The longest name that a system can set for itself: HOST_NAME_MAX of Linux. The name of an ESXi host is also the common name of
/// its certificate, which has the same limit (RFC 5280, ub-common-name).
const MAX_LENGTH: usize = 64;

/// Reports a name that the installed system cannot set. Debian's installer sets only the first label, which always fits.
pub(super) fn too_long(
    hostname: &Hostname,
    task: &Task,
    resolved: &Resolved,
) -> Option<Diagnostic> {
    let length = hostname.as_str().len();
    if length <= MAX_LENGTH {
        return None;
    }
    let setting = resolved.settings.hostname.as_deref().map(|at| at.span);
    let span = setting.or_else(|| resolved.declared.as_ref().map(|node| node.span()));
    let begin = format!("host name `{hostname}` has {length} characters");
    let diagnostic = match task.spec.dialect {
        Dialect::Kickstart | Dialect::Esxi => Diagnostic::error(
            format!(
                "{begin}: a system of task `{}` can set {MAX_LENGTH}",
                task.name
            ),
            span,
        ),
        Dialect::Netplan => Diagnostic::warning(
            format!(
                "{begin}: an image that sets the whole name, as the RHEL family does, can set {MAX_LENGTH}"
            ),
            span,
        ),
        Dialect::Netcfg | Dialect::None => return None,
    };
    Some(diagnostic.help("set a shorter `hostname` or `domain`"))
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
