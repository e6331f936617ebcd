//! Splits a line into words like Python's `shlex.split(line, comments=True)`, which ESXi and Anaconda use for kickstart
//! commands.

/// Returns the words of a line. None if a quote is not closed, or the line ends with a backslash.
pub fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '#' => break,
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' => single(&mut chars, word.get_or_insert_default())?,
            '"' => double(&mut chars, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

fn single(chars: &mut std::str::Chars<'_>, word: &mut String) -> Option<()> {
    loop {
        match chars.next()? {
            '\'' => return Some(()),
            c => word.push(c),
        }
    }
}

/// Inside double quotes a backslash only escapes a quote and itself.
fn double(chars: &mut std::str::Chars<'_>, word: &mut String) -> Option<()> {
    loop {
        match chars.next()? {
            '"' => return Some(()),
            '\\' => match chars.next()? {
                c @ ('"' | '\\') => word.push(c),
                c => {
                    word.push('\\');
                    word.push(c);
                }
            },
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_same_as_in_python() {
        // Each result was compared with shlex.split(line, comments=True) of Python 3.11.
        for (line, words) in [
            ("a b  c", Some(vec!["a", "b", "c"])),
            (
                "keyboard 'US Default' # comment",
                Some(vec!["keyboard", "US Default"]),
            ),
            (
                r#"x "a\"b\\c\d" y\ z"#,
                Some(vec!["x", r#"a"b\c\d"#, "y z"]),
            ),
            (
                "--firstdisk=\"DELLBOSS VD\",local",
                Some(vec!["--firstdisk=DELLBOSS VD,local"]),
            ),
            ("a ''", Some(vec!["a", ""])),
            ("a#b", Some(vec!["a"])),
            ("'open", None),
            ("\"open", None),
            ("end\\", None),
        ] {
            let expected =
                words.map(|words| words.into_iter().map(String::from).collect::<Vec<_>>());
            assert_eq!(split(line), expected, "{line}");
        }
    }
}
