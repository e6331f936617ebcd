//! Classifies a value without quotes, for messages.

use std::net::IpAddr;

use crate::model::{AddressRange, ByteSize, HostAddress, Mac, TimeSpan};

/// Returns the kind of a value, by its form.
pub(crate) fn kind_of(word: &str) -> &'static str {
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
