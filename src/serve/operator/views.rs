//! What operators are shown.

use std::{io, path::Path};

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    api::ApiError,
    control::{Report, Snapshot, Status, Transaction, UrlToken, shown_address},
    journal::MachineId,
    model::{Facts, NodeName},
    net::http::Bytes,
    render::{self, RenderedAttempt, Urls},
    serve::{engine::Engine, reload::bases::Bases},
    site::{Diagnostic, Resolved, Subject},
};

/// Every machine.
pub(crate) fn nodes(transaction: &Transaction<'_>) -> Vec<Status> {
    let statuses = transaction.statuses().into_iter();
    statuses
        .map(|status| with_address(transaction, status))
        .collect()
}

/// One machine, as JSON.
pub(crate) fn node(transaction: &Transaction<'_>, name: &str) -> Result<Value, ApiError> {
    status(transaction, name)
        .map(|status| json!(status))
        .ok_or_else(|| unknown(name, transaction.snapshot))
}

/// What one machine reported of itself, as JSON.
pub(crate) fn facts(transaction: &Transaction<'_>, name: &str) -> Result<Value, ApiError> {
    let (id, _) = transaction
        .find(name)
        .ok_or_else(|| unknown(name, transaction.snapshot))?;
    let machine = id.and_then(|id| transaction.server.state.machine(id));
    Ok(json!(
        machine
            .map(|machine| machine.facts.clone())
            .unwrap_or_default()
    ))
}

/// Why one machine gets what it gets, as JSON.
pub(crate) fn explained(transaction: &Transaction<'_>, name: &str) -> Result<Value, ApiError> {
    crate::serve::explain(transaction, name).ok_or_else(|| unknown(name, transaction.snapshot))
}

/// The numbers of a machine and of those that were merged into it.
pub(crate) fn ids(transaction: &Transaction<'_>, name: &str) -> Result<Vec<MachineId>, ApiError> {
    let (id, _) = transaction
        .find(name)
        .ok_or_else(|| unknown(name, transaction.snapshot))?;
    let state = &transaction.server.state;
    let merged = state
        .merged
        .keys()
        .copied()
        .filter(|other| Some(state.resolve(*other)) == id);
    Ok(merged.chain(id).collect())
}

/// One machine's log as lines of JSON, after a mark: a moment, as a line's `at` has it.
pub(crate) fn log(
    journal: &Path,
    ids: &[MachineId],
    after: Option<&str>,
) -> Result<Bytes, ApiError> {
    let unreadable =
        |error: io::Error| ApiError::new(500, format!("the journal cannot be read: {error}"));
    let mut text = String::new();
    for id in ids {
        for line in crate::disk::journal::lines_of(journal, id.0).map_err(unreadable)? {
            let line = line.map_err(unreadable)?;
            if after.is_none_or(|after| moment(&line).is_some_and(|at| at > after)) {
                text.push_str(&line);
                text.push('\n');
            }
        }
    }
    Ok(Bytes::from(text))
}

/// The moment of a line, as it is written: RFC 3339 in UTC sorts as text.
fn moment(line: &str) -> Option<&str> {
    line.strip_prefix("{\"at\":\"")?.split('"').next()
}

impl Engine {
    /// The server itself, as JSON.
    pub(crate) fn status(&self) -> Value {
        let snapshot = self.snapshot();
        let rejected = self.rejected.load();
        let (paused, lost) = self.read(|transaction| {
            (
                transaction.server.state.paused,
                transaction.server.state.lost.clone(),
            )
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "site": self.root.display().to_string(),
            "revision": snapshot.site.revision.as_ref().map(ToString::to_string),
            "nodes": snapshot.site.nodes.len(),
            "policies": snapshot.site.policies.len(),
            "repos": snapshot.site.repos.len(),
            "networks": snapshot.site.networks.len(),
            "demonstration": self.demonstration,
            "paused": paused,
            "held": lost,
            "health": self.health_words(),
            "rejected": rejected.revision.as_ref().map(|revision| json!({
                "revision": revision.to_string(),
                "errors": rejected.errors,
                "warnings": rejected.warnings,
                "diagnostics": rejected.diagnostics,
            })),
        })
    }

    /// `ok`, or `degraded: <reason>`.
    pub(crate) fn health_words(&self) -> String {
        self.trouble()
            .map_or_else(|| "ok".into(), |trouble| format!("degraded: {trouble}"))
    }

