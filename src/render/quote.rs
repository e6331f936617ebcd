//! Quoting: how a value stands in each format so that it can be nothing but one value.
//!
//! A value that cannot be expressed in a format is a mistake with a reason. A reason never repeats the value,
//! which may be a secret.

use std::fmt::Write;

use serde::Deserialize;

/// What a file is written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileFormat {
    /// Nothing that we know how to quote for.
    #[default]
    Plain,
    /// A POSIX shell script.
    Shell,
    /// A kickstart file: commands, and sections that end with `%end`.
    Kickstart,
    /// ESXi's kickstart dialect: sections end where the next one begins.
    Esxi,
    /// Answers to debconf's questions.
    Preseed,
    /// YAML.
    Yaml,
    /// XML.
    Xml,
    /// iPXE's script language.
    Ipxe,
    /// GRUB's script language.
    Grub,
    /// JSON.
    Json,
}

/// Why a value cannot stand in a format.
pub type QuoteError = String;

/// A word of a POSIX shell: always in single quotes.
pub fn shell(text: &str) -> Result<String, QuoteError> {
    if text.contains('\0') {
        return Err("a shell word cannot hold a NUL".into());
    }
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// A word of a kickstart command, of Anaconda and of ESXi alike: both split lines as Python's shlex does.
pub fn kickstart(text: &str) -> Result<String, QuoteError> {
    single_line(text, "a kickstart command")?;
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-$".contains(&byte);
    if !text.is_empty() && text.bytes().all(bare) && !text.starts_with('%') {
        return Ok(text.into());
    }
    // Inside double quotes shlex takes a backslash for special before these two alone.
    Ok(format!(
        "\"{}\"",
        text.replace('\\', r"\\").replace('"', "\\\"")
    ))
}

/// The value of a preseed line: everything up to the end of the line.
pub fn preseed(text: &str) -> Result<String, QuoteError> {
    single_line(text, "a preseed line")?;
    if text.ends_with('\\') {
        return Err("a preseed line that ends with a backslash goes on in the next one".into());
    }
    if text.trim() != text {
        return Err("blanks at the ends of a preseed value get lost".into());
    }
    Ok(text.into())
}

/// A scalar of YAML, in double quotes.
pub fn yaml(text: &str) -> Result<String, QuoteError> {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            // YAML takes the first three for line breaks; the last two are no printable characters.
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

/// Text or an attribute's value of XML.
pub fn xml(text: &str) -> Result<String, QuoteError> {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => quoted.push_str("&amp;"),
            '<' => quoted.push_str("&lt;"),
            '>' => quoted.push_str("&gt;"),
            '"' => quoted.push_str("&quot;"),
            '\'' => quoted.push_str("&apos;"),
            // A parser turns these into blanks inside of attributes unless they are written so.
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

/// Words of an iPXE command. iPXE knows no quotes, so blanks part words.
pub fn ipxe(text: &str) -> Result<String, QuoteError> {
    single_line(text, "an iPXE command")?;
    if text.contains("${") {
        return Err("iPXE takes `${` for a variable of its own and has no way to write it".into());
    }
    // Its shell takes these for operators and comments where they stand as a word (src/core/exec.c).
    if text
        .split_whitespace()
        .any(|word| word.starts_with('#') || ["||", "&&", ";"].contains(&word))
    {
        return Err("iPXE takes a word that is `||`, `&&` or `;`, or that begins with `#`, for a part of the script".into());
    }
    Ok(text.into())
}

/// A word of a GRUB command: in single quotes, which nothing inside of can end (GRUB manual, section 6.2).
pub fn grub(text: &str) -> Result<String, QuoteError> {
    single_line(text, "a GRUB command")?;
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
    if !text.is_empty() && text.bytes().all(bare) {
        return Ok(text.into());
    }
    if text.contains('\'') {
        return Err("GRUB has no way to write a single quote inside of single quotes".into());
    }
    Ok(format!("'{text}'"))
}

/// A string of JSON.
pub fn json(text: &str) -> Result<String, QuoteError> {
    Ok(serde_json::Value::from(text).to_string())
}

/// Quotes for a format.
pub fn quote(text: &str, format: FileFormat) -> Result<String, QuoteError> {
    match format {
        FileFormat::Plain => {
            Err("this file names no `quoting` in its task.toml: use a filter such as `sh`".into())
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

/// A here-document that holds `text` whole, with a last line that does not occur in it.
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

/// Says why `text`, which begins in the middle of a line, would end the section of a script that it stands in.
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

/// Words that end a script section of ESXi's kickstart dialect wherever a line begins with them.
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

/// Returns the word by which a line ends a script section of ESXi. `%end` does not: it becomes part of the
/// script, which is no better.
pub fn esxi_section(line: &str) -> Option<&'static str> {
    ESXI_SECTIONS
        .into_iter()
        .find(|word| line.starts_with(word))
}

fn single_line(text: &str, what: &str) -> Result<(), QuoteError> {
    if text.contains(['\n', '\r']) {
        return Err(format!("{what} is one line"));
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
    fn a_kickstart_word_comes_back_whole_or_is_refused() {
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
    fn a_shell_word_comes_back_whole() {
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
    fn json_and_yaml_come_back_whole() {
        for text in HOSTILE {
            assert_eq!(
                serde_json::from_str::<String>(&json(text).unwrap()).unwrap(),
                text
            );
            // What we write as YAML keeps to the part that JSON can read as well.
            assert_eq!(
                serde_json::from_str::<String>(&yaml(text).unwrap()).unwrap(),
                text
            );
        }
        assert_eq!(yaml("a\u{2028}b").unwrap(), r#""a\u2028b""#);
    }

    #[test]
    fn xml_has_no_markup_left() {
        for text in HOSTILE {
            match xml(text) {
                Ok(quoted) => assert!(!quoted.contains(['<', '>', '"', '\'', '\n']), "{quoted}"),
                Err(_) => assert!(text.contains('\u{7}')),
            }
        }
        assert_eq!(xml("<&>").unwrap(), "&lt;&amp;&gt;");
    }

    #[test]
    fn preseed_and_ipxe_refuse_what_they_cannot_say() {
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
    fn a_heredoc_ends_where_its_text_does() {
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
    fn no_refusal_repeats_the_value() {
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
