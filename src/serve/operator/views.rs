//! What operators read: the status of machines and of the server, logs, rendered documents.

use std::{io, path::Path};

use serde::Serialize;

use crate::{
    api::{ApiError, Explanation, NodeStatus, RejectedRevision, ServerStatus},
    control::{Report, Snapshot, Transaction, UrlToken, shown_address},
    disk::journal::{self, JournalHealth, Position},
    journal::MachineId,
    model::{Facts, NodeName},
    net::http::Bytes,
    render::{self, RenderedAttempt, Urls},
    serve::{engine::Engine, operator::explain::explain, reload::bases::Bases},
    site::{Diagnostic, Resolved, Subject},
};

/// The status of every machine.
pub(crate) fn nodes(transaction: &Transaction<'_>) -> Vec<NodeStatus> {
    let statuses = transaction.statuses().into_iter();
    statuses
        .map(|status| with_address(transaction, status))
        .collect()
}

/// The status of one machine.
pub(crate) fn node(transaction: &Transaction<'_>, name: &str) -> Result<NodeStatus, ApiError> {
    status(transaction, name).ok_or_else(|| unknown(name, transaction.snapshot))
}

/// What one machine reported; nothing if it has never booted.
pub(crate) fn facts(transaction: &Transaction<'_>, name: &str) -> Result<Facts, ApiError> {
    let found = transaction.find(name);
    let (id, _) = found.ok_or_else(|| unknown(name, transaction.snapshot))?;
    let machine = id.and_then(|id| transaction.server.state.machine(id));
    Ok(machine.map_or_else(Facts::default, |machine| machine.facts.clone()))
}

pub(crate) fn explained(
    transaction: &Transaction<'_>,
    name: &str,
) -> Result<Explanation, ApiError> {
    explain(transaction, name).ok_or_else(|| unknown(name, transaction.snapshot))
}

/// The ids of a machine and of those that were merged into it.
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

/// A machine's log as lines of JSON, from the time `after`, which has the format of a line's `at`, up to a position of the journal.
pub(crate) fn log(
    journal: &Path,
    ids: &[MachineId],
    after: Option<&str>,
    until: Option<Position>,
) -> Result<Bytes, ApiError> {
    let unreadable =
        |error: io::Error| ApiError::new(500, format!("the journal cannot be read: {error}"));
    let mut text = String::new();
    for id in ids {
        for line in journal::lines_of(journal, id.0, until).map_err(unreadable)? {
            let line = line.map_err(unreadable)?;
            if is_after(&line, after) {
                text.push_str(&line);
                text.push('\n');
            }
        }
    }
    Ok(Bytes::from(text))
}

/// Whether a line is later than `after`.
pub(crate) fn is_after(line: &str, after: Option<&str>) -> bool {
    after.is_none_or(|after| time_of(line).is_some_and(|at| at > after))
}

/// The time of a line as text: RFC 3339 in UTC sorts as text.
fn time_of(line: &str) -> Option<&str> {
    line.strip_prefix("{\"at\":\"")?.split('"').next()
}

impl Engine {
    pub(crate) fn status(&self) -> ServerStatus {
        let snapshot = self.snapshot();
        let site = &snapshot.site;
        let (paused, held) = self.read(|transaction| {
            let state = &transaction.server.state;
            (state.paused, state.lost.clone())
        });
        let trouble = self.trouble();
        ServerStatus {
            version: env!("CARGO_PKG_VERSION").into(),
            site: self.root.display().to_string(),
            revision: site.revision.as_ref().map(ToString::to_string),
            nodes: site.nodes.len(),
            policies: site.policies.len(),
            repos: site.repos.len(),
            networks: site.networks.len(),
            demonstration: self.demonstration,
            paused,
            held,
            health: trouble.map_or_else(|| "ok".into(), |trouble| format!("degraded: {trouble}")),
            rejected: self.rejected_revision(),
        }
    }