    /// What is wrong with the server, in one line.
    pub(crate) fn trouble(&self) -> Option<String> {
        match self.health() {
            crate::disk::journal::JournalHealth::Good => {}
            crate::disk::journal::JournalHealth::Full => {
                return Some("the disk under the journal is full".into());
            }
            crate::disk::journal::JournalHealth::Failing(reason) => {
                return Some(format!("the journal cannot be written: {reason}"));
            }
        }
        let lost = self.read(|transaction| transaction.server.state.lost.clone());
        if let Some(lost) = lost {
            return Some(format!("installations are held: {lost}"));
        }
        self.rejected.load().reason.clone()
    }
}

pub(crate) fn unknown(name: &str, snapshot: &Snapshot) -> ApiError {
    let names = snapshot.site.nodes.keys().map(NodeName::as_str);
    let near = crate::site::suggest(name, names);
    let refusal = ApiError::new(404, format!("there is no node `{name}`"));
    match near {
        Some(near) => refusal.help(format!("did you mean `{near}`?")),
        None => refusal.help("`bootwright nodes` lists them"),
    }
}

/// How one machine stands.
pub(crate) fn status(transaction: &Transaction<'_>, name: &str) -> Option<Status> {
    let (id, node) = transaction.find(name)?;
    Some(with_address(
        transaction,
        transaction.status(id, node.as_ref()),
    ))
}

/// Adds what has to be resolved first.
pub(crate) fn with_address(transaction: &Transaction<'_>, mut status: Status) -> Status {
    let Ok(name) = status.name.parse::<NodeName>() else {
        return status;
    };
    let node = transaction.snapshot.site.nodes.get(&name);
    if node.is_none() && status.policy.is_none() {
        return status;
    }
    let subject = Subject {
        name: &name,
        declared: node,
        macs: status.mac.clone(),
        pooled: status.pooled,
    };
    let (resolved, _) = transaction
        .snapshot
        .resolve(&subject, status.policy.as_ref());
    status.address = shown_address(&resolved.net);
    let facts = transaction
        .find(&status.name)
        .and_then(|(id, _)| Some(transaction.server.state.machine(id?)?.facts.clone()));
    let facts = facts.unwrap_or_default();
    // A name that cannot be made yet is not shown; `check` and `explain` say why.
    status.hostname = render::hostname(&resolved, &facts)
        .ok()
        .map(|hostname| hostname.to_string());
    status
}

/// Renders everything of one node as the server would serve it, with zeros in place of the token.
pub fn rendered(
    snapshot: &Snapshot,
    name: &str,
    facts: &Facts,
) -> Result<RenderedAttempt, Vec<Diagnostic>> {
    rendered_for(snapshot, name, facts, &Report::default(), None)
}

/// The same for a machine that reported this of itself, and reaches the server at `base`; none: where machines
/// are likely to.
pub fn rendered_for(
    snapshot: &Snapshot,
    name: &str,
    facts: &Facts,
    report: &Report,
    base: Option<&str>,
) -> Result<RenderedAttempt, Vec<Diagnostic>> {
    let (resolved, mut found) = resolved_by_name(snapshot, name)?;
    let likely = || {
        let bases: Bases = crate::serve::reload::load::bases(&snapshot.site.config, None);
        bases.of(resolved.network.as_deref())
    };
    let urls = Urls {
        base: base.map_or_else(likely, Into::into),
        token: UrlToken::ZERO.to_string(),
    };
    match snapshot.render(&resolved, facts, report, urls, 1) {
        Ok(rendered) => Ok(rendered),
        Err(more) => {
            found.extend(more);
            Err(found)
        }
    }
}

fn resolved_by_name(
    snapshot: &Snapshot,
    name: &str,
) -> Result<(Resolved, Vec<Diagnostic>), Vec<Diagnostic>> {
    let Some(node) = snapshot.site.nodes.get(name) else {
        let near = crate::site::suggest(name, snapshot.site.nodes.keys().map(NodeName::as_str));
        let error = Diagnostic::error(format!("there is no node `{name}`"), None);
        return Err(vec![match near {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error,
        }]);
    };
    let examined = crate::control::RenderTarget::Node(node.clone());
    snapshot.resolve_examined(&examined).ok_or_else(|| {
        vec![
            Diagnostic::error(format!("nothing binds {name}"), node.span())
                .help("give it a `policy`, or `repo` and `task` of its own; `explain` shows why no policy binds it"),
        ]
    })
}

/// Bytes of JSON, with a line feed at the end.
pub(crate) fn bytes(value: &impl Serialize) -> Bytes {
    let mut text = serde_json::to_vec(value).expect("what is shown has only text keys");
    text.push(b'\n');
    Bytes::from(text)
}
