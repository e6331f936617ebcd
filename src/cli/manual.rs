//! `manual`: the pages of the manual, which are compiled into the program.
//!
//! The pages are Markdown under `src/manual/`. A page is printed as written; on a terminal, tables are fitted to
//! its width and headings are bold.

use std::{
    env,
    io::{self, Write},
    process::{Command, Stdio},
};

use anstyle::Style;
use anyhow::anyhow;
use comfy_table::{ContentArrangement, Table, presets};
use include_dir::{Dir, include_dir};

use super::{
    arguments,
    failure::{CliResult, Failure},
    table::{Cell, table},
    terminal::Terminal,
};
use crate::site::suggest;

static PAGES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/src/manual");

/// The order in which the topics are listed. Other pages are listed after these.
const ORDER: [&str; 17] = [
    "boot",
    "configuration",
    "networks",
    "installers",
    "esxi",
    "images",
    "discovery",
    "brokers",
    "commands",
    "operations",
    "security",
    "troubleshooting",
    "api",
    "templates",
    "dependencies",
    "performance",
    "development",
];

/// The pager if `PAGER` is not set.
const PAGER: &str = "less";

/// The options of `less`: exit if the text fits on one screen, pass colours through, leave the text on the screen.
const LESS: &str = "FRX";

/// The exit code of a shell that cannot find a command.
const NOT_FOUND: i32 = 127;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ManualPage {
    topic: &'static str,
    text: &'static str,
}

/// A result of `--search`, with its heading.
#[derive(Debug, PartialEq, Eq)]
struct SearchHit {
    topic: &'static str,
    heading: &'static str,
    lines: Vec<&'static str>,
}

pub(super) fn run(manual: &arguments::ManualArgs, terminal: &Terminal) -> CliResult {
    let mut pages = pages();
    if let Some(topic) = &manual.topic {
        let names = pages.iter().map(|page| page.topic);
        if !names.clone().any(|name| name == topic) {
            return Err(unknown(topic, names));
        }
        pages.retain(|page| page.topic == topic);
    }
    if !manual.search.is_empty() {
        return show_hits(&pages, &manual.search.join(" "), terminal);
    }
    match manual.topic {
        Some(_) => show_paged(&laid_out(pages[0].text, terminal), terminal),
        None => Ok(terminal.show(&list(&pages, terminal))?),
    }
}

/// All pages, in the order of [`ORDER`].
fn pages() -> Vec<ManualPage> {
    let mut pages: Vec<ManualPage> = PAGES
        .files()
        .filter_map(|file| {
            let topic = file.path().to_str()?.strip_suffix(".md")?;
            let text = file.contents_utf8()?;
            Some(ManualPage { topic, text })
        })
        .collect();
    let position = |topic| ORDER.iter().position(|listed| *listed == topic);
    pages.sort_by_key(|page| (position(page.topic).unwrap_or(ORDER.len()), page.topic));
    pages
}

fn unknown<'t>(topic: &str, topics: impl Iterator<Item = &'t str>) -> Failure {
    let failure = Failure::refused(anyhow!("the manual has no page `{topic}`"));
    let help = match suggest(topic, topics) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "`bootwright manual` lists the topics".into(),
    };
    failure.help(help)
}

fn list(pages: &[ManualPage], terminal: &Terminal) -> String {
    let rows: Vec<Vec<Cell>> = pages
        .iter()
        .map(|page| vec![Cell::new(page.topic), Cell::new(page.title())])
        .collect();
    table(&["TOPIC", "SUBJECT"], &rows, terminal)
        + "\nRead a page:  bootwright manual TOPIC\nFind words:   bootwright manual --search WORDS\n"
}

fn show_hits(pages: &[ManualPage], words: &str, terminal: &Terminal) -> CliResult {
    let hits: Vec<SearchHit> = pages.iter().flat_map(|page| page.search(words)).collect();
    if hits.is_empty() {
        let error = anyhow!("no paragraph of the manual contains `{words}`");
        return Err(Failure::refused(error));
    }
    let mut text = String::new();
    for hit in hits {
        text += &format!("{}: {}\n", hit.topic, hit.heading);
        text.extend(hit.lines.iter().map(|line| format!("    {line}\n")));
    }
    show_paged(&text, terminal)
}

