//! Tables without borders.

use anstyle::Style;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};

use super::terminal::{Terminal, plain};

#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell without style. An empty text is shown as a hyphen.
    pub(super) fn new(text: &str) -> Cell {
        Cell::styled(text, Style::new())
    }

    pub(super) fn styled(text: &str, style: Style) -> Cell {
        let text = match text {
            "" => "-".into(),
            text => plain(text),
        };
        Cell { text, style }
    }

    /// The width in columns.
    pub(super) fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// Formats rows under their headers. On a terminal the last column is truncated so that each row is one line; in a pipe
/// nothing is.
pub(super) fn table(headers: &[&str], rows: &[Vec<Cell>], terminal: &Terminal) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(headers);
    for row in rows {
        let mut row = comfy_table::Row::from(row.iter().map(|cell| &cell.text));
        row.max_height(1);
        table.add_row(row);
    }
    set_layout(&mut table, terminal.width);
    let lines = table.lines().map(|line| line.trim_end().to_string());
    let styled = lines
        .enumerate()
        .map(|(number, line)| match number.checked_sub(1) {
            None => terminal.paint(&line, Style::new().bold()),
            Some(row) => painted(line, &rows[row], terminal),
        });
    styled.map(|line| line + "\n").collect()
}

fn set_layout(table: &mut Table, width: Option<usize>) {
    let columns = table.column_count();
    for (index, column) in table.column_iter_mut().enumerate() {
        // No space before the first column, two between columns.
        column.set_padding((0, 2));
        if width.is_some() && index + 1 < columns {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    match width.and_then(|width| u16::try_from(width).ok()) {
        Some(width) => {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(width);
            table.set_truncation_indicator("…");
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
}

/// Colours the cells of a formatted line. Escape sequences have no width, so this is done after the layout.
fn painted(line: String, row: &[Cell], terminal: &Terminal) -> String {
    if !terminal.color {
        return line;
    }
    let mut out = String::new();
    let mut rest = line.as_str();
    for cell in row.iter().filter(|cell| cell.style != Style::new()) {
        let Some(at) = rest.find(&cell.text) else {
            continue;
        };
        let (before, after) = rest.split_at(at);
        out += before;
        out += &terminal.paint(&cell.text, cell.style);
        rest = &after[cell.text.len()..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::MachineState,
        cli::terminal::{Color, state_style},
    };

    fn example(width: Option<usize>, color: bool) -> String {
        let mut terminal = Terminal::new(Color::Never);
        (terminal.width, terminal.color) = (width, color);
        let row = |name: &str, state: Option<MachineState>, last: &str| {
            let text = state.map_or(String::new(), |state| state.to_string());
            vec![
                Cell::new(name),
                Cell::styled(&text, state.map_or(Style::new(), state_style)),
                Cell::new(last),
            ]
        };
        let rows = [
            row(
                "esx01",
                Some(MachineState::Finished),
                "booted its disk, 3 d ago",
            ),
            row(
                "db1",
                Some(MachineState::Failed),
                "no word after ks.cfg for 45 m (still listening)",
            ),
            row("x", None, "a\x1b[2Jb"),
        ];
        table(&["NODE", "STATE", "LAST"], &rows, &terminal)
    }

    #[test]
    fn a_pipe_gets_full_rows() {
        assert_eq!(
            example(None, false),
            "NODE   STATE     LAST\n\
             esx01  finished  booted its disk, 3 d ago\n\
             db1    failed    no word after ks.cfg for 45 m (still listening)\n\
             x      -         a [2Jb\n"
        );
    }

    #[test]
    fn a_terminal_gets_truncated_rows() {
        let text = example(Some(44), false);
        assert!(
            text.lines().all(|line| line.chars().count() <= 44),
            "{text}"
        );
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(
            text.contains("esx01  finished  booted its disk, 3 d ago\n"),
            "{text}"
        );
        assert!(text.contains("db1    failed    no word"), "{text}");
    }

    #[test]
    fn colour_does_not_change_the_layout() {
        let text = example(None, true);
        assert!(
            text.contains("esx01  \x1b[32mfinished\x1b[0m  booted"),
            "{text:?}"
        );
    }
}
