//! The `vars` that a shipped task reads, with their types: `[vars]` in its `task.toml`.
//!
//! Templates of the site may read others, so an unknown name is only a warning if it resembles a known one.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    model::{Spanned, Vars},
    site::{Diagnostic, Resolved, suggest},
};

/// The type of a value in `vars`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VarType {
    /// What reads it checks it.
    Any,
    Text,
    /// `true` or `false`.
    Flag,
    /// Texts.
    List,
    /// Texts by name.
    Table,
    /// A URL with `http://` or `https://`.
    Url,
    /// A URL, or `false` for none.
    UrlOrFalse,
}

/// The types of a task's values, by name.
pub(super) type TaskVars = BTreeMap<String, VarType>;

impl VarType {
    fn fits(self, value: &Value) -> bool {
        let is_url = |value: &Value| value.as_str().is_some_and(is_url);
        match self {
            VarType::Any => true,
            VarType::Text => value.is_string(),
            VarType::Flag => value.is_boolean(),
            VarType::List => {
                let mut items = value.as_array().into_iter().flatten();
                value.is_array() && items.all(Value::is_string)
            }
            VarType::Table => {
                let mut entries = value.as_object().into_iter().flatten();
                value.is_object() && entries.all(|(_, value)| value.is_string())
            }
            VarType::Url => is_url(value),
            VarType::UrlOrFalse => is_url(value) || value == &Value::Bool(false),
        }
    }

    fn expected(self) -> &'static str {
        match self {
            VarType::Any => "a value",
            VarType::Text => "a text",
            VarType::Flag => "`true` or `false`",
            VarType::List => "a list of texts",
            VarType::Table => "a table of texts",
            VarType::Url => "a URL such as `http://mirror.example/debian`",
            VarType::UrlOrFalse => "a URL such as `http://mirror.example/debian`, or `false`",
        }
    }
}

/// A URL with a host, without blanks and control characters.
fn is_url(text: &str) -> bool {
    let schemes = ["http://", "https://"];
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Reports values of a machine's repo and settings that the task cannot read.
pub(super) fn mistakes(task: &str, known: &TaskVars, resolved: &Resolved) -> Vec<Diagnostic> {
    let none = Vars::new();
    let repo = resolved.repo.as_ref().map_or(&none, |repo| &repo.body.vars);
    let all = repo.iter().chain(&resolved.settings.vars);
    all.filter_map(|(name, at)| mistake(task, known, name, at))
        .collect()
}

fn mistake(task: &str, known: &TaskVars, name: &str, at: &Spanned<Value>) -> Option<Diagnostic> {
    let Some(expected) = known.get(name) else {
        let similar = suggest(name, known.keys().map(String::as_str))?;
        let message = format!("task `{task}` does not read `vars.{name}`");
        let help = format!("there is `vars.{similar}`");
        return Some(Diagnostic::warning(message, at.span).help(help));
    };
    // KDL's `null` takes a value of a lower layer away.
    (!at.value.is_null() && !expected.fits(&at.value)).then(|| {
        let message = format!(
            "`vars.{name}` has the wrong type for task `{task}`: expected {}",
            expected.expected()
        );
        Diagnostic::error(message, at.span)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_has_the_declared_type() {
        for (kind, value, fits) in [
            (VarType::Text, json!("x"), true),
            (VarType::Text, json!(1), false),
            (VarType::Flag, json!(false), true),
            (VarType::Flag, json!("false"), false),
            (VarType::List, json!(["main"]), true),
            (VarType::List, json!([]), true),
            (VarType::List, json!("main"), false),
            (VarType::List, json!([1]), false),
            (VarType::Table, json!({ "a": "b" }), true),
            (VarType::Table, json!({ "a": ["b"] }), false),
            (VarType::Table, json!([]), false),
            (VarType::Url, json!("http://mirror.example/debian"), true),
            (VarType::Url, json!("mirror.example"), false),
            (VarType::Url, json!("http:///debian"), false),
            (VarType::Url, json!("http://mirror.example/a b"), false),
            (VarType::Url, json!("ftp://mirror.example"), false),
            (VarType::UrlOrFalse, json!(false), true),
            (VarType::UrlOrFalse, json!(true), false),
            (VarType::UrlOrFalse, json!("https://mirror.example"), true),
        ] {
            assert_eq!(kind.fits(&value), fits, "{kind:?}, {value}");
        }
    }
}
