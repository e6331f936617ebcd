//! `nodes`: every machine in a table; of one of them, what is asked for.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use serde_json::Value;

use super::{
    arguments::{self, NodeView},
    failure::{CliResult, Failure},
    log, node,
    query::ask,
    table::{Cell, table},
    terminal::{Terminal, plain, state_style},
};
use crate::{
    model::{TimeSpan, Timestamp},
    net::http::OperatorQuery,
};

/// What is shown of a machine. Everything is text: a later server may know more states than this program.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct NodeStatus {
    pub(super) name: String,
    /// Whether a file declares it; another server may not say.
    pub(super) declared: Option<bool>,
    pub(super) state: String,
    pub(super) reason: Option<String>,
    pub(super) since: Option<Timestamp>,
    pub(super) policy: Option<String>,
    pub(super) task: Option<String>,
    pub(super) address: Option<String>,
    pub(super) hostname: Option<String>,
    pub(super) mac: Vec<String>,
    pub(super) uuid: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) firmware: Option<String>,
    pub(super) attempt: Option<u32>,
    pub(super) installs: InstallCounts,
    pub(super) last: String,
}

/// How many installations there are to be, and have been.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) struct InstallCounts {
    pub(super) wanted: u32,
    pub(super) done: u32,
}

pub(super) fn run(site: &Path, nodes: &arguments::NodesArgs, terminal: &Terminal) -> CliResult {
    if nodes.follow && nodes.of != Some(NodeView::Log) {
        return Err(Failure::usage(
            "--follow is for a log: `bootwright nodes NAME log --follow`",
        ));
    }
    match (&nodes.name, nodes.of) {
        (None, _) if nodes.unclaimed => unclaimed(site, nodes.json, terminal),
        (None, _) => list(site, nodes.json, terminal),
        (Some(name), None) => node::run(site, name, nodes.json, terminal),
        (Some(name), Some(NodeView::Log)) if nodes.follow => {
            log::follow(site, name, nodes.json, terminal)
        }
        (Some(name), Some(NodeView::Log)) => log::run(site, name, nodes.json, terminal),
        (Some(name), Some(NodeView::Facts)) => facts(site, name, nodes.json, terminal),
    }
}

fn list(site: &Path, json: bool, terminal: &Terminal) -> CliResult {
    let answer = ask(site, &OperatorQuery::Nodes, terminal)?;
    if json {
        return show_json(&answer, terminal);
    }
    let shown: Vec<NodeStatus> = parsed(&answer)?;
    if shown.is_empty() {
        terminal.note("no machine is declared, and none was seen; declare one under policies.d/, or let one boot");
    }
    Ok(terminal.show(&listed(&shown, now(), terminal))?)
}

/// Lists the machines that no file declares.
fn unclaimed(site: &Path, json: bool, terminal: &Terminal) -> CliResult {
    let mut nodes: Vec<Value> = parsed(&ask(site, &OperatorQuery::Nodes, terminal)?)?;
    nodes.retain(|node| node["declared"] == false);
    if json {
        return Ok(terminal.show(&format!("{:#}\n", Value::Array(nodes)))?);
    }
    let shown: Vec<NodeStatus> = parsed(Value::Array(nodes).to_string().as_bytes())?;
    if shown.is_empty() {
        terminal.note("every machine that was seen is declared");
        return Ok(());
    }
    Ok(terminal.show(&listed(&shown, now(), terminal))?)
}

/// The columns, and which of them give way first where a terminal is narrow.
const HEADERS: [&str; 7] = [
    "NODE", "STATE", "SINCE", "POLICY", "TASK", "ADDRESS", "LAST",
];
const EXPENDABLE: [&str; 3] = ["TASK", "SINCE", "POLICY"];

/// The last column has at least so much room.
const LAST: usize = 24;

fn listed(shown: &[NodeStatus], now: Timestamp, terminal: &Terminal) -> String {
    let mut headers = HEADERS.to_vec();
    let mut rows: Vec<Vec<Cell>> = shown.iter().map(|shown| row(shown, now)).collect();
    for expendable in EXPENDABLE {
        if terminal
            .width
            .is_none_or(|width| before_last(&headers, &rows) + LAST <= width)
        {
            break;
        }
        if let Some(at) = headers.iter().position(|header| *header == expendable) {
            headers.remove(at);
            rows.iter_mut().for_each(|row| drop(row.remove(at)));
        }
    }
    table(&headers, &rows, terminal)
}

/// How many columns of the terminal stand before the last column of the table.
fn before_last(headers: &[&str], rows: &[Vec<Cell>]) -> usize {
    let width = |at: usize| {
        rows.iter()
            .map(|row| row[at].width())
            .chain([headers[at].len()])
            .max()
            .unwrap_or(0)
    };
    (0..headers.len() - 1).map(|at| width(at) + 2).sum()
}

fn row(shown: &NodeStatus, now: Timestamp) -> Vec<Cell> {
    let since = shown.since.map_or(String::new(), |since| {
        TimeSpan(now.since(since)).to_string()
    });
    let text = |text: &Option<String>| Cell::new(text.as_deref().unwrap_or_default());
    vec![
        Cell::new(&shown.name),
        Cell::styled(&shown.state, state_style(&shown.state)),
        Cell::new(&since),
        text(&shown.policy),
        text(&shown.task),
        text(&shown.address),
        Cell::new(last(shown)),
    ]
}