impl ManualPage {
    /// The heading of the page.
    fn title(&self) -> &'static str {
        let first = self.text.lines().next().unwrap_or_default();
        first.trim_start_matches(['#', ' '])
    }

    /// Returns each paragraph, list item, table row or line of code that contains all of `words`, reduced to its
    /// lines that contain one of them, with its heading. Case is ignored.
    fn search(&self, words: &str) -> Vec<SearchHit> {
        let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
        let mut hits: Vec<SearchHit> = Vec::new();
        for (heading, block) in self.blocks() {
            let text = block.join(" ").to_lowercase();
            if words.is_empty() || !words.iter().all(|word| text.contains(word)) {
                continue;
            }
            let with_word = block.into_iter().filter(|line| {
                let line = line.to_lowercase();
                words.iter().any(|word| line.contains(word))
            });
            match hits.last_mut().filter(|hit| hit.heading == heading) {
                Some(hit) => hit.lines.extend(with_word),
                None => hits.push(SearchHit {
                    topic: self.topic,
                    heading,
                    lines: with_word.collect(),
                }),
            }
        }
        hits
    }

    /// The headings, paragraphs, list items, table rows and lines of code, each with the heading above it.
    fn blocks(&self) -> Vec<(&'static str, Vec<&'static str>)> {
        let mut blocks: Vec<(&str, Vec<&str>)> = Vec::new();
        let (mut heading, mut is_code, mut continues) = ("", false, false);
        for line in self.text.lines() {
            let trimmed = line.trim();
            let is_fence = trimmed.starts_with("```");
            is_code ^= is_fence;
            let is_heading = !is_code && line.starts_with('#');
            if is_heading {
                heading = line.trim_start_matches(['#', ' ']);
            }
            let is_single_line =
                is_code || is_heading || trimmed.starts_with('|') || line.starts_with("    ");
            let begins = is_single_line
                || trimmed.starts_with("- ")
                || trimmed.starts_with(char::is_numeric);
            match blocks.last_mut() {
                _ if trimmed.is_empty() || is_fence => {}
                Some((_, block)) if continues && !begins => block.push(trimmed),
                _ => blocks.push((heading, vec![trimmed])),
            }
            continues = !trimmed.is_empty() && !is_fence && !is_single_line;
        }
        blocks
    }
}

/// Lays a page out for the terminal; without a terminal it is unchanged.
fn laid_out(text: &str, terminal: &Terminal) -> String {
    let Some(width) = terminal.width.and_then(|width| u16::try_from(width).ok()) else {
        return text.into();
    };
    let mut out = String::new();
    let (mut rows, mut is_code) = (Vec::new(), false);
    for line in text.lines() {
        is_code ^= line.trim_start().starts_with("```");
        if !is_code && line.starts_with('|') {
            rows.push(line);
            continue;
        }
        out += &fitted(&std::mem::take(&mut rows), width);
        out += &match !is_code && line.starts_with('#') {
            true => terminal.paint(line, Style::new().bold()),
            false => line.into(),
        };
        out.push('\n');
    }
    out + &fitted(&rows, width)
}

