//! Words without quotes: which of them KDL takes, and what the others were meant to be.

use std::net::IpAddr;

use crate::model::{AddressRange, ByteSize, HostAddress, Mac, TimeSpan};

use super::lex::{KdlToken, Slip, TokenKind};

/// What is wrong with the first word of a line.
pub(super) fn of_name(name: KdlToken<'_>, next: Option<KdlToken<'_>>) -> Option<Slip> {
    let word = name.text;
    let at = name.at..name.end();
    if word.starts_with('[') {
        let help =
            "in KDL an object is written `policy \"web\" { … }`; a file of TOML is named `….toml`";
        return Some(Slip::new(at, "this is a table header of TOML", help));
    }
    if let Some(mistake) = false_quotes(name) {
        return Some(mistake);
    }
    if word.len() > 1 && word.ends_with(':') {
        return Some(colon(name.end() - 1));
    }
    if word.ends_with(',') {
        return Some(comma(name.end() - 1));
    }
    match next {
        Some(next) if next.kind == TokenKind::Equals => {
            let help = "write the value behind the name with a blank between them; `=` is for properties, such as `policy \"web\" order=10`";
            return Some(Slip::new(
                next.at..next.end(),
                "`=` between a name and its value",
                help,
            ));
        }
        Some(next) if !next.spaced && matches!(next.kind, TokenKind::Quoted | TokenKind::Raw) => {
            return Some(Slip::new(
                next.at..next.end(),
                "a blank is missing here",
                "put a blank between the name and its value",
            ));
        }
        _ => {}
    }
    (!is_identifier(word)).then(|| needs_quotes(name, "this name"))
}

/// What is wrong with a word where a value or the name of a property stands.
pub(super) fn of_value(token: KdlToken<'_>, next: Option<KdlToken<'_>>) -> Option<Slip> {
    let word = token.text;
    let at = token.at..token.end();
    let is_property = next.is_some_and(|next| next.kind == TokenKind::Equals);
    if let Some(mistake) = false_quotes(token) {
        return Some(mistake);
    }
    if word.starts_with('[') || word.ends_with(']') {
        return Some(Slip::new(
            at,
            "a list has no brackets here",
            "write its values one after the other: `tags \"a\" \"b\"`",
        ));
    }
    if word.starts_with(',') || word.ends_with(',') {
        let comma_at = if word.starts_with(',') {
            token.at
        } else {
            token.end() - 1
        };
        return Some(comma(comma_at));
    }
    let lower = word.to_ascii_lowercase();
    match lower.as_str() {
        "true" | "false" | "null" => {
            return Some(Slip::new(
                at,
                format!("`{word}` without `#`"),
                format!("write `#{lower}`"),
            ));
        }
        "inf" | "-inf" | "nan" if word == lower => {
            return Some(Slip::new(
                at,
                format!("`{word}` without `#`"),
                "put it in quotes",
            ));
        }
        _ => {}
    }
    if let Some(next) =
        next.filter(|next| !next.spaced && matches!(next.kind, TokenKind::Quoted | TokenKind::Raw))
    {
        return Some(Slip::new(
            next.at..next.end(),
            "a quote in the middle of a word",
            "put the whole text in quotes",
        ));
    }
    let fits = is_identifier(word) || !is_property && is_number(word);
    (!fits).then(|| needs_quotes(token, what(word)))
}

/// Commas separate nothing in KDL.
pub(super) fn comma(at: usize) -> Slip {
    Slip::new(
        at..at + 1,
        "a comma between values",
        "put only a blank between them",
    )
}

/// `key: value`
pub(super) fn colon(at: usize) -> Slip {
    Slip::new(
        at..at + 1,
        "a colon behind a name",
        "KDL has none: write `name \"value\"`, or `name { … }`",
    )
}

fn false_quotes(token: KdlToken<'_>) -> Option<Slip> {
    let quote = token
        .text
        .char_indices()
        .find(|(_, c)| "“”„‟‘’‚«»".contains(*c));
    if let Some((at, quote)) = quote {
        let at = token.at + at;
        let message = format!("`{quote}` is a typographic quote");
        return Some(Slip::new(
            at..at + quote.len_utf8(),
            message,
            "use the plain one: `\"`",
        ));
    }
    let single = token.text.starts_with('\'') || token.text.starts_with('`');
    single.then(|| {
        Slip::new(
            token.at..token.at + 1,
            "text stands in double quotes here",
            "write `\"…\"`",
        )
    })
}

fn needs_quotes(token: KdlToken<'_>, what: &str) -> Slip {
    let word = token.text;
    let message = format!("{what} without quotes: `{word}`");
    Slip::new(token.at..token.end(), message, "put it in quotes")
}

/// Says what a word that is no KDL was meant to be.
pub(crate) fn what(word: &str) -> &'static str {
    let date = word.len() >= 10
        && word
            .bytes()
            .take(10)
            .enumerate()
            .all(|(at, byte)| match at {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
    match word {
        _ if word.contains("://") => "a URL",
        _ if word.parse::<Mac>().is_ok() => "a MAC address",
        _ if word.parse::<IpAddr>().is_ok() => "an address",
        _ if word.parse::<HostAddress>().is_ok() => "an address with its prefix",
        _ if word.contains('-') && word.parse::<AddressRange>().is_ok() => "a range of addresses",
        _ if date => "a date",
        _ if word.parse::<TimeSpan>().is_ok() => "a span of time",
        _ if word.parse::<ByteSize>().is_ok() => "a size",
        _ if word.starts_with('$') => "a hash",
        _ if is_version(word) => "a version",
        _ if word.contains('/') || word.contains('\\') => "a path",
        _ => "text",
    }
}

fn is_version(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.')
}

/// What KDL takes as text without quotes.
fn is_identifier(word: &str) -> bool {
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    let undotted = unsigned.strip_prefix('.').unwrap_or(unsigned);
    let like_number = undotted.starts_with(|c: char| c.is_ascii_digit());
    let reserved = ["true", "false", "null", "inf", "-inf", "nan"].contains(&word);
    !like_number
        && !reserved
        && !word.contains(['\\', '/', '(', ')', '{', '}', '[', ']', ';', '"', '#', '='])
}

/// What KDL takes as a number.
pub(super) fn is_number(word: &str) -> bool {
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    let digits = |text: &str, radix| {
        text.starts_with(|c: char| c.is_digit(radix))
            && text.chars().all(|c| c.is_digit(radix) || c == '_')
    };
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(rest) = unsigned.strip_prefix(prefix) {
            return digits(rest, radix);
        }
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (
            mantissa,
            exponent.strip_prefix(['+', '-']).unwrap_or(exponent),
        ),
        None => (unsigned, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    [whole, fraction, exponent]
        .iter()
        .all(|part| digits(part, 10))
}
