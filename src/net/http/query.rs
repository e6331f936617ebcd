//! Escapes, texts from outside, and the parameters of `/boot`.

use std::{borrow::Cow, sync::Arc};

use serde::{
    Deserialize,
    de::value::{Error, StrDeserializer},
};

use crate::{control::Report, model::Mac};

use super::{BootRequest, Peer};

/// Texts longer than this come from no firmware.
const LONGEST: usize = 256;

/// More cards than this has no machine.
const MOST_MACS: usize = 64;

/// Reads the parameters of `/boot`. What cannot be read is left out and named in [`BootRequest::dropped`]; a
/// single-valued parameter that is given twice is an error, since it could have slipped in through a text
/// that iPXE did not escape.
pub fn boot_ask(query: &str, peer: Peer, base: Arc<str>) -> Result<BootRequest, String> {
    let mut ask = empty(peer, base);
    for pair in query.split('&') {
        let (key, raw) = pair.split_once('=').unwrap_or((pair, ""));
        match parameter(key, raw) {
            Ok(None) => {}
            Ok(Some((name, text))) => take(&mut ask, name, text)?,
            Err(reason) => ask.dropped.push(format!("{}: {reason}", shown(pair))),
        }
    }
    Ok(ask)
}

fn empty(peer: Peer, base: Arc<str>) -> BootRequest {
    BootRequest {
        report: Report::default(),
        boot: None,
        dropped: Vec::new(),
        peer,
        base,
    }
}

/// Returns a parameter's name and text, nothing when it is empty or none of ours.
fn parameter<'a>(key: &'a str, raw: &str) -> Result<Option<(&'a str, String)>, &'static str> {
    let (name, bytes) = match key {
        "mac" | "uuid" | "platform" | "arch" | "boot" | "serial" | "asset" | "manufacturer"
        | "product" => (key, unescaped(raw)),
        "serial-hex" | "asset-hex" | "manufacturer-hex" | "product-hex" => {
            let digits = unescaped(raw);
            let bytes = from_hex(&digits).ok_or("not pairs of hexadecimal digits")?;
            (key.trim_end_matches("-hex"), bytes.into())
        }
        _ => return Ok(None),
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| "not UTF-8")?;
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    if text.chars().any(char::is_control) {
        return Err("holds control characters");
    }
    if text.len() > LONGEST {
        return Err("too long");
    }
    Ok((!text.is_empty()).then(|| (name, text.into())))
}

/// Puts one parameter in its place.
fn take(ask: &mut BootRequest, name: &str, text: String) -> Result<(), String> {
    let dropped = |what| format!("{name}={}: {what}", shown(&text));
    let again = match name {
        "mac" => {
            match text.parse::<Mac>() {
                Ok(mac) if ask.report.macs.contains(&mac) => {}
                Ok(_) if ask.report.macs.len() == MOST_MACS => {
                    ask.dropped.push(dropped("too many"))
                }
                Ok(mac) => ask.report.macs.push(mac),
                Err(_) => ask.dropped.push(dropped("not a MAC address")),
            }
            false
        }
        "platform" => match word(&text) {
            Some(platform) => ask.report.platform.replace(platform).is_some(),
            None => dropping(ask, dropped("not a platform: expected pcbios or efi")),
        },
        "arch" => match word(&text) {
            Some(arch) => ask.report.arch.replace(arch).is_some(),
            None => dropping(
                ask,
                dropped("not an architecture: expected i386, x86_64 or arm64"),
            ),
        },
        "serial" => ask.report.serial.replace(text).is_some(),
        "uuid" => ask.report.uuid.replace(text).is_some(),
        "asset" => ask.report.asset.replace(text).is_some(),
        "manufacturer" => ask.report.manufacturer.replace(text).is_some(),
        "product" => ask.report.product.replace(text).is_some(),
        _ => ask.boot.replace(text).is_some(),
    };
    if again {
        return Err(format!("`{name}` is given twice"));
    }
    Ok(())
}

fn dropping(ask: &mut BootRequest, why: String) -> bool {
    ask.dropped.push(why);
    false
}

/// Reads one of a type's words, as its serde form spells them.
fn word<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    // Which word was wanted is said by the caller.
    T::deserialize(StrDeserializer::<Error>::new(text)).ok()
}

/// Shortens a text from outside and makes it safe to print.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    short.escape_debug().to_string()
}

/// Resolves `%41`. A percent sign without two digits stands for itself, and `+` is a plus: iPXE sends both
/// as they are.
pub(super) fn unescaped(text: &str) -> Cow<'_, [u8]> {
    unescaped_bytes(text.as_bytes())
}

