//! `nodes NAME`: one machine on a card, with the end of its log.

use std::path::Path;

use super::{
    failure::CliResult,
    log,
    nodes::{NodeStatus, now, parsed, show_json},
    query::ask,
    terminal::{Terminal, plain, state_style},
};
use crate::{
    model::{TimeSpan, Timestamp},
    net::http::OperatorQuery,
};

/// So many lines of the log are shown.
const LINES: usize = 8;

pub(super) fn run(site: &Path, name: &str, json: bool, terminal: &Terminal) -> CliResult {
    let answer = ask(site, &OperatorQuery::Node(name.into()), terminal)?;
    if json {
        return show_json(&answer, terminal);
    }
    let shown: NodeStatus = parsed(&answer)?;
    let log = ask(
        site,
        &OperatorQuery::Log {
            node: name.into(),
            after: None,
        },
        terminal,
    )?;
    let log = log::written(&log, terminal);
    let mut text = card(&shown, now(), terminal);
    if !log.is_empty() {
        text += "\n";
        text.extend(
            log.iter()
                .skip(log.len().saturating_sub(LINES))
                .map(String::as_str),
        );
    }
    if log.len() > LINES {
        text += &format!(
            "\n{} lines before these: bootwright nodes {} log\n",
            log.len() - LINES,
            plain(&shown.name)
        );
    }
    Ok(terminal.show(&text)?)
}

fn card(shown: &NodeStatus, now: Timestamp, terminal: &Terminal) -> String {
    let since = shown.since.map_or(String::new(), |since| {
        let ago = TimeSpan(now.since(since));
        format!(" since {} ({ago})", terminal.moment(since))
    });
    let state = terminal.paint(&plain(&shown.state), state_style(&shown.state));
    let mut text = format!("{}: {state}{since}\n", plain(&shown.name));
    let mut line = |key: &str, value: &str| {
        if !value.is_empty() {
            text += &format!("  {key:<10}  {}\n", plain(value));
        }
    };
    let or_nothing = |value: &Option<String>| value.clone().unwrap_or_default();
    let installs = format!(
        "{} wanted, {} done",
        shown.installs.wanted, shown.installs.done
    );
    line("reason", &or_nothing(&shown.reason));
    line("policy", &or_nothing(&shown.policy));
    line("task", &or_nothing(&shown.task));
    line("address", &or_nothing(&shown.address));
    line("hostname", &or_nothing(&shown.hostname));
    line("mac", &shown.mac.join(", "));
    line("uuid", &or_nothing(&shown.uuid));
    line("serial", &or_nothing(&shown.serial));
    line("firmware", &or_nothing(&shown.firmware));
    line("installs", &installs);
    line(
        "attempt",
        &shown
            .attempt
            .map_or(String::new(), |attempt| attempt.to_string()),
    );
    line("last", &shown.last);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{nodes::InstallCounts, terminal::Color};

    #[test]
    fn a_card_leaves_out_what_is_not_known() {
        let shown = NodeStatus {
            name: "esx01".into(),
            state: "held".into(),
            reason: Some("disk does not boot".into()),
            mac: vec!["00:50:56:00:00:01".into()],
            installs: InstallCounts { wanted: 1, done: 0 },
            last: "seen, 3 m ago".into(),
            ..NodeStatus::default()
        };
        assert_eq!(
            card(&shown, Timestamp(0), &Terminal::new(Color::Never)),
            "esx01: held\n\
             \x20 reason      disk does not boot\n\
             \x20 mac         00:50:56:00:00:01\n\
             \x20 installs    1 wanted, 0 done\n\
             \x20 last        seen, 3 m ago\n"
        );
    }
}
