//! Kickstart: its sections.
//!
//! Anaconda reads a file whose section has no end as if all that follows belonged to the section, and stops at an unknown
//! one (pykickstart's `KickstartParser`).

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
}