    fn rejected_revision(&self) -> Option<RejectedRevision> {
        let rejected = self.rejected.load();
        let revision = rejected.revision.as_ref()?;
        Some(RejectedRevision {
            revision: revision.to_string(),
            errors: rejected.errors,
            warnings: rejected.warnings,
            diagnostics: rejected.diagnostics.clone(),
        })
    }

    /// Why the journal cannot be written.
    pub(crate) fn journal_trouble(&self) -> Option<String> {
        match self.health() {
            JournalHealth::Good => None,
            JournalHealth::Full => Some("the disk under the journal is full".into()),
            JournalHealth::Failing(reason) => {
                Some(format!("the journal cannot be written: {reason}"))
            }
        }
    }

    /// The server's most important problem, in one line.
    pub(crate) fn trouble(&self) -> Option<String> {
        if let Some(trouble) = self.journal_trouble() {
            return Some(trouble);
        }
        self.read(|transaction| transaction.server.state.doubt())
            .or_else(|| self.rejected.load().reason.clone())
    }
}

/// The error for a machine that does not exist.
pub(crate) fn unknown(name: &str, snapshot: &Snapshot) -> ApiError {
    let names = snapshot.site.nodes.keys().map(NodeName::as_str);
    let near = crate::site::suggest(name, names);
    let refusal = ApiError::new(404, format!("there is no node `{name}`"));
    match near {
        Some(near) => refusal.help(format!("did you mean `{near}`?")),
        None => refusal.help("`bootwright nodes` lists them"),
    }
}

/// The status of one machine.
pub(crate) fn status(transaction: &Transaction<'_>, name: &str) -> Option<NodeStatus> {
    let (id, node) = transaction.find(name)?;
    Some(with_address(
        transaction,
        transaction.status(id, node.as_ref()),
    ))
}

/// Adds address and host name.
pub(crate) fn with_address(transaction: &Transaction<'_>, mut status: NodeStatus) -> NodeStatus {
    let Ok(name) = status.name.parse::<NodeName>() else {
        return status;
    };
    let node = transaction.snapshot.site.nodes.get(&name);
    if node.is_none() && status.policy.is_none() {
        return status;
    }
    let id = transaction.find(&status.name).and_then(|(id, _)| id);
    let subject = Subject {
        name: &name,
        declared: node,
        macs: status.mac.clone(),
        pooled: id.and_then(|id| transaction.pool_address(id)),
    };
    let (resolved, _) = transaction
        .snapshot
        .resolve(&subject, status.policy.as_ref());
    status.address = shown_address(&resolved.net);
    let machine = id.and_then(|id| transaction.server.state.machine(id));
    let facts = machine.map_or_else(Facts::default, |machine| machine.facts.clone());
    // A name that cannot be rendered yet is omitted; `check` and `explain` show why.
    status.hostname = render::hostname(&resolved, &facts)
        .ok()
        .map(|hostname| hostname.to_string());
    status
}

/// Renders all files of a node as the server would serve them, with zeros as the token.
pub fn rendered(
    snapshot: &Snapshot,
    name: &str,
    facts: &Facts,
) -> Result<RenderedAttempt, Vec<Diagnostic>> {
    rendered_for(snapshot, name, facts, &Report::default(), None)
}

/// The same for a machine with this report, which reaches the server at `base`. Without `base` the most likely address is
/// used.
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
    match snapshot.render(&resolved, facts, report, urls, snapshot.example_seal(), 1) {
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
    let target = crate::control::RenderTarget::Node(node.clone());
    snapshot.resolve_target(&target).ok_or_else(|| {
        vec![
            Diagnostic::error(format!("nothing binds {name}"), node.span())
                .help("give it a `policy`, or `repo` and `task` of its own; `explain` shows why no policy binds it"),
        ]
    })
}

/// Serializes a value as JSON, with a line feed at the end.
pub(crate) fn bytes(value: &impl Serialize) -> Bytes {
    let mut text = serde_json::to_vec(value).expect("a response has only text keys");
    text.push(b'\n');
    Bytes::from(text)
}
