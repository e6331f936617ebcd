//! `vars` in templates.

use std::collections::BTreeMap;

use minijinja::{Value, value::Serde};

use crate::site::Resolved;

/// Returns the `vars` of a machine. The repo's have the lowest precedence.
pub(super) fn vars(resolved: &Resolved) -> Value {
    let repo = resolved.repo.iter().flat_map(|repo| &repo.body.vars);
    let merged: BTreeMap<&str, Value> = repo
        .chain(&resolved.settings.vars)
        .map(|(key, at)| (key.as_str(), Value::from(Serde(&at.value))))
        .collect();
    Value::from(merged)
}
