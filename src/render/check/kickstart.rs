//! Kickstart: its sections.
//!
//! Anaconda reads a file whose section has no end as if all that follows belonged to the section, and stops at an unknown
//! one (pykickstart's `KickstartParser`).

use super::shell;

/// Sections, each of which ends with `%end`.
const SECTIONS: [&str; 9] = [
    "%addon",
    "%anaconda",
    "%certificate",
    "%onerror",
    "%packages",
    "%post",
    "%pre",
    "%pre-install",
    "%traceback",
];

/// Returns the mistakes in the sections, with their lines counted from 1.
pub(super) fn mistakes(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, &str)> = None;
    for (index, line) in text.lines().enumerate() {
        if !line.starts_with('%') {
            continue;
        }
        let number = index + 1;
        let word = line.split_whitespace().next().unwrap_or(line);
        match (word, open) {
            ("%end", Some(_)) => open = None,
            ("%end", None) => found.push((number, "`%end` without a section".into())),
            ("%include" | "%ksappend", _) => {}
            (section, None) if SECTIONS.contains(&section) => open = Some((number, section)),
            (section, Some((began, outer))) if SECTIONS.contains(&section) => {
                found.push((
                    number,
                    format!("`{section}` inside `{outer}` of line {began}, which has no `%end`"),
                ));
                open = Some((number, section));
            }
            (section, _) => found.push((number, format!("there is no section `{section}`"))),
        }
    }
    if let Some((began, section)) = open {
        found.push((began, format!("`{section}` has no `%end`")));
    }
    found
}

/// Sections that are scripts.
const SCRIPTS: [&str; 5] = ["%onerror", "%post", "%pre", "%pre-install", "%traceback"];

/// Returns the first mistake in the syntax of each script that a shell runs.
pub(super) fn script_mistakes(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split_whitespace();
        let section = words.next().filter(|_| line.starts_with('%'));
        match (section, &mut open) {
            (Some("%end"), Some((began, script))) => {
                let mistake = shell::mistake(script);
                found.extend(mistake.map(|(line, message)| (*began + line, message)));
                open = None;
            }
            (Some(section), None) if SCRIPTS.contains(&section) && is_shell(line) => {
                open = Some((index + 1, String::new()));
            }
            (_, Some((_, script))) => {
                script.push_str(line);
                script.push('\n');
            }
            _ => {}
        }
    }
    found
}

/// Whether a shell runs the section of this line. The default is `/bin/sh`.
fn is_shell(line: &str) -> bool {
    let mut words = line.split_whitespace().skip(1);
    let program = words.find_map(|word| word.strip_prefix("--interpreter"));
    match program.map(|rest| rest.trim_start_matches('=')) {
        // The next word is the program.
        Some("") => words.next().is_some_and(shell::is_shell),
        Some(program) => shell::is_shell(program),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_have_an_end_and_a_known_name() {
        for (text, expected) in [
            (
                "text\n%packages\n@core\n%end\n%post --nochroot\nx\n%end\n",
                &[][..],
            ),
            ("%include /tmp/disk.ks\n", &[]),
            ("%pre\n%include x\n%end\n", &[]),
            ("%packages\n@core\n", &[1]),
            ("%pre\nx\n%post\ny\n%end\n", &[3]),
            ("%pots\n%end\n", &[1, 2]),
            ("%end\n", &[1]),
            ("# %post\n %post\n", &[]),
        ] {
            let lines: Vec<usize> = mistakes(text).into_iter().map(|(line, _)| line).collect();
            assert_eq!(lines, expected, "{text:?}");
        }
    }

    #[test]
    fn scripts_of_a_shell_are_parsed() {
        for (text, expected) in [
            ("%pre\nif true; then\n  echo x\nfi\n%end\n", &[][..]),
            (
                "%pre\nif true; then\n%end\ntext\n%post --nochroot\necho )\n%end\n",
                &[2, 6],
            ),
            (
                "%post --interpreter=/usr/bin/python3\nif x:\n  print(1)\n%end\n",
                &[],
            ),
            ("%post --interpreter /bin/bash --nochroot\nfi\n%end\n", &[2]),
            ("%packages\n)\n%end\n", &[]),
            ("%onerror\n\n\ndone\n%end\n", &[4]),
        ] {
            let found = script_mistakes(text);
            let lines: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
            assert_eq!(lines, expected, "{text:?}: {found:?}");
        }
    }
}
