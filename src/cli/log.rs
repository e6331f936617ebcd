//! `nodes NAME log`: a machine's history, one line per event.

use std::{collections::BTreeSet, io::BufRead, path::Path};

use anstyle::{AnsiColor, Style};
use anyhow::{Context, anyhow};

use super::{
    client::ApiClient,
    failure::{CliResult, Failure},
    query::query,
    terminal::{Terminal, plain},
};
use crate::{
    api::Query,
    journal::{self, Event, EventSeverity, JournalLine, MachineEvent, ParsedLine},
};

pub(super) fn run(site: &Path, name: &str, json: bool, terminal: &Terminal) -> CliResult {
    let log = query(site, &Query::log(name), terminal)?;
    if json {
        return Ok(terminal.show_bytes(&log)?);
    }
    let lines = formatted(&log, terminal);
    if lines.is_empty() {
        terminal.note(&format!("{name} has no history yet"));
    }
    Ok(terminal.show(&lines.concat())?)
}

/// Prints the log, then new entries as they are written, until the server stops or the operator interrupts.
pub(super) fn follow(site: &Path, name: &str, json: bool, terminal: &Terminal) -> CliResult {
    let Some((client, _)) = ApiClient::find(site)? else {
        return Err(Failure::unreachable(anyhow!(
            "server not running: nothing is added to the log"
        ))
        .help("read the log without --follow, or start the server: `bootwright serve`"));
    };
    for line in client.follow(name)?.lines() {
        let line = line.context("the server closed the connection")?;
        match json {
            true => terminal.show(&(line + "\n"))?,
            false => formatted(line.as_bytes(), terminal)
                .iter()
                .try_for_each(|line| terminal.show(line))?,
        }
    }
    Ok(())
}

/// Formats lines of the journal, each with its line feed.
pub(super) fn formatted(log: &[u8], terminal: &Terminal) -> Vec<String> {
    let text = String::from_utf8_lossy(log);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let mut finished = BTreeSet::new();
    let mut formatted_lines: Vec<String> = Vec::new();
    for line in lines.into_iter().rev() {
        if !is_superseded(line, &mut finished) {
            formatted_lines.push(format_line(line, terminal) + "\n");
        }
    }
    formatted_lines.reverse();
    formatted_lines
}

/// Whether a later line supersedes this one: the end of a document's download supersedes its start.
fn is_superseded(line: &str, finished: &mut BTreeSet<(u32, String)>) -> bool {
    let Ok(ParsedLine::Known(line)) = JournalLine::parse(line) else {
        return false;
    };
    match line.event {
        Event::Machine(
            MachineEvent::Document { attempt, name, .. } | MachineEvent::Aborted { attempt, name },
        ) => {
            finished.insert((attempt, name));
            false
        }
        Event::Machine(MachineEvent::Serving { attempt, name }) => {
            finished.remove(&(attempt, name))
        }
        _ => false,
    }
}

fn format_line(line: &str, terminal: &Terminal) -> String {
    match JournalLine::parse(line) {
        Ok(ParsedLine::Known(line)) => {
            let words = journal::describe(&line);
            let kind = terminal.paint(&format!("{:<10}", words.kind), style(&line.event));
            let mut text = format!(
                "{}  {kind}  {}",
                terminal.moment(line.at),
                plain(&words.detail)
            );
            if let Some(likely) = words.likely {
                // Below the detail: a timestamp has 23 characters.
                text += &format!("\n{:37}likely: {likely}", "");
            }
            text
        }
        Ok(ParsedLine::Unknown { at, event, .. }) => {
            format!(
                "{}  {:<10}  (written by a newer version)",
                terminal.moment(at),
                plain(&event)
            )
        }
        Err(error) => format!("{error}: {}", plain(line)),
    }
}

fn style(event: &Event) -> Style {
    match event.traits().severity {
        EventSeverity::Error => AnsiColor::Red.on_default().bold(),
        EventSeverity::Warning => AnsiColor::Yellow.on_default(),
        EventSeverity::Success => AnsiColor::Green.on_default(),
        EventSeverity::Normal => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::Color;

    #[test]
    fn every_line_is_formatted() {
        let log = br#"{"at":"2026-11-22T12:00:00.120Z","machine":"00000000000000ab","event":"document","attempt":1,"name":"ks.cfg","bytes":1900}

{"at":"2026-11-22T12:00:01.000Z","machine":"00000000000000ab","event":"teleported","critical":true}
nonsense"#;
        let terminal = Terminal::new(Color::Never);
        let lines = formatted(log, &terminal);
        assert_eq!(lines.len(), 3);
        assert!(
            lines[0].ends_with("00.120  document    ks.cfg (1.9 kB)\n"),
            "{}",
            lines[0]
        );
        assert!(
            lines[1].ends_with("01.000  teleported  (written by a newer version)\n"),
            "{}",
            lines[1]
        );
        assert!(
            lines[2].starts_with("not a line of a journal"),
            "{}",
            lines[2]
        );
    }
}
