//! Standard output and standard error: plain in pipes and files, coloured and fitted to the width on a terminal.

use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use comfy_table::Table;
use jiff::tz::TimeZone;

use crate::{api::MachineState, model::Timestamp};

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The properties of standard output and standard error.
#[derive(Debug, Clone)]
pub(super) struct Terminal {
    /// Whether standard output is coloured.
    pub(super) color: bool,
    /// The width in columns; `None` if standard output is not a terminal.
    pub(super) width: Option<usize>,
    error_color: bool,
    zone: TimeZone,
}

impl Terminal {
    pub(super) fn new(color: Color) -> Terminal {
        let is_terminal = io::stdout().is_terminal();
        Terminal {
            color: is_colored(color, is_terminal),
            width: is_terminal.then(|| Table::new().width().map_or(80, usize::from)),
            error_color: is_colored(color, io::stderr().is_terminal()),
            zone: TimeZone::try_system().unwrap_or(TimeZone::UTC),
        }
    }

    pub(super) fn show(&self, text: &str) -> io::Result<()> {
        self.show_bytes(text.as_bytes())
    }

    pub(super) fn show_bytes(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Writes to standard error.
    pub(super) fn show_error_text(&self, text: &str) {
        // If standard error is closed, there is no other place to write to.
        if io::stderr().lock().write_all(text.as_bytes()).is_err() {}
    }

    /// Writes `note: …` to standard error.
    pub(super) fn note(&self, text: &str) {
        self.labelled(AnsiColor::Cyan, "note", text);
    }

    /// Writes `error: …` and `help: …` to standard error.
    pub(super) fn error(&self, error: &str, help: Option<&str>) {
        self.labelled(AnsiColor::Red, "error", error);
        if let Some(help) = help {
            self.labelled(AnsiColor::Cyan, "help", help);
        }
    }

    fn labelled(&self, color: AnsiColor, kind: &str, text: &str) {
        let kind = paint(kind, color.on_default().bold(), self.error_color);
        let lines: Vec<String> = text.lines().map(plain).collect();
        self.show_error_text(&format!("{kind}: {}\n", lines.join("\n")));
    }

    /// Text in this style if output is coloured.
    pub(super) fn paint(&self, text: &str, style: Style) -> String {
        paint(text, style, self.color)
    }

    /// A timestamp in local time: `2026-11-22 12:04:31.120`.
    pub(super) fn moment(&self, at: Timestamp) -> String {
        match jiff::Timestamp::from_millisecond(at.0) {
            Ok(at) => at
                .to_zoned(self.zone.clone())
                .strftime("%Y-%m-%d %H:%M:%S%.3f")
                .to_string(),
            Err(_) => at.to_string(),
        }
    }
}

fn is_colored(color: Color, is_terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => is_terminal && !set("NO_COLOR") && !dumb(),
    }
}

fn paint(text: &str, style: Style, color: bool) -> String {
    match color {
        true => format!("{style}{text}{style:#}"),
        false => text.into(),
    }
}

/// The style of a machine's state.
pub(super) fn state_style(state: MachineState) -> Style {
    match state {
        MachineState::Failed => AnsiColor::Red.on_default().bold(),
        MachineState::Held => AnsiColor::Yellow.on_default().bold(),
        MachineState::Installing | MachineState::Installed => AnsiColor::Cyan.on_default(),
        MachineState::Finished => AnsiColor::Green.on_default(),
        MachineState::Discovered => AnsiColor::Magenta.on_default(),
        MachineState::Bound | MachineState::Protected | MachineState::Unknown => Style::new(),
    }
}

pub(super) fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

/// Text on one line without control and bidirectional characters: machines may send anything.
pub(super) fn plain(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|c| if hidden(c) { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_from_machines_are_replaced() {
        assert_eq!(plain("a\x1b[31mb\nc\u{9b}d\u{202e}e"), "a [31mb c d e");
        assert_eq!(plain("grün ✓"), "grün ✓");
    }

    #[test]
    fn timestamps_are_in_local_time() {
        let mut terminal = Terminal::new(Color::Never);
        terminal.zone =
            TimeZone::get("Europe/Berlin").unwrap_or(TimeZone::fixed(jiff::tz::offset(1)));
        assert_eq!(
            terminal.moment(Timestamp(1_795_348_800_120)),
            "2026-11-22 13:00:00.120"
        );
    }
}