/// Formats the rows of a Markdown table, with the text of each cell wrapped so that all columns fit.
fn fitted(rows: &[&str], width: u16) -> String {
    let [header, _, rows @ ..] = rows else {
        return String::new();
    };
    let mut table = Table::new();
    table.load_style(presets::ASCII_HORIZONTAL_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(width);
    table.set_header(cells(header));
    for row in rows {
        table.add_row(cells(row));
    }
    let lines = table.lines().map(|line| line.trim_end().to_string() + "\n");
    lines.collect()
}

/// The cells of a Markdown row. `\|` is a bar inside a cell.
fn cells(row: &str) -> Vec<String> {
    const BAR: &str = "\u{1}";
    let row = row.replace("\\|", BAR);
    let cells = row.trim().trim_matches('|').split('|');
    cells.map(|cell| cell.trim().replace(BAR, "|")).collect()
}

/// Shows a text in the pager if standard output is a terminal, otherwise prints it.
fn show_paged(text: &str, terminal: &Terminal) -> CliResult {
    if terminal.width.is_some() {
        let chosen = env::var("PAGER").ok();
        let pager = chosen.filter(|pager| !pager.trim().is_empty());
        if page_through(pager.as_deref().unwrap_or(PAGER), text)? {
            return Ok(());
        }
    }
    Ok(terminal.show(text)?)
}

/// Writes a text to a pager and waits until it exits. Returns false if the pager does not exist.
fn page_through(pager: &str, text: &str) -> io::Result<bool> {
    let mut command = Command::new("sh");
    command.args(["-c", pager]).stdin(Stdio::piped());
    if env::var_os("LESS").is_none() {
        command.env("LESS", LESS);
    }
    let Ok(mut child) = command.spawn() else {
        return Ok(false);
    };
    let mut input = child.stdin.take().expect("its standard input is a pipe");
    match input.write_all(text.as_bytes()) {
        // The reader quit before the end, or there is no pager.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    drop(input);
    Ok(child.wait()?.code() != Some(NOT_FOUND))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use clap::CommandFactory;

    use super::*;
    use crate::cli::{arguments::Arguments, terminal::Color};

    fn page(topic: &str) -> ManualPage {
        let found = pages().into_iter().find(|page| page.topic == topic);
        found.unwrap_or_else(|| panic!("there is a page `{topic}`"))
    }

    #[test]
    fn every_listed_topic_is_a_page_with_a_title() {
        let pages = pages();
        let topics: Vec<&str> = pages.iter().map(|page| page.topic).collect();
        assert_eq!(topics[..ORDER.len()], ORDER);
        for page in pages {
            assert!(page.text.starts_with("# "), "{} has a title", page.topic);
        }
    }

    #[test]
    fn a_search_finds_paragraphs_rows_and_code() {
        let page = ManualPage {
            topic: "disks",
            text: "# Disks\n\nThe first disk\nis Wiped here.\nNot this line.\n\n## Rules\n\n- never wiped\n- kept\n\n\
                   | key | meaning |\n|---|---|\n| `wipe` | the disk may be wiped |\n\n```\nwiped = 1\n# a comment\n```\n",
        };
        let hit = |heading, lines: &[&'static str]| SearchHit {
            topic: "disks",
            heading,
            lines: lines.to_vec(),
        };
        assert_eq!(
            page.search("WIPED"),
            [
                hit("Disks", &["is Wiped here."]),
                hit(
                    "Rules",
                    &[
                        "- never wiped",
                        "| `wipe` | the disk may be wiped |",
                        "wiped = 1"
                    ]
                ),
            ]
        );
        assert_eq!(
            page.search("disk wiped"),
            [
                hit("Disks", &["The first disk", "is Wiped here."]),
                hit("Rules", &["| `wipe` | the disk may be wiped |"]),
            ]
        );
        assert_eq!(page.search("rules"), [hit("Rules", &["## Rules"])]);
        assert_eq!(page.search("a comment")[0].heading, "Rules");
        assert_eq!(page.search("absent"), []);
        assert_eq!(page.search(" "), []);
    }

    #[test]
    fn a_terminal_gets_tables_in_its_width() {
        let text = "# Title\n\n| key | meaning |\n|---|---|\n| `a\\|b` | one two three four five six seven |\n\n```\n| code |\n```\n";
        let mut terminal = Terminal::new(Color::Never);
        terminal.width = None;
        assert_eq!(laid_out(text, &terminal), text);
        terminal.width = Some(30);
        assert_eq!(
            laid_out(text, &terminal),
            "# Title\n\n\
             ------------------------------\n \
              key     meaning\n\
             ==============================\n \
              `a|b`   one two three four\n         \
                      five six seven\n\
             ------------------------------\n\n\
             ```\n| code |\n```\n"
        );
    }

    #[test]
    fn a_pager_reads_the_text_and_a_missing_one_is_reported() {
        let long = "line\n".repeat(100_000);
        assert!(
            page_through(
                "test \"$(cat)\" = 'some text'; exit $((126 + $?))",
                "some text"
            )
            .unwrap()
        );
        assert!(page_through("head -n 1 >/dev/null", &long).unwrap());
        assert!(!page_through("a-pager-that-does-not-exist 2>/dev/null", &long).unwrap());
    }

    /// The options of each command in clap's definition, by the command's full name, without the global options.
    fn commands() -> BTreeMap<String, BTreeSet<String>> {
        fn walk(
            prefix: &str,
            command: &clap::Command,
            all: &mut BTreeMap<String, BTreeSet<String>>,
        ) {
            for command in command.get_subcommands() {
                let name = format!("{prefix}{}", command.get_name());
                if command.has_subcommands() {
                    walk(&format!("{name} "), command, all);
                    continue;
                }
                let options = command
                    .get_arguments()
                    .filter(|option| !option.is_global_set());
                let long = options.filter_map(|option| option.get_long());
                all.insert(name, long.map(|long| format!("--{long}")).collect());
            }
        }
        let mut all = BTreeMap::new();
        walk("", &Arguments::command(), &mut all);
        all
    }

    /// The texts in backticks.
    fn spans(text: &str) -> impl Iterator<Item = &str> {
        text.split('`').skip(1).step_by(2)
    }

    fn options_in(text: &str) -> impl Iterator<Item = String> {
        let words = spans(text).flat_map(|span| span.split([' ', '[', ']']));
        words
            .filter(|word| word.starts_with("--"))
            .map(String::from)
    }

    #[test]
    fn the_table_of_commands_names_every_command_and_every_option() {
        let expected = commands();
        let mut documented: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let (table, _) = page("commands").text.split_once("\n## ").unwrap();
        for row in table.lines().filter(|line| line.starts_with("| `")) {
            let cells = row.replace("\\|", "¦");
            let first = cells.split('|').nth(1).unwrap();
            for span in spans(first) {
                // The longest command at the start of the cell: `nodes NAME log` is `nodes`.
                let name = expected.keys().rfind(|name| {
                    let rest = span.strip_prefix(name.as_str());
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
                });
                let name = name.unwrap_or_else(|| panic!("`{span}` is no command"));
                let options = documented.entry(name.clone()).or_default();
                options.extend(options_in(&cells));
            }
        }
        assert_eq!(documented, expected);
        let command = Arguments::command();
        let global = command
            .get_arguments()
            .filter(|option| option.is_global_set());
        for option in global.filter_map(|option| option.get_long()) {
            let named = page("commands").text.contains(&format!("--{option}"));
            assert!(named, "--{option} is not in commands.md");
        }
    }
}