/// The same of bytes that may be no text.
pub(super) fn unescaped_bytes(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.contains(&b'%') {
        return bytes.into();
    }
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        let escape = (byte == b'%').then(|| after.get(..2).and_then(from_hex));
        match escape.flatten() {
            Some(escaped) => {
                plain.extend(escaped);
                rest = &after[2..];
            }
            None => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    plain.into()
}

/// Reads a text that a machine tells people: escapes are resolved, control characters become blanks, and
/// it ends after `longest` characters.
pub(super) fn told(raw: &[u8], longest: usize) -> String {
    let text = String::from_utf8_lossy(raw);
    let text = text.trim().chars().take(longest);
    text.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Returns the first value of `key` in a query that has one, its escapes resolved.
pub(super) fn value<'a>(query: Option<&'a str>, key: &str) -> Option<Cow<'a, [u8]>> {
    let pairs = query.unwrap_or_default().split('&');
    let mut values = pairs.filter_map(|pair| pair.split_once('=').filter(|(name, _)| *name == key));
    values.next().map(|(_, raw)| unescaped(raw))
}

fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::model::{Arch, Platform};

    use super::*;

    fn read(query: &str) -> Result<BootRequest, String> {
        let end = "192.0.2.1:80".parse().unwrap();
        let peer = Peer {
            address: end,
            local: end,
        };
        boot_ask(query, peer, "http://192.0.2.1".into())
    }

    #[test]
    fn everything_that_ipxe_says_is_read() {
        let ask = read(
            "mac=00-50-56-aa-bb-01&mac=&mac=00%3A50%3a56%3Aaa%3Abb%3A02&mac=005056aabb01&uuid=4c4c4544-0042\
             &serial-hex=435a203132&asset=&manufacturer=Dell+Inc.%20%C3%A9&product-hex=\
             &platform=efi&arch=x86_64&boot=abc&netx=ignored",
        )
        .unwrap();
        let macs: Vec<String> = ask.report.macs.iter().map(Mac::to_string).collect();
        assert_eq!(macs, ["00:50:56:aa:bb:01", "00:50:56:aa:bb:02"]);
        assert_eq!(ask.report.uuid.as_deref(), Some("4c4c4544-0042"));
        assert_eq!(ask.report.serial.as_deref(), Some("CZ 12"));
        assert_eq!(ask.report.manufacturer.as_deref(), Some("Dell+Inc. é"));
        assert_eq!((ask.report.asset, ask.report.product), (None, None));
        assert_eq!(ask.report.platform, Some(Platform::Efi));
        assert_eq!(ask.report.arch, Some(Arch::X86_64));
        assert_eq!(ask.boot.as_deref(), Some("abc"));
        assert_eq!(ask.dropped, Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_read_is_dropped_with_the_reason() {
        for (query, dropped) in [
            (
                "serial-hex=4",
                "serial-hex=4: not pairs of hexadecimal digits",
            ),
            (
                "serial-hex=zz",
                "serial-hex=zz: not pairs of hexadecimal digits",
            ),
            ("serial-hex=ff", "serial-hex=ff: not UTF-8"),
            ("asset=%ff", "asset=%ff: not UTF-8"),
            ("asset=a%00b", "asset=a%00b: holds control characters"),
            ("mac=00:50", "mac=00:50: not a MAC address"),
            (
                "platform=xbox",
                "platform=xbox: not a platform: expected pcbios or efi",
            ),
            (
                "arch=vax",
                "arch=vax: not an architecture: expected i386, x86_64 or arm64",
            ),
        ] {
            assert_eq!(read(query).unwrap().dropped, [dropped], "{query}");
        }
        let long = read(&format!("serial={}", "x".repeat(300))).unwrap();
        assert_eq!((long.report.serial, long.dropped.len()), (None, 1));
    }

    #[test]
    fn a_single_value_given_twice_is_refused() {
        for query in [
            "serial=a&serial=b",
            "serial=a&serial-hex=62",
            "arch=i386&arch=i386",
        ] {
            let name = query.split('=').next().unwrap();
            assert_eq!(
                read(query),
                Err(format!("`{name}` is given twice")),
                "{query}"
            );
        }
        assert_eq!(
            read("serial=&serial=b").unwrap().report.serial.as_deref(),
            Some("b")
        );
    }

    #[test]
    fn a_percent_sign_without_digits_stands_for_itself() {
        for (text, plain) in [
            ("a%20b", "a b"),
            ("100%", "100%"),
            ("%zz%4", "%zz%4"),
            ("%2520", "%20"),
        ] {
            assert_eq!(unescaped(text), plain.as_bytes(), "{text}");
        }
    }

    #[test]
    fn what_is_told_holds_no_control_characters() {
        assert_eq!(told(b" a\x1b[31m\nb\xff ", 100), "a [31m b\u{fffd}");
        assert_eq!(told(b"abcdef", 3), "abc");
    }
}
