//! Formats findings as text and as JSON.

use anstyle::{AnsiColor, Style};
use serde_json::json;

use super::finding::{Area, FindingLevel, count, list};
use crate::cli::terminal::{Terminal, plain};

/// The width of the severity column.
const INDENT: usize = 9;

/// Formats findings as text: headings, a line for each finding, commands and advice below it, a summary at the end.
pub(super) fn text(areas: &[Area], terminal: &Terminal) -> String {
    let mut text = String::new();
    for area in areas {
        text += &terminal.paint(area.area, Style::new().bold());
        text.push('\n');
        for finding in &area.findings {
            let (word, style) = mark(finding.mark);
            let room = " ".repeat(INDENT - word.len());
            let word = terminal.paint(word, style);
            text += &wrapped(&format!("  {word}{room}"), &finding.text, terminal);
            for line in &finding.run {
                let run = terminal.paint("run: ", AnsiColor::Cyan.on_default().bold());
                text += &format!("  {}{run} {}\n", " ".repeat(INDENT), plain(line));
            }
            for line in &finding.help {
                let help = terminal.paint("help:", AnsiColor::Cyan.on_default().bold());
                text += &wrapped(&format!("  {}{help} ", " ".repeat(INDENT)), line, terminal);
            }
        }
        text.push('\n');
    }
    text + &summary(areas)
}

fn mark(mark: FindingLevel) -> (&'static str, Style) {
    match mark {
        FindingLevel::Ok => ("ok", AnsiColor::Green.on_default()),
        FindingLevel::Unknown => ("unknown", AnsiColor::Magenta.on_default()),
        FindingLevel::Warning => ("warning", AnsiColor::Yellow.on_default().bold()),
        FindingLevel::Error => ("error", AnsiColor::Red.on_default().bold()),
    }
}

/// Wraps a line after its prefix to the terminal's width; further lines are indented.
fn wrapped(prefix: &str, text: &str, terminal: &Terminal) -> String {
    let text = plain(text);
    let Some(width) = terminal.width.map(|width| width.max(40)) else {
        return format!("{prefix}{text}\n");
    };
    let indent = 2 + INDENT;
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is a first line");
        let length = line.chars().count() + word.chars().count() + 1;
        if !line.is_empty() && indent + length > width.saturating_sub(6) {
            lines.push(word.into());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    let rest = format!("\n{}", " ".repeat(indent));
    format!("{prefix}{}\n", lines.join(&rest))
}

fn summary(areas: &[Area]) -> String {
    let number = |mark, one: &str, many: &str| match count(areas, mark) {
        0 => None,
        1 => Some(format!("1 {one}")),
        more => Some(format!("{more} {many}")),
    };
    let parts: Vec<String> = [
        number(FindingLevel::Error, "error", "errors"),
        number(FindingLevel::Warning, "warning", "warnings"),
        number(
            FindingLevel::Unknown,
            "check that was not possible",
            "checks that were not possible",
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    match parts.is_empty() {
        true => "No problems found.\n".into(),
        false => format!("{}.\n", list(&parts)),
    }
}

/// Formats findings as JSON.
pub(super) fn json(areas: &[Area]) -> String {
    let findings: Vec<_> = areas
        .iter()
        .flat_map(|area| {
            area.findings.iter().map(|finding| {
                json!({
                    "area": area.area,
                    "severity": finding.mark,
                    "message": finding.text,
                    "run": finding.run,
                    "help": finding.help,
                })
            })
        })
        .collect();
    let value = json!({
        "errors": count(areas, FindingLevel::Error),
        "warnings": count(areas, FindingLevel::Warning),
        "unknown": count(areas, FindingLevel::Unknown),
        "findings": findings,
    });
    format!("{value:#}\n")
}
