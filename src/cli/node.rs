//! `nodes NAME`: one machine's status and its latest log entries.

use std::path::Path;

use super::{
    answer::{parse_answer, show_json},
    failure::CliResult,
    log,
    query::query,
    terminal::{Terminal, now, plain, state_style},
};
use crate::{
    api::{NodeStatus, Query},
    model::{Mac, TimeSpan, Timestamp},
};

/// How many entries of the log are shown.
const LOG_LINES: usize = 8;

pub(super) fn run(site: &Path, name: &str, json: bool, terminal: &Terminal) -> CliResult {
    let answer = query(site, &Query::Node(name.into()), terminal)?;
    if json {
        return show_json(&answer, terminal);
    }
    let status: NodeStatus = parse_answer(&answer)?;
    let log = query(site, &Query::log(name), terminal)?;
    let log = log::formatted(&log, terminal);
    let mut text = summary(&status, now(), terminal);
    if !log.is_empty() {
        text += "\n";
        text.extend(
            log.iter()
                .skip(log.len().saturating_sub(LOG_LINES))
                .map(String::as_str),
        );
    }
    if log.len() > LOG_LINES {
        text += &format!(
            "\n{} earlier lines: bootwright nodes {} log\n",
            log.len() - LOG_LINES,
            plain(&status.name)
        );
    }
    Ok(terminal.show(&text)?)
}

fn summary(status: &NodeStatus, now: Timestamp, terminal: &Terminal) -> String {
    let since = status.since.map_or(String::new(), |since| {
        let ago = TimeSpan(now.since(since));
        format!(" since {} ({ago})", terminal.moment(since))
    });
    let state = terminal.paint(&status.state.to_string(), state_style(status.state));
    let mut text = format!("{}: {state}{since}\n", plain(&status.name));
    let installs = format!(
        "{} wanted, {} done",
        status.installs.wanted, status.installs.done
    );
    for (key, value) in [
        ("reason", status.reason.clone()),
        ("policy", text_of(status.policy.as_ref())),
        ("task", text_of(status.task.as_ref())),
        ("address", status.address.clone()),
        ("hostname", status.hostname.clone()),
        ("mac", Some(joined(&status.mac))),
        ("uuid", status.uuid.clone()),
        ("serial", status.serial.clone()),
        ("firmware", text_of(status.firmware.as_ref())),
        ("installs", Some(installs)),
        ("attempt", text_of(status.attempt.as_ref())),
        ("last", Some(status.last.clone())),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            text += &format!("  {key:<10}  {}\n", plain(&value));
        }
    }
    text
}

fn text_of(value: Option<&impl ToString>) -> Option<String> {
    value.map(ToString::to_string)
}

fn joined(macs: &[Mac]) -> String {
    let macs: Vec<String> = macs.iter().map(Mac::to_string).collect();
    macs.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::MachineState, cli::terminal::Color};

    #[test]
    fn a_summary_omits_unknown_values() {
        let status = NodeStatus {
            reason: Some("disk does not boot".into()),
            mac: vec!["00:50:56:00:00:01".parse().unwrap()],
            ..NodeStatus::bare("esx01", MachineState::Held, "seen, 3 m ago")
        };
        assert_eq!(
            summary(&status, Timestamp(0), &Terminal::new(Color::Never)),
            "esx01: held\n\
             \x20 reason      disk does not boot\n\
             \x20 mac         00:50:56:00:00:01\n\
             \x20 installs    1 wanted, 0 done\n\
             \x20 last        seen, 3 m ago\n"
        );
    }
}
