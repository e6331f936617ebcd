//! `nodes NAME`: one machine's status and its latest log entries.

use std::path::Path;

use super::{
    client::parse_answer,
    failure::CliResult,
    log,
    nodes::{NodeStatus, now, show_json},
    query::query,
    terminal::{Terminal, plain, state_style},
};
use crate::{
    api::Query,
    model::{TimeSpan, Timestamp},
};

/// The number of log entries status.
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
    let state = terminal.paint(&plain(&status.state), state_style(&status.state));
    let mut text = format!("{}: {state}{since}\n", plain(&status.name));
    let mut line = |key: &str, value: &str| {
        if !value.is_empty() {
            text += &format!("  {key:<10}  {}\n", plain(value));
        }
    };
    let or_nothing = |value: &Option<String>| value.clone().unwrap_or_default();
    let installs = format!(
        "{} wanted, {} done",
        status.installs.wanted, status.installs.done
    );
    line("reason", &or_nothing(&status.reason));
    line("policy", &or_nothing(&status.policy));
    line("task", &or_nothing(&status.task));
    line("address", &or_nothing(&status.address));
    line("hostname", &or_nothing(&status.hostname));
    line("mac", &status.mac.join(", "));
    line("uuid", &or_nothing(&status.uuid));
    line("serial", &or_nothing(&status.serial));
    line("firmware", &or_nothing(&status.firmware));
    line("installs", &installs);
    line(
        "attempt",
        &status
            .attempt
            .map_or(String::new(), |attempt| attempt.to_string()),
    );
    line("last", &status.last);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{nodes::InstallCounts, terminal::Color};

    #[test]
    fn a_summary_omits_unknown_values() {
        let status = NodeStatus {
            name: "esx01".into(),
            state: "held".into(),
            reason: Some("disk does not boot".into()),
            mac: vec!["00:50:56:00:00:01".into()],
            installs: InstallCounts { wanted: 1, done: 0 },
            last: "seen, 3 m ago".into(),
            ..NodeStatus::default()
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