/// What an operator has to know first: why a machine needs one, else what it last did.
fn last(shown: &NodeStatus) -> &str {
    match (shown.state.as_str(), &shown.reason) {
        ("failed" | "held" | "protected" | "bound" | "discovered", Some(reason)) => reason,
        _ => &shown.last,
    }
}

fn facts(site: &Path, name: &str, json: bool, terminal: &Terminal) -> CliResult {
    let answer = ask(site, &OperatorQuery::Facts(name.into()), terminal)?;
    if json {
        return show_json(&answer, terminal);
    }
    let facts: Value = parsed(&answer)?;
    let lines = flattened("", &facts);
    if lines.is_empty() {
        terminal.note(&format!("{name} has reported nothing of itself"));
    }
    let width = lines
        .iter()
        .map(|(key, _)| key.chars().count())
        .max()
        .unwrap_or(0);
    let text: String = lines
        .iter()
        .map(|(key, value)| format!("{}  {}\n", plain(&format!("{key:<width$}")), plain(value)))
        .collect();
    Ok(terminal.show(&text)?)
}

/// Every value with the path that leads to it: `disks[0].serial`.
fn flattened(path: &str, value: &Value) -> Vec<(String, String)> {
    match value {
        Value::Null => Vec::new(),
        Value::Object(map) => {
            let map: BTreeMap<&String, &Value> = map.iter().collect();
            let dot = if path.is_empty() { "" } else { "." };
            map.iter()
                .flat_map(|(key, value)| flattened(&format!("{path}{dot}{key}"), value))
                .collect()
        }
        Value::Array(list) if list.iter().any(|value| value.is_object()) => list
            .iter()
            .enumerate()
            .flat_map(|(index, value)| flattened(&format!("{path}[{index}]"), value))
            .collect(),
        value => vec![(path.into(), words(value))],
    }
}

/// A value of JSON as people write it.
pub(super) fn words(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let list: Vec<String> = list.iter().map(words).collect();
            list.join(", ")
        }
        Value::Object(map) => {
            let set: BTreeMap<&String, &Value> =
                map.iter().filter(|(_, value)| !value.is_null()).collect();
            let set: Vec<String> = set
                .iter()
                .map(|(key, value)| format!("{key}={}", words(value)))
                .collect();
            set.join(" ")
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// Shows an answer as it came, laid out for reading.
pub(super) fn show_json(answer: &[u8], terminal: &Terminal) -> CliResult {
    let value: Value = parsed(answer)?;
    Ok(terminal.show(&format!("{value:#}\n"))?)
}

/// Reads an answer.
pub(super) fn parsed<T: for<'de> Deserialize<'de>>(answer: &[u8]) -> CliResult<T> {
    serde_json::from_slice(answer).map_err(|error| {
        let error = anyhow::Error::new(error).context("the server's answer is not understood");
        Failure::unreachable(error).help("the server and this program may be of different versions")
    })
}

/// What time it is.
pub(super) fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::Color;

    #[test]
    fn machines_are_listed_with_what_matters_last() {
        let now = Timestamp(1_795_348_800_120);
        let shown = |name: &str, state: &str, reason: Option<&str>| NodeStatus {
            name: name.into(),
            state: state.into(),
            reason: reason.map(Into::into),
            since: Some(Timestamp(now.0 - 240_000)),
            policy: Some("esxi".into()),
            address: Some("192.0.2.11".into()),
            last: "ks.cfg, 3 m ago".into(),
            ..NodeStatus::default()
        };
        let unseen = NodeStatus {
            name: "db1".into(),
            state: "bound".into(),
            last: "never seen".into(),
            ..NodeStatus::default()
        };
        let shown = [
            shown("esx02", "installing", None),
            shown("esx03", "failed", Some("no word")),
            unseen,
        ];
        assert_eq!(
            listed(&shown, now, &Terminal::new(Color::Never)),
            "NODE   STATE       SINCE  POLICY  TASK  ADDRESS     LAST\n\
             esx02  installing  4 m    esxi    -     192.0.2.11  ks.cfg, 3 m ago\n\
             esx03  failed      4 m    esxi    -     192.0.2.11  no word\n\
             db1    bound       -      -       -     -           never seen\n"
        );
    }

    #[test]
    fn a_narrow_terminal_does_without_some_columns() {
        let shown = NodeStatus {
            name: "esx03".into(),
            state: "failed".into(),
            reason: Some("no word after ks.cfg for 45 m (still listening)".into()),
            policy: Some("esxi".into()),
            address: Some("192.0.2.13".into()),
            ..NodeStatus::default()
        };
        let mut terminal = Terminal::new(Color::Never);
        terminal.width = Some(60);
        let text = listed(&[shown], Timestamp(0), &terminal);
        assert_eq!(
            text.lines().next(),
            Some("NODE   STATE   POLICY  ADDRESS     LAST")
        );
        assert!(
            text.contains("esx03  failed  esxi    192.0.2.13  no word after ks.cf…"),
            "{text}"
        );
    }

    #[test]
    fn facts_are_lines() {
        let facts = serde_json::json!({"cores": 8, "nics": [{"mac": "a", "link": true}], "tags": ["x", "y"], "none": null});
        let line = |key: &str, value: &str| (key.to_string(), value.to_string());
        assert_eq!(
            flattened("", &facts),
            [
                line("cores", "8"),
                line("nics[0].link", "true"),
                line("nics[0].mac", "a"),
                line("tags", "x, y")
            ]
        );
    }
}
