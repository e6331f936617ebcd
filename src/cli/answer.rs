//! Answers of the operator API: parsed, or as text.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    failure::{CliResult, Failure},
    terminal::Terminal,
};

/// Parses the JSON of an answer.
pub(super) fn parse_answer<T: DeserializeOwned>(answer: &[u8]) -> CliResult<T> {
    serde_json::from_slice(answer).map_err(|error| {
        let error = anyhow::Error::new(error).context("invalid answer from the server");
        Failure::unreachable(error).help("the server and this program may have different versions")
    })
}

/// Prints an answer as indented JSON.
pub(super) fn show_json(answer: &[u8], terminal: &Terminal) -> CliResult {
    let value: Value = parse_answer(answer)?;
    Ok(terminal.show(&format!("{value:#}\n"))?)
}

/// A JSON value as plain text.
pub(super) fn value_text(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let list: Vec<String> = list.iter().map(value_text).collect();
            list.join(", ")
        }
        Value::Object(map) => {
            let set: BTreeMap<&String, &Value> =
                map.iter().filter(|(_, value)| !value.is_null()).collect();
            let set: Vec<String> = set
                .iter()
                .map(|(key, value)| format!("{key}={}", value_text(value)))
                .collect();
            set.join(" ")
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}
