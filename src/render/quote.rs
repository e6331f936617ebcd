//! Quoting: writes a value in each file format so that it is read back as exactly that value.
//!
//! A value that a format cannot represent is an error. The error never repeats the value, which may be a secret.

use std::fmt::Write;

use serde::Deserialize;

/// The format of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileFormat {
    /// No format with quoting rules.
    #[default]
    Plain,
    /// A POSIX shell script.
    Shell,
    /// Anaconda's kickstart: commands, and sections that end with `%end`.
    Kickstart,
    /// ESXi's kickstart dialect: a section ends where the next one begins.
    Esxi,
    /// A preseed file for debconf.
    Preseed,
    Yaml,
    Xml,
    /// iPXE's script language.
    Ipxe,
    /// GRUB's script language.
    Grub,
    Json,
}

/// Why a format cannot represent a value.
pub type QuoteError = String;

/// Quotes a word for a POSIX shell, always in single quotes.
pub fn shell(text: &str) -> Result<String, QuoteError> {
    if text.contains('\0') {
        return Err("a shell word cannot hold a NUL".into());
    }
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// Quotes a word of a kickstart command. Anaconda and ESXi both split lines as Python's shlex does.
pub fn kickstart(text: &str) -> Result<String, QuoteError> {
    single_line(text, "a kickstart command")?;
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-$".contains(&byte);
    if !text.is_empty() && text.bytes().all(bare) && !text.starts_with('%') {
        return Ok(text.into());
    }
    // Inside double quotes, shlex treats a backslash as an escape only before `"` and `\`.
    Ok(format!(
        "\"{}\"",
        text.replace('\\', r"\\").replace('"', "\\\"")
    ))
}

/// Checks the value of a preseed line, which ends at the end of the line.
pub fn preseed(text: &str) -> Result<String, QuoteError> {
    single_line(text, "a preseed line")?;
    if text.ends_with('\\') {
        return Err("a preseed line that ends with a backslash continues in the next line".into());
    }
    if text.trim() != text {
        return Err("leading and trailing blanks of a preseed value are lost".into());
    }
    Ok(text.into())
}

/// Quotes a YAML scalar, in double quotes.
pub fn yaml(text: &str) -> Result<String, QuoteError> {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            // The first three are line breaks in YAML; the last two are not printable.
            '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{7f}' => escape(&mut quoted, c),
            c if c.is_control() => escape(&mut quoted, c),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    Ok(quoted)
}

fn escape(quoted: &mut String, c: char) {
    write!(quoted, "\\u{:04x}", u32::from(c)).expect("writing to a string does not fail");
}

/// Escapes XML text or the value of an attribute.
pub fn xml(text: &str) -> Result<String, QuoteError> {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => quoted.push_str("&amp;"),
            '<' => quoted.push_str("&lt;"),
            '>' => quoted.push_str("&gt;"),
            '"' => quoted.push_str("&quot;"),
            '\'' => quoted.push_str("&apos;"),
            // In attributes, a parser replaces these characters by blanks unless they are escaped.
            '\n' => quoted.push_str("&#10;"),
            '\r' => quoted.push_str("&#13;"),
            '\t' => quoted.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => {
                return Err("XML has no way to write U+FFFE and U+FFFF".into());
            }
            c if c < ' ' => return Err("XML has no way to write control characters".into()),
            c => quoted.push(c),
        }
    }
    Ok(quoted)
}

/// Checks words of an iPXE command. iPXE has no quotes: blanks always separate words.
pub fn ipxe(text: &str) -> Result<String, QuoteError> {
    single_line(text, "an iPXE command")?;
    if text.contains("${") {
        return Err("iPXE expands `${` and has no way to quote it".into());
    }
    // Its shell treats these words as operators and comments (src/core/exec.c).
    if text
        .split_whitespace()
        .any(|word| word.starts_with('#') || ["||", "&&", ";"].contains(&word))
    {
        return Err("iPXE treats the words `||`, `&&` and `;`, and a word that begins with `#`, as part of the script".into());
    }
    Ok(text.into())
}

/// Quotes a word of a GRUB command, in single quotes, inside which nothing is special (GRUB manual, section 6.2).
pub fn grub(text: &str) -> Result<String, QuoteError> {
    single_line(text, "a GRUB command")?;
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
    if !text.is_empty() && text.bytes().all(bare) {
        return Ok(text.into());
    }
    if text.contains('\'') {
        return Err("GRUB has no way to write a single quote inside single quotes".into());
    }
    Ok(format!("'{text}'"))
}

pub fn json(text: &str) -> Result<String, QuoteError> {
    Ok(serde_json::Value::from(text).to_string())
}

/// Quotes a value for a format.
pub fn quote(text: &str, format: FileFormat) -> Result<String, QuoteError> {
    match format {
        FileFormat::Plain => {
            Err("task.toml does not set `quoting` for this file: use a filter such as `sh`".into())
        }
        FileFormat::Shell => shell(text),
        FileFormat::Kickstart | FileFormat::Esxi => kickstart(text),
        FileFormat::Preseed => preseed(text),
        FileFormat::Yaml => yaml(text),
        FileFormat::Xml => xml(text),
        FileFormat::Ipxe => ipxe(text),
        FileFormat::Grub => grub(text),
        FileFormat::Json => json(text),
    }
}

/// Writes a here-document that contains `text`, with a delimiter that is no line of it.
pub fn heredoc(text: &str) -> Result<String, QuoteError> {
    if text.contains('\0') {
        return Err("a shell script cannot hold a NUL".into());
    }
    let mut end = String::from("BOOTWRIGHT");
    while text.lines().any(|line| line == end) {
        end.push('_');
    }
    let newline = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    Ok(format!("<<'{end}'\n{text}{newline}{end}"))
}

