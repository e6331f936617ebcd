//! `nodes`: a table of all machines, or one machine's status, log or facts.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

use super::{
    answer::{parse_answer, show_json, value_text},
    arguments::{self, NodeView},
    failure::{CliResult, Failure},
    log, node,
    query::query,
    table::{Cell, table},
    terminal::{Terminal, now, plain, state_style},
};
use crate::{
    api::{NodeStatus, Query},
    model::{PolicyName, TaskName, TimeSpan, Timestamp},
};

pub(super) fn run(site: &Path, nodes: &arguments::NodesArgs, terminal: &Terminal) -> CliResult {
    if nodes.follow && nodes.of != Some(NodeView::Log) {
        return Err(Failure::usage(
            "`--follow` works only with a log: `bootwright nodes NAME log --follow`",
        ));
    }
    match (&nodes.name, nodes.of) {
        (None, _) if nodes.inventory => {
            show_json(&query(site, &Query::Inventory, terminal)?, terminal)
        }
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
    let answer = query(site, &Query::Nodes, terminal)?;
    if json {
        return show_json(&answer, terminal);
    }
    let nodes: Vec<NodeStatus> = parse_answer(&answer)?;
    if nodes.is_empty() {
        terminal.note("no machine is declared and none has booted; declare one under policies.d/, or boot one from the network");
    }
    Ok(terminal.show(&node_table(&nodes, now(), terminal))?)
}

/// Lists the undeclared machines.
fn unclaimed(site: &Path, json: bool, terminal: &Terminal) -> CliResult {
    let mut nodes: Vec<Value> = parse_answer(&query(site, &Query::Nodes, terminal)?)?;
    nodes.retain(|node| node["declared"] == false);
    if json {
        return Ok(terminal.show(&format!("{:#}\n", Value::Array(nodes)))?);
    }
    let nodes: Vec<NodeStatus> = parse_answer(Value::Array(nodes).to_string().as_bytes())?;
    if nodes.is_empty() {
        terminal.note("no undeclared machine has booted");
        return Ok(());
    }
    Ok(terminal.show(&node_table(&nodes, now(), terminal))?)
}

/// The columns, and those that are omitted first on a narrow terminal.
const HEADERS: [&str; 7] = [
    "NODE", "STATE", "SINCE", "POLICY", "TASK", "ADDRESS", "LAST",
];
const OPTIONAL_HEADERS: [&str; 3] = ["TASK", "SINCE", "POLICY"];

/// The minimum width of the last column.
const MIN_LAST_WIDTH: usize = 24;

fn node_table(nodes: &[NodeStatus], now: Timestamp, terminal: &Terminal) -> String {
    let mut headers = HEADERS.to_vec();
    let mut rows: Vec<Vec<Cell>> = nodes.iter().map(|node| row(node, now)).collect();
    for optional in OPTIONAL_HEADERS {
        if terminal
            .width
            .is_none_or(|width| width_before_last(&headers, &rows) + MIN_LAST_WIDTH <= width)
        {
            break;
        }
        if let Some(at) = headers.iter().position(|header| *header == optional) {
            headers.remove(at);
            rows.iter_mut().for_each(|row| drop(row.remove(at)));
        }
    }
    table(&headers, &rows, terminal)
}

/// The width of the table before its last column.
fn width_before_last(headers: &[&str], rows: &[Vec<Cell>]) -> usize {
    let width = |at: usize| {
        rows.iter()
            .map(|row| row[at].width())
            .chain([headers[at].len()])
            .max()
            .unwrap_or(0)
    };
    (0..headers.len() - 1).map(|at| width(at) + 2).sum()
}

fn row(node: &NodeStatus, now: Timestamp) -> Vec<Cell> {
    let since = node.since.map_or(String::new(), |since| {
        TimeSpan(now.since(since)).to_string()
    });
    let text = |text: Option<&str>| Cell::new(text.unwrap_or_default());
    vec![
        Cell::new(&node.name),
        Cell::styled(&node.state.to_string(), state_style(node.state)),
        Cell::new(&since),
        text(node.policy.as_ref().map(PolicyName::as_str)),
        text(node.task.as_ref().map(TaskName::as_str)),
        text(node.address.as_deref()),
        Cell::new(node.summary()),
    ]
}

fn facts(site: &Path, name: &str, json: bool, terminal: &Terminal) -> CliResult {
    let answer = query(site, &Query::Facts(name.into()), terminal)?;
    if json {
        return show_json(&answer, terminal);
    }
    let facts: Value = parse_answer(&answer)?;
    let lines = flattened("", &facts);
    if lines.is_empty() {
        terminal.note(&format!("{name} has reported no facts"));
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

/// Every value with its path: `disks[0].serial`.
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
        value => vec![(path.into(), value_text(value))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::MachineState, cli::terminal::Color};

    #[test]
    fn the_last_column_is_the_reason_or_the_last_event() {
        let now = Timestamp(1_795_348_800_120);
        let node = |name: &str, state, reason: Option<&str>| NodeStatus {
            reason: reason.map(Into::into),
            since: Some(Timestamp(now.0 - 240_000)),
            policy: Some("esxi".parse().unwrap()),
            address: Some("192.0.2.11".into()),
            ..NodeStatus::bare(name, state, "ks.cfg, 3 m ago")
        };
        let unseen = NodeStatus::bare("db1", MachineState::Bound, "never seen");
        let nodes = [
            node("esx02", MachineState::Installing, None),
            node("esx03", MachineState::Failed, Some("no word")),
            unseen,
        ];
        assert_eq!(
            node_table(&nodes, now, &Terminal::new(Color::Never)),
            "NODE   STATE       SINCE  POLICY  TASK  ADDRESS     LAST\n\
             esx02  installing  4 m    esxi    -     192.0.2.11  ks.cfg, 3 m ago\n\
             esx03  failed      4 m    esxi    -     192.0.2.11  no word\n\
             db1    bound       -      -       -     -           never seen\n"
        );
    }

    #[test]
    fn a_narrow_terminal_omits_optional_columns() {
        let node = NodeStatus {
            reason: Some("no word after ks.cfg for 45 m (still listening)".into()),
            policy: Some("esxi".parse().unwrap()),
            address: Some("192.0.2.13".into()),
            ..NodeStatus::bare("esx03", MachineState::Failed, "")
        };
        let mut terminal = Terminal::new(Color::Never);
        terminal.width = Some(60);
        let text = node_table(&[node], Timestamp(0), &terminal);
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
    fn facts_are_one_line_each() {
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
