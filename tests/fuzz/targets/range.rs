//! Any bytes as the headers of a range request, and any length: no panic, and the returned part is not empty, is
//! within the file, and is the one that a simple byte-by-byte implementation returns.
#![no_main]

use bootwright::net::http::{FileVersion, RequestedPart, requested_part};
use hyper::{
    HeaderMap, Method,
    header::{HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE},
};

const ETAG: &str = "\"5a-1f\"";

/// How many bytes of a large file are compared, at each end.
const LOOKED_AT: u64 = 300;

// The first line is the length. Each further line is a header: the first letter of its name, and its value.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let length = length(lines.next().unwrap_or_default());
    let mut headers = HeaderMap::new();
    for line in lines.take(8) {
        let [letter, value @ ..] = line else { continue };
        let Ok(value) = HeaderValue::from_bytes(value) else {
            continue;
        };
        headers.append(name(*letter), value);
    }
    let version = FileVersion {
        etag: Some(ETAG),
        modified: None,
    };
    let answer = requested_part(&Method::GET, &headers, version, length);
    let ranges: Vec<&[u8]> = all(&headers, &RANGE);
    match (answer, ranges.as_slice()) {
        (RequestedPart::PreconditionFailed, _) => assert!(headers.contains_key(IF_MATCH)),
        (RequestedPart::NotModified, _) => assert!(headers.contains_key(IF_NONE_MATCH)),
        (answer, [range]) if may_go_on(&headers) => compare(answer, range, length),
        (answer, _) => assert_eq!(answer, RequestedPart::Whole),
    }
    let head = requested_part(&Method::HEAD, &headers, version, length);
    assert!(!matches!(
        head,
        RequestedPart::Part { .. } | RequestedPart::NotSatisfiable
    ));
});

/// Digits are a length; other bytes are counted.
fn length(line: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(line);
    text.trim().parse().unwrap_or(line.len() as u64)
}

fn name(letter: u8) -> HeaderName {
    match letter {
        b'i' => IF_RANGE,
        b'm' => IF_MATCH,
        b'n' => IF_NONE_MATCH,
        _ => RANGE,
    }
}

fn all<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect()
}

fn may_go_on(headers: &HeaderMap) -> bool {
    match all(headers, &IF_RANGE).as_slice() {
        [] => true,
        [one] => String::from_utf8_lossy(one).trim_matches([' ', '\t']) == ETAG,
        _ => false,
    }
}

/// Compares the returned part with the meaning of the header for single bytes.
fn compare(answer: RequestedPart, range: &[u8], length: u64) {
    let Some(range) = Slow::read(range) else {
        assert_eq!(answer, RequestedPart::Whole);
        return;
    };
    match answer {
        RequestedPart::Part { start, end } => {
            assert!(start < end && end <= length);
            assert!(range.has(start, length) && range.has(end - 1, length));
            assert!(start == 0 || !range.has(start - 1, length));
            assert!(end == length || !range.has(end, length));
        }
        RequestedPart::NotSatisfiable => {
            let near = 0..length.min(LOOKED_AT);
            let far = length.saturating_sub(LOOKED_AT)..length;
            assert!(near.chain(far).all(|at| !range.has(at, length)));
        }
        // The end of an empty file.
        RequestedPart::Whole => assert!(length == 0 && matches!(range, Slow::Last(_))),
        RequestedPart::PreconditionFailed | RequestedPart::NotModified => {
            unreachable!("they were looked at before")
        }
    }
}

/// A range with its numbers as written.
enum Slow {
    From(String),
    Between(String, String),
    Last(String),
}

impl Slow {
    /// Parses the only range of a header; none if there are several, or it is invalid.
    fn read(header: &[u8]) -> Option<Slow> {
        let text = String::from_utf8(header.to_vec()).ok()?;
        let text = text.trim_matches([' ', '\t']);
        let (unit, list) = text.split_once('=')?;
        if unit.to_lowercase() != "bytes" {
            return None;
        }
        let listed = list.split(',').map(|one| one.trim_matches([' ', '\t']));
        let listed: Vec<&str> = listed.filter(|one| !one.is_empty()).collect();
        let [one] = listed.as_slice() else {
            return None;
        };
        let (first, last) = one.split_once('-')?;
        let digits = "0123456789";
        if !format!("{first}{last}")
            .chars()
            .all(|digit| digits.contains(digit))
        {
            return None;
        }
        match (first, last) {
            ("", "") => None,
            ("", count) => Some(Slow::Last(count.into())),
            (first, "") => Some(Slow::From(first.into())),
            (first, last) if is_at_most(first, last) => {
                Some(Slow::Between(first.into(), last.into()))
            }
            _ => None,
        }
    }

    /// Whether the byte at `at` is requested.
    fn has(&self, at: u64, length: u64) -> bool {
        let number = at.to_string();
        match self {
            Slow::From(first) => at < length && is_at_most(first, &number),
            Slow::Between(first, last) => {
                at < length && is_at_most(first, &number) && is_at_most(&number, last)
            }
            Slow::Last(count) => at < length && is_at_most(&(length - at).to_string(), count),
        }
    }
}

/// Compares numbers of any size, digit by digit.
fn is_at_most(one: &str, other: &str) -> bool {
    let width = one.len().max(other.len());
    format!("{one:0>width$}") <= format!("{other:0>width$}")
}
