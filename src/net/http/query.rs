//! Percent-decoding, text from clients, and the parameters of `/boot`.

use std::{borrow::Cow, sync::Arc};

use serde::{
    Deserialize,
    de::value::{Error, StrDeserializer},
};

use crate::{control::Report, model::Mac};

use super::{BootRequest, Peer};

/// The longest value of a parameter in bytes.
const MAX_VALUE: usize = 256;

/// The most MACs of one machine.
const MAX_MACS: usize = 64;

/// Parses the parameters of `/boot`. An invalid parameter is ignored and listed in [`BootRequest::ignored`]. A parameter
/// with a single value that occurs twice is an error: it may come from a text that iPXE did not encode.
pub fn boot_request(query: &str, peer: Peer, base: Arc<str>) -> Result<BootRequest, String> {
    let mut request = empty(peer, base);
    for pair in query.split('&') {
        let (key, raw) = pair.split_once('=').unwrap_or((pair, ""));
        match parameter(key, raw) {
            Ok(None) => {}
            Ok(Some((name, text))) => set(&mut request, name, text)?,
            Err(reason) => request.ignored.push(format!("{}: {reason}", printed(pair))),
        }
    }
    Ok(request)
}

/// Writes the parameters of `/boot` as they were received, for a script that requests it again.
pub fn boot_query(ask: &BootRequest) -> String {
    let macs = ask
        .report
        .macs
        .iter()
        .map(|mac| format!("mac={}", mac.hyphens()));
    let hex = |name: &str, text: &Option<String>| {
        let text = text.as_deref()?;
        Some(format!(
            "{name}-hex={}",
            text.bytes()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        ))
    };
    let texts = [
        hex("serial", &ask.report.serial),
        hex("asset", &ask.report.asset),
        hex("manufacturer", &ask.report.manufacturer),
        hex("product", &ask.report.product),
        ask.report
            .uuid
            .as_ref()
            .filter(|uuid| {
                uuid.bytes()
                    .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
            })
            .map(|uuid| format!("uuid={uuid}")),
        ask.report
            .platform
            .map(|platform| format!("platform={platform}")),
        ask.report.arch.map(|arch| format!("arch={arch}")),
        ask.boot
            .as_ref()
            .filter(|boot| boot.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            .map(|boot| format!("boot={boot}")),
    ];
    macs.chain(texts.into_iter().flatten())
        .collect::<Vec<_>>()
        .join("&")
}

fn empty(peer: Peer, base: Arc<str>) -> BootRequest {
    BootRequest {
        report: Report::default(),
        boot: None,
        ignored: Vec::new(),
        peer,
        base,
    }
}

/// Returns a parameter's name and text; none when it is empty or not used.
fn parameter<'a>(key: &'a str, raw: &str) -> Result<Option<(&'a str, String)>, &'static str> {
    let (name, bytes) = match key {
        "mac" | "uuid" | "platform" | "arch" | "boot" | "serial" | "asset" | "manufacturer"
        | "product" => (key, percent_decoded(raw.as_bytes())),
        "serial-hex" | "asset-hex" | "manufacturer-hex" | "product-hex" => {
            let digits = percent_decoded(raw.as_bytes());
            let bytes = from_hex(&digits).ok_or("not pairs of hexadecimal digits")?;
            (key.trim_end_matches("-hex"), bytes.into())
        }
        _ => return Ok(None),
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| "not UTF-8")?;
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    if text.chars().any(char::is_control) {
        return Err("contains control characters");
    }
    if text.len() > MAX_VALUE {
        return Err("too long");
    }
    Ok((!text.is_empty()).then(|| (name, text.into())))
}

/// Sets a parameter.
fn set(request: &mut BootRequest, name: &str, text: String) -> Result<(), String> {
    let invalid = |reason| format!("{name}={}: {reason}", printed(&text));
    let is_repeated = match name {
        "mac" => {
            match text.parse::<Mac>() {
                Ok(mac) if request.report.macs.contains(&mac) => {}
                Ok(_) if request.report.macs.len() == MAX_MACS => {
                    request.ignored.push(invalid("too many"))
                }
                Ok(mac) => request.report.macs.push(mac),
                Err(_) => request.ignored.push(invalid("not a MAC address")),
            }
            false
        }
        "platform" => match keyword(&text) {
            Some(platform) => request.report.platform.replace(platform).is_some(),
            None => ignore(request, invalid("not a platform: expected pcbios or efi")),
        },
        "arch" => match keyword(&text) {
            Some(arch) => request.report.arch.replace(arch).is_some(),
            None => ignore(
                request,
                invalid("not an architecture: expected i386, x86_64 or arm64"),
            ),
        },
        "serial" => request.report.serial.replace(text).is_some(),
        "uuid" => request.report.uuid.replace(text).is_some(),
        "asset" => request.report.asset.replace(text).is_some(),
        "manufacturer" => request.report.manufacturer.replace(text).is_some(),
        "product" => request.report.product.replace(text).is_some(),
        _ => request.boot.replace(text).is_some(),
    };
    if is_repeated {
        return Err(format!("`{name}` is given twice"));
    }
    Ok(())
}

fn ignore(request: &mut BootRequest, reason: String) -> bool {
    request.ignored.push(reason);
    false
}

/// Parses a keyword of an enum, as in its serde form.
fn keyword<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    // The caller lists the valid keywords.
    T::deserialize(StrDeserializer::<Error>::new(text)).ok()
}

