//! Parses every rendered file by its format, as what reads it on the machine will.
//!
//! Templates of the site may produce anything. A mistake that only the machine's installer finds may be found after the disk
//! has been wiped.

use std::{collections::BTreeSet, fmt};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::site::Diagnostic;

use super::{super::quote::FileFormat, kickstart, preseed, shell, yaml};

/// Checks one file of a machine.
pub(super) fn check(name: &str, format: FileFormat, text: &str) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = characters(text)
        .into_iter()
        .map(|(line, message)| error(name, line, &message))
        .collect();
    // A file without a declared format has that of its name.
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    let parsed = match (format, ending) {
        (FileFormat::Yaml, _) | (FileFormat::Plain, Some("yaml" | "yml")) => {
            yaml::mistake(text).into_iter().collect()
        }
        (FileFormat::Json, _) | (FileFormat::Plain, Some("json" | "ign")) => {
            json(text).into_iter().collect()
        }
        (FileFormat::Xml, _) | (FileFormat::Plain, Some("xml")) => xml(text).into_iter().collect(),
        (FileFormat::Plain, Some("toml")) => toml(text).into_iter().collect(),
        (FileFormat::Kickstart, _) => kickstart::mistakes(text),
        (FileFormat::Preseed, _) => {
            found.extend(preseed::check(name, text));
            Vec::new()
        }
        _ => Vec::new(),
    };
    let parsed = parsed.iter();
    found.extend(parsed.map(|(line, message)| error(name, *line, message)));
    found
}

/// Warns about a mistake in the syntax of a shell script, or of a section of a kickstart.
pub(super) fn shell_warning(name: &str, format: FileFormat, text: &str) -> Vec<Diagnostic> {
    let found = match format {
        FileFormat::Shell => shell::mistake(text).into_iter().collect(),
        FileFormat::Kickstart => kickstart::script_mistakes(text),
        _ => Vec::new(),
    };
    let warning = |(line, message): (usize, String)| {
        Diagnostic::warning(format!("{name}, line {line}: {message}"), None)
    };
    found.into_iter().map(warning).collect()
}

fn error(name: &str, line: usize, message: &str) -> Diagnostic {
    Diagnostic::error(format!("{name}, line {line}: {message}"), None)
}

/// Characters that no text of an installer has.
fn characters(text: &str) -> Option<(usize, String)> {
    let line_of = |at: usize| text[..at].matches('\n').count() + 1;
    if text.starts_with('\u{feff}') {
        return Some((1, "it begins with a byte order mark".into()));
    }
    let nul = text
        .find('\0')
        .map(|at| (line_of(at), "a NUL character".into()));
    let carriage = || {
        let mut all = text.match_indices('\r');
        let (at, _) = all.find(|(at, _)| text[at + 1..].starts_with('\n'))?;
        Some((
            line_of(at),
            "a carriage return at the end of the line".into(),
        ))
    };
    nul.or_else(carriage)
}

/// Returns the first mistake of a JSON text.
fn json(text: &str) -> Option<(usize, String)> {
    let error = serde_json::from_str::<UniqueKeys>(text).err()?;
    let message = error.to_string();
    // The message ends with the place, which is shown already.
    let message = message.split(" at line ").next().unwrap_or(&message);
    Some((error.line(), message.to_owned()))
}

fn xml(text: &str) -> Option<(usize, String)> {
    let options = roxmltree::ParsingOptions {
        allow_dtd: true,
        ..Default::default()
    };
    let error = roxmltree::Document::parse_with_options(text, options).err()?;
    let message = error.to_string();
    let message = message.split(" at ").next().unwrap_or(&message);
    Some((error.pos().row as usize, message.to_owned()))
}

fn toml(text: &str) -> Option<(usize, String)> {
    let error = text.parse::<toml::Table>().err()?;
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text.as_bytes()[..at]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
        + 1;
    Some((line, error.message().to_owned()))
}

