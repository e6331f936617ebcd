//! The commands that ESXi's `%include` adds: the lines that a `%pre` section of the same document writes to the file.
//!
//! Every `%pre` has run before anything is included. Only literal output is recognised: `echo` or `printf` of a quoted text, or
//! a here-document, redirected to the file by its name.

use super::{esxi_script::Section, shlex::split};

/// Command lines, with the number of the line that writes each.
pub(super) type WrittenLines = Vec<(usize, String)>;

/// Returns the texts that the `%pre` sections write to `path`: one for each `>`. A `>>` appends to the text before it.
pub(super) fn texts_written_to(sections: &[Section<'_>], path: &str) -> Vec<WrittenLines> {
    let mut texts: Vec<WrittenLines> = Vec::new();
    for section in sections.iter().filter(|one| one.header.starts_with("%pre")) {
        for (at, (number, line)) in section.lines.iter().enumerate() {
            let Some((command, appends)) = redirected_to(line, path) else {
                continue;
            };
            let text = match command.split_once("<<") {
                Some((_, end)) => here_document(&section.lines[at + 1..], end),
                None => echoed(*number, command),
            };
            match texts.last_mut() {
                Some(last) if appends => last.extend(text),
                _ => texts.push(text),
            }
        }
    }
    texts
}

/// Returns the command of a line that redirects its output to `path`, and whether it appends.
fn redirected_to<'a>(line: &'a str, path: &str) -> Option<(&'a str, bool)> {
    let line = line.trim();
    let at = line.find(path).filter(|_| !line.starts_with('#'))?;
    let quotes: &[char] = &['"', '\''];
    let before = line[..at].trim_end_matches(quotes).trim_end();
    let after = line[at + path.len()..].trim_start_matches(quotes).trim();
    let command = before.strip_suffix('>')?;
    let (command, appends) = match command.strip_suffix('>') {
        Some(command) => (command, true),
        None => (command, false),
    };
    match after.starts_with("<<") {
        true => Some((after, appends)),
        false => after.is_empty().then_some((command.trim(), appends)),
    }
}

/// The lines of a here-document, up to its delimiter.
fn here_document(lines: &[(usize, &str)], end: &str) -> WrittenLines {
    let end = end.trim_start_matches('-').trim().trim_matches(['"', '\'']);
    lines
        .iter()
        .take_while(|(_, line)| line.trim() != end)
        .map(|(number, line)| (*number, (*line).to_string()))
        .collect()
}

/// The lines that `echo` or `printf` writes.
fn echoed(number: usize, command: &str) -> WrittenLines {
    let words = split(command).unwrap_or_default();
    let at = words
        .iter()
        .position(|word| word == "echo" || word == "printf");
    let text = match at {
        Some(at) if words[at] == "printf" => words.get(at + 1).cloned().unwrap_or_default(),
        Some(at) => words[at + 1..].join(" "),
        None => return Vec::new(),
    };
    text.split("\\n")
        .map(|line| (number, line.to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::check::esxi_script::split_sections;

    #[test]
    fn literal_output_of_a_script_is_recognised() {
        let file = "/tmp/d.ks";
        for (script, expected) in [
            (
                "echo 'install --disk=a' > /tmp/d.ks",
                vec![vec!["install --disk=a"]],
            ),
            (
                "echo \"install --disk=$d\" > \"/tmp/d.ks\"",
                vec![vec!["install --disk=$d"]],
            ),
            (
                "[ -n \"$d\" ] && echo install --disk=$d >/tmp/d.ks",
                vec![vec!["install --disk=$d"]],
            ),
            (
                "printf 'install --disk=\"%s\" --overwritevmfs\\n' \"$d\" > /tmp/d.ks",
                vec![vec!["install --disk=\"%s\" --overwritevmfs", ""]],
            ),
            (
                "cat > /tmp/d.ks <<EOF\ninstall --firstdisk\nEOF\nexit 0",
                vec![vec!["install --firstdisk"]],
            ),
            (
                "cat <<'EOF' > /tmp/d.ks\ninstall --firstdisk\nEOF",
                vec![vec!["install --firstdisk"]],
            ),
            (
                "echo a > /tmp/d.ks\necho b >> /tmp/d.ks",
                vec![vec!["a", "b"]],
            ),
            (
                "echo a > /tmp/d.ks\necho b > /tmp/d.ks",
                vec![vec!["a"], vec!["b"]],
            ),
            (
                "# echo a > /tmp/d.ks\nrm -f /tmp/d.ks\necho a > /tmp/d.ks.old",
                vec![],
            ),
        ] {
            let text = format!("%pre\n{script}\n");
            let (_, sections) = split_sections(&text);
            let lines: Vec<Vec<String>> = texts_written_to(&sections, file)
                .into_iter()
                .map(|text| text.into_iter().map(|(_, line)| line).collect())
                .collect();
            assert_eq!(lines, expected, "{script}");
        }
        let text = "%post\necho a > /tmp/d.ks\n";
        let (_, sections) = split_sections(text);
        assert!(
            texts_written_to(&sections, file).is_empty(),
            "%post runs too late"
        );
    }
}