/// Shortens a client's text and escapes it for the log.
fn printed(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    short.escape_debug().to_string()
}

/// Decodes percent-encoding. A percent sign without two digits and `+` stand for themselves: iPXE sends both
/// unencoded.
pub(super) fn percent_decoded(bytes: &[u8]) -> Cow<'_, [u8]> {
    percent_encoding::percent_decode(bytes).into()
}

/// Reads a machine's text for display: trimmed, control characters replaced by spaces, cut to `max` characters.
pub(super) fn printable(raw: &[u8], max: usize) -> String {
    let text = String::from_utf8_lossy(raw);
    let text = text.trim().chars().take(max);
    text.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Returns the first value of `key` in a query, percent-decoded.
pub(super) fn value<'a>(query: Option<&'a str>, key: &str) -> Option<Cow<'a, [u8]>> {
    let pairs = query.unwrap_or_default().split('&');
    let mut values = pairs.filter_map(|pair| pair.split_once('=').filter(|(name, _)| *name == key));
    let (_, raw) = values.next()?;
    Some(percent_decoded(raw.as_bytes()))
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
        boot_request(query, peer, "http://192.0.2.1".into())
    }

    #[test]
    fn all_parameters_of_ipxe_are_parsed() {
        let request = read(
            "mac=00-50-56-aa-bb-01&mac=&mac=00%3A50%3a56%3Aaa%3Abb%3A02&mac=005056aabb01&uuid=4c4c4544-0042\
             &serial-hex=435a203132&asset=&manufacturer=Dell+Inc.%20%C3%A9&product-hex=\
             &platform=efi&arch=x86_64&boot=abc&netx=ignored",
        )
        .unwrap();
        let macs: Vec<String> = request.report.macs.iter().map(Mac::to_string).collect();
        assert_eq!(macs, ["00:50:56:aa:bb:01", "00:50:56:aa:bb:02"]);
        assert_eq!(request.report.uuid.as_deref(), Some("4c4c4544-0042"));
        assert_eq!(request.report.serial.as_deref(), Some("CZ 12"));
        assert_eq!(request.report.manufacturer.as_deref(), Some("Dell+Inc. é"));
        assert_eq!((request.report.asset, request.report.product), (None, None));
        assert_eq!(request.report.platform, Some(Platform::Efi));
        assert_eq!(request.report.arch, Some(Arch::X86_64));
        assert_eq!(request.boot.as_deref(), Some("abc"));
        assert_eq!(request.ignored, Vec::<String>::new());
    }

    #[test]
    fn an_invalid_parameter_is_ignored_with_the_reason() {
        for (query, ignored) in [
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
            ("asset=a%00b", "asset=a%00b: contains control characters"),
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
            assert_eq!(read(query).unwrap().ignored, [ignored], "{query}");
        }
        let long = read(&format!("serial={}", "x".repeat(300))).unwrap();
        assert_eq!((long.report.serial, long.ignored.len()), (None, 1));
    }

    #[test]
    fn a_repeated_single_value_is_an_error() {
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
            assert_eq!(percent_decoded(text.as_bytes()), plain.as_bytes(), "{text}");
        }
    }

    #[test]
    fn printable_text_has_no_control_characters() {
        assert_eq!(printable(b" a\x1b[31m\nb\xff ", 100), "a [31m b\u{fffd}");
        assert_eq!(printable(b"abcdef", 3), "abc");
    }
}