/// Any JSON whose tables have no key twice.
struct UniqueKeys;

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueKeys)
    }
}

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = UniqueKeys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }

    fn visit_i64<E>(self, _: i64) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }

    fn visit_u64<E>(self, _: u64) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }

    fn visit_f64<E>(self, _: f64) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }

    fn visit_str<E>(self, _: &str) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }

    fn visit_unit<E>(self) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<UniqueKeys, A::Error> {
        while items.next_element::<UniqueKeys>()?.is_some() {}
        Ok(UniqueKeys)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<UniqueKeys, A::Error> {
        let mut keys = BTreeSet::new();
        while let Some((key, _)) = entries.next_entry::<String, UniqueKeys>()? {
            if let Some(twice) = keys.replace(key) {
                let message = format!("duplicate key `{twice}`");
                return Err(serde::de::Error::custom(message));
            }
        }
        Ok(UniqueKeys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_its_reader_refuses_is_an_error_with_its_line() {
        for (name, format, text, expected) in [
            ("order.json", FileFormat::Json, "{\n\"a\": 1}\n", None),
            (
                "order.json",
                FileFormat::Json,
                "{\n\"a\": 1,\n\"a\": 2}",
                Some("order.json, line 3: duplicate key `a`"),
            ),
            (
                "x.json",
                FileFormat::Plain,
                "{\"a\": [{\"b\": 1, \"b\": 1}]}",
                Some("x.json, line 1: duplicate key `b`"),
            ),
            (
                "x.json",
                FileFormat::Plain,
                "{\n\"a\": 1,\n}",
                Some("x.json, line 3: trailing comma"),
            ),
            (
                "x.ign",
                FileFormat::Plain,
                "",
                Some("x.ign, line 1: EOF while parsing a value"),
            ),
            ("a.toml", FileFormat::Plain, "a = 1\nb = 2\n", None),
            (
                "a.toml",
                FileFormat::Plain,
                "a = 1\na = 2\n",
                Some("a.toml, line 2: duplicate key"),
            ),
            (
                "a.toml",
                FileFormat::Plain,
                "a = 1\nb =\n",
                Some("a.toml, line 2: string values must be quoted, expected literal string"),
            ),
            ("a.xml", FileFormat::Xml, "<a>\n<b/>\n</a>\n", None),
            (
                "a.xml",
                FileFormat::Xml,
                "<a>\n<b>\n</a>\n",
                Some("a.xml, line 3: expected 'b' tag, not 'a'"),
            ),
            (
                "a.xml",
                FileFormat::Plain,
                "<a x=\"1\" x=\"2\"/>",
                Some("a.xml, line 1: attribute 'x'"),
            ),
            (
                "user-data",
                FileFormat::Yaml,
                "a: 1\na: 2\n",
                Some("user-data, line 2: duplicate key `a`"),
            ),
            ("meta.yml", FileFormat::Plain, "a: [1\n", Some("")),
            (
                "ks.cfg",
                FileFormat::Kickstart,
                "text\n%post\n",
                Some("ks.cfg, line 2: `%post` has no `%end`"),
            ),
            (
                "late.sh",
                FileFormat::Shell,
                "#!/bin/sh\r\n",
                Some("late.sh, line 1: a carriage return at the end of the line"),
            ),
            ("late.sh", FileFormat::Shell, "printf 'a\rb'\n", None),
            (
                "a.txt",
                FileFormat::Plain,
                "a\n\0",
                Some("a.txt, line 2: a NUL character"),
            ),
            (
                "a.txt",
                FileFormat::Plain,
                "\u{feff}a",
                Some("a.txt, line 1: it begins with a byte order mark"),
            ),
            ("a.txt", FileFormat::Plain, "a: 1\na: 2\n", None),
        ] {
            let found = check(name, format, text);
            let first = found.first().map(|one| one.message.as_str());
            match expected {
                Some("") => assert!(first.is_some(), "{name}: {text:?}"),
                expected => assert_eq!(first, expected, "{name}: {text:?}"),
            }
        }
    }

    #[test]
    fn entities_of_entities_do_not_grow_without_bound() {
        let mut text = String::from("<!DOCTYPE a [<!ENTITY e0 \"x\">");
        for level in 1..20 {
            let inner = format!("&e{};", level - 1).repeat(10);
            text += &format!("<!ENTITY e{level} \"{inner}\">");
        }
        text += "]><a>&e19;</a>";
        assert_eq!(check("a.xml", FileFormat::Xml, &text).len(), 1);
    }
}