/// Returns an error if `text`, which begins within a line, contains a line that would end the script section around it.
pub fn section_break(text: &str, format: FileFormat) -> Option<QuoteError> {
    let mut lines = text.lines().skip(1);
    match format {
        FileFormat::Kickstart => lines
            .any(|line| line.starts_with('%'))
            .then(|| "a line that begins with `%` ends the section of a kickstart script".into()),
        FileFormat::Esxi => lines.find_map(|line| {
            let word = esxi_section(line)?;
            Some(format!(
                "a line that begins with `{word}` ends the section of an ESXi script"
            ))
        }),
        _ => None,
    }
}

/// A line that begins with one of these words ends a script section in ESXi's kickstart dialect.
pub const ESXI_SECTIONS: [&str; 8] = [
    "%post",
    "%pre",
    "%packages",
    "%vmlicense_text",
    "%firstboot",
    "%include",
    "%end",
    "include",
];

/// Returns the word with which a line ends a script section of ESXi. `%end` does not end it but becomes a line of the script,
/// which is an error as well.
pub fn esxi_section(line: &str) -> Option<&'static str> {
    ESXI_SECTIONS
        .into_iter()
        .find(|word| line.starts_with(word))
}

fn single_line(text: &str, what: &str) -> Result<(), QuoteError> {
    if text.contains(['\n', '\r']) {
        return Err(format!("{what} must be one line"));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{what} cannot hold control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that break naive templates.
    const HOSTILE: [&str; 12] = [
        "",
        "it's",
        "say \"hi\"",
        "a; reboot",
        "${evil} $(evil) `evil`",
        "back\\slash\\",
        "# comment",
        "a && b || c ; d",
        "<&>",
        "one\n%end\ntwo",
        "one\ninclude two",
        "tab\tand bell\u{7}",
    ];

    fn words(line: &str) -> Vec<String> {
        crate::render::check::split(line).expect("the line has balanced quotes")
    }

    #[test]
    fn a_kickstart_word_is_read_back_unchanged_or_refused() {
        for text in HOSTILE {
            match kickstart(text) {
                Ok(quoted) => assert_eq!(
                    words(&format!("x {quoted} y")),
                    ["x", text, "y"],
                    "{quoted}"
                ),
                Err(_) => assert!(text.contains(char::is_control), "{text:?}"),
            }
        }
        assert_eq!(kickstart("$6$abc$d/e.f").unwrap(), "$6$abc$d/e.f");
    }

    #[test]
    fn a_shell_word_is_read_back_unchanged() {
        for text in HOSTILE {
            let script = format!("printf %s {}", shell(text).unwrap());
            let output = std::process::Command::new("sh")
                .arg("-c")
                .arg(script)
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
        assert!(shell("\0").is_err());
    }

    #[test]
    fn json_and_yaml_are_read_back_unchanged() {
        for text in HOSTILE {
            assert_eq!(
                serde_json::from_str::<String>(&json(text).unwrap()).unwrap(),
                text
            );
            // The quoted form is also valid JSON.
            assert_eq!(
                serde_json::from_str::<String>(&yaml(text).unwrap()).unwrap(),
                text
            );
        }
        assert_eq!(yaml("a\u{2028}b").unwrap(), r#""a\u2028b""#);
    }

    #[test]
    fn quoted_xml_contains_no_markup() {
        for text in HOSTILE {
            match xml(text) {
                Ok(quoted) => assert!(!quoted.contains(['<', '>', '"', '\'', '\n']), "{quoted}"),
                Err(_) => assert!(text.contains('\u{7}')),
            }
        }
        assert_eq!(xml("<&>").unwrap(), "&lt;&amp;&gt;");
    }

    #[test]
    fn preseed_and_ipxe_refuse_values_that_they_cannot_represent() {
        for (text, preseeds, ipxes) in [
            ("plain words", true, true),
            ("a\nb", false, false),
            ("ends with \\", false, true),
            (" blank", false, true),
            ("${net0/mac}", true, false),
            ("a || b", true, false),
            ("a # b", true, false),
            ("a||b#c", true, true),
            ("bell\u{7}", false, false),
        ] {
            assert_eq!(preseed(text).is_ok(), preseeds, "{text:?}");
            assert_eq!(ipxe(text).is_ok(), ipxes, "{text:?}");
        }
    }

    #[test]
    fn the_delimiter_of_a_here_document_is_no_line_of_it() {
        let text = "BOOTWRIGHT\nBOOTWRIGHT_\n";
        assert_eq!(
            heredoc(text).unwrap(),
            format!("<<'BOOTWRIGHT__'\n{text}BOOTWRIGHT__")
        );
    }

    #[test]
    fn a_line_that_would_end_its_section_is_found() {
        assert!(section_break("one\n%end", FileFormat::Kickstart).is_some());
        assert!(section_break("one\n%endless", FileFormat::Kickstart).is_some());
        assert!(section_break("one\ninclude x", FileFormat::Esxi).is_some());
        assert!(section_break("one\nincluded x", FileFormat::Esxi).is_some());
        assert!(section_break("%end of the first line", FileFormat::Esxi).is_none());
        assert!(section_break("one\n%end", FileFormat::Shell).is_none());
    }

    #[test]
    fn no_error_repeats_the_value() {
        for text in HOSTILE {
            for refused in [kickstart(text), preseed(text), xml(text), ipxe(text)]
                .into_iter()
                .filter_map(Result::err)
            {
                assert!(text.len() < 4 || !refused.contains(text), "{refused}");
            }
        }
    }
}
