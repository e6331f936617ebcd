//! `vars` in templates.

use std::collections::BTreeMap;

use minijinja::{Value, value::Serde};

use crate::{model::Spanned, site::Resolved};

/// Returns a value of a machine's settings, else of its repo. None also for KDL's `null`.
pub(super) fn find<'a>(
    resolved: &'a Resolved,
    name: &str,
) -> Option<&'a Spanned<serde_json::Value>> {
    let repo = resolved.repo.as_ref().map(|repo| &repo.body.vars);
    let own = resolved.settings.vars.get(name);
    own.or_else(|| repo.and_then(|vars| vars.get(name)))
        .map(AsRef::as_ref)
        .filter(|at| !at.value.is_null())
}

/// Returns the `vars` of a machine. The repo's have the lowest precedence.
pub(super) fn vars(resolved: &Resolved) -> Value {
    let repo = resolved.repo.iter().flat_map(|repo| &repo.body.vars);
    let merged: BTreeMap<&str, Value> = repo
        .chain(&resolved.settings.vars)
        .map(|(key, at)| (key.as_str(), Value::from(Serde(&at.value))))
        .collect();
    Value::from(merged)
}
