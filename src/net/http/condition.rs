//! Conditional and range requests (RFC 9110 §13 and §14): which part of a file is sent, if any.
//!
//! A request for several ranges gets the whole file, as RFC 9110 §14.2 allows; no loader or installer sends one.

use std::{cmp::Ordering, time::SystemTime};

use hyper::{
    HeaderMap, Method,
    header::{
        HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
        RANGE,
    },
};

/// The validators of a file (RFC 9110 §8.8).
#[derive(Debug, Clone, Copy, Default)]
pub struct FileVersion<'a> {
    /// A strong entity tag, with its quotes.
    pub etag: Option<&'a str>,
    /// In whole seconds. Only if it is long enough ago that another change gets another time (RFC 9110 §8.8.2.2).
    pub modified: Option<SystemTime>,
}

/// The response to a request for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestedPart {
    Whole,
    /// The bytes from `start` to before `end`, at least one.
    Part {
        start: u64,
        end: u64,
    },
    /// The file does not have the requested part: 416.
    NotSatisfiable,
    /// The client has this version: 304.
    NotModified,
    /// The client requests another version: 412.
    PreconditionFailed,
}

/// Evaluates a request for a file of `length` bytes in this version. The conditions are evaluated in the order of RFC
/// 9110 §13.2.2.
pub fn requested_part(
    method: &Method,
    headers: &HeaderMap,
    version: FileVersion<'_>,
    length: u64,
) -> RequestedPart {
    if precondition_fails(headers, version) {
        return RequestedPart::PreconditionFailed;
    }
    if is_not_modified(headers, version) {
        return RequestedPart::NotModified;
    }
    // A range is only defined for GET, and If-Range cancels it when the file has changed since.
    let stale = headers.contains_key(IF_RANGE) && !if_range_matches(headers, version);
    match single_header(headers, &RANGE) {
        Some(range) if method == Method::GET && !stale => part(range, length),
        _ => RequestedPart::Whole,
    }
}

/// Whether `If-Match` or `If-Unmodified-Since` requires another version. The time only counts without a tag.
fn precondition_fails(headers: &HeaderMap, version: FileVersion<'_>) -> bool {
    if headers.contains_key(IF_MATCH) {
        return !tags(headers, &IF_MATCH).any(|tag| tag == b"*" || is_tag(tag, version));
    }
    let until = single_header(headers, &IF_UNMODIFIED_SINCE).and_then(date);
    let past = version.modified.zip(until);
    past.is_some_and(|(modified, until)| modified > until)
}

/// Whether the client has this version. The time only counts without a tag.
fn is_not_modified(headers: &HeaderMap, version: FileVersion<'_>) -> bool {
    if headers.contains_key(IF_NONE_MATCH) {
        // The weak comparison applies here (RFC 9110 §13.1.2).
        return version.etag.is_some()
            && tags(headers, &IF_NONE_MATCH)
                .any(|tag| tag == b"*" || is_tag(tag.strip_prefix(b"W/").unwrap_or(tag), version));
    }
    let since = single_header(headers, &IF_MODIFIED_SINCE).and_then(date);
    let not_since = version.modified.zip(since);
    not_since.is_some_and(|(modified, since)| modified <= since)
}

/// Whether the validator of `If-Range` is that of this version: the tag by strong comparison, or exactly the time
/// (RFC 9110 §13.1.5). An invalid one matches no version.
fn if_range_matches(headers: &HeaderMap, version: FileVersion<'_>) -> bool {
    single_header(headers, &IF_RANGE).is_some_and(|validator| {
        let is_time = || version.modified.is_some() && version.modified == date(validator);
        is_tag(validator, version) || is_time()
    })
}

fn is_tag(tag: &[u8], version: FileVersion<'_>) -> bool {
    version.etag.is_some_and(|etag| etag.as_bytes() == tag)
}

/// The tags in all lines of a header. A tag that contains a comma is split; this server's tags contain none.
fn tags<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).into_iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',').map(trimmed))
}

/// The value of a header that occurs once. A repeated header that is not a list is invalid and ignored (RFC 9110 §5.3).
fn single_header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).into_iter();
    let line = lines.next()?;
    lines.next().is_none().then(|| trimmed(line.as_bytes()))
}

/// Removes spaces and tabs at both ends, the only white space of HTTP (RFC 9110 §5.6.3).
fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// An invalid date is ignored.
fn date(text: &[u8]) -> Option<SystemTime> {
    let text = str::from_utf8(text).ok()?;
    httpdate::parse_http_date(text).ok()
}

/// Parses one range. Several ranges, another unit or a syntax error select the whole file, which a server may always
/// send.
fn part(range: &[u8], length: u64) -> RequestedPart {
    let Some((first, last)) = single_range(range) else {
        return RequestedPart::Whole;
    };
    let (start, end) = match (number(first), number(last)) {
        (Some(_), Some(_)) if compare(first, last) == Ordering::Greater => {
            return RequestedPart::Whole;
        }
        (Some(first), Some(last)) => (first, last.saturating_add(1)),
        (Some(first), None) => (first, length),
        (None, Some(0)) => return RequestedPart::NotSatisfiable,
        // The last bytes of an empty file are the whole, empty file.
        (None, Some(_)) if length == 0 => return RequestedPart::Whole,
        (None, Some(count)) => (length.saturating_sub(count), length),
        (None, None) => return RequestedPart::Whole,
    };
    if start >= length {
        return RequestedPart::NotSatisfiable;
    }
    RequestedPart::Part {
        start,
        end: end.min(length),
    }
}

/// Parses `bytes=` and a single range: the digits before and after its hyphen. List elements may be empty (RFC 9110
/// §5.6.1.2), and the unit is case-insensitive (§14.1).
fn single_range(range: &[u8]) -> Option<(&[u8], &[u8])> {
    let (unit, set) = range.split_at_checked(b"bytes=".len())?;
    let mut listed = set
        .split(|byte| *byte == b',')
        .map(trimmed)
        .filter(|one| !one.is_empty());
    let one = listed.next()?;
    let hyphen = one.iter().position(|byte| *byte == b'-')?;
    let (first, last) = (&one[..hyphen], &one[hyphen + 1..]);
    let are_digits = first.iter().chain(last).all(u8::is_ascii_digit);
    let is_single = unit.eq_ignore_ascii_case(b"bytes=") && listed.next().is_none();
    (is_single && are_digits).then_some((first, last))
}

/// Parses digits; none if there are none. A number that is too large saturates and is beyond the end of every file.
fn number(digits: &[u8]) -> Option<u64> {
    let add = |sum: u64, digit: &u8| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    };
    (!digits.is_empty()).then(|| digits.iter().fold(0, add))
}

/// Compares two decimal numbers of any length.
fn compare(one: &[u8], other: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| {
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.len() - zeros
    };
    let (size, other_size) = (significant(one), significant(other));
    let ends = || one[one.len() - size..].cmp(&other[other.len() - other_size..]);
    size.cmp(&other_size).then_with(ends)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn of_ten(headers: &[(HeaderName, &[u8])]) -> RequestedPart {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        let version = FileVersion {
            etag: Some("\"v1\""),
            modified: date(b"Sun, 22 Nov 2026 12:00:00 GMT"),
        };
        requested_part(&Method::GET, &map, version, 10)
    }

    #[test]
    fn a_single_range_selects_a_part_and_anything_else_the_whole_file() {
        let part = |start, end| RequestedPart::Part { start, end };
        for (range, wanted) in [
            ("bytes=0-3", part(0, 4)),
            ("bytes=5-", part(5, 10)),
            ("bytes=-3", part(7, 10)),
            ("bytes=-99", part(0, 10)),
            ("bytes=9-9", part(9, 10)),
            ("bytes=9-99999999999999999999999", part(9, 10)),
            ("bytes=-99999999999999999999999", part(0, 10)),
            ("bytes=0000000000000000000000001-01", part(1, 2)),
            ("BYTES=0-3", part(0, 4)),
            ("bytes=,0-3 ,", part(0, 4)),
            ("bytes=0-3, \t,", part(0, 4)),
            ("bytes=10-", RequestedPart::NotSatisfiable),
            ("bytes=10-10", RequestedPart::NotSatisfiable),
            ("bytes=-0", RequestedPart::NotSatisfiable),
            ("bytes=-000", RequestedPart::NotSatisfiable),
            ("bytes=18446744073709551615-", RequestedPart::NotSatisfiable),
            (
                "bytes=99999999999999999999999-",
                RequestedPart::NotSatisfiable,
            ),
            (
                "bytes=88888888888888888888888-99999999999999999999999",
                RequestedPart::NotSatisfiable,
            ),
            (
                "bytes=99999999999999999999999-88888888888888888888888",
                RequestedPart::Whole,
            ),
            ("bytes=3-1", RequestedPart::Whole),
            ("bytes=-", RequestedPart::Whole),
            ("bytes=", RequestedPart::Whole),
            ("bytes", RequestedPart::Whole),
            ("", RequestedPart::Whole),
            ("bytes=,", RequestedPart::Whole),
            ("bytes=1", RequestedPart::Whole),
            ("bytes=+1-2", RequestedPart::Whole),
            ("bytes=0 - 3", RequestedPart::Whole),
            ("bytes=0--3", RequestedPart::Whole),
            ("bytes=--3", RequestedPart::Whole),
            ("bytes=0x1-3", RequestedPart::Whole),
            ("bytes =0-3", RequestedPart::Whole),
            ("bytes:0-3", RequestedPart::Whole),
            ("bytes=0-1,3-4", RequestedPart::Whole),
            ("bytes=0-1,0-1", RequestedPart::Whole),
            ("bytes=0-1,x", RequestedPart::Whole),
            ("bytes=20-,0-1", RequestedPart::Whole),
            ("lines=0-3", RequestedPart::Whole),
            ("byte=0-3", RequestedPart::Whole),
        ] {
            assert_eq!(of_ten(&[(RANGE, range.as_bytes())]), wanted, "{range}");
        }
        let not_ascii = [(RANGE, b"bytes=0-3\xff".as_slice())];
        assert_eq!(of_ten(&not_ascii), RequestedPart::Whole);
        let twice = [(RANGE, b"bytes=0-3".as_slice()), (RANGE, b"bytes=5-6")];
        assert_eq!(of_ten(&twice), RequestedPart::Whole);
    }

    #[test]
    fn a_version_that_the_client_has_is_not_sent_and_no_part_of_another_version() {
        let part = RequestedPart::Part { start: 0, end: 1 };
        let (before, then, after) = (
            "Sun, 22 Nov 2026 11:59:59 GMT",
            "Sun, 22 Nov 2026 12:00:00 GMT",
            "Sun, 22 Nov 2026 12:00:01 GMT",
        );
        for (name, value, wanted) in [
            (IF_MATCH, "\"v1\"", part),
            (IF_MATCH, "\"v0\",\t\"v1\"", part),
            (IF_MATCH, "*", part),
            (IF_MATCH, "\"v0\"", RequestedPart::PreconditionFailed),
            (IF_MATCH, "W/\"v1\"", RequestedPart::PreconditionFailed),
            (IF_MATCH, "v1", RequestedPart::PreconditionFailed),
            (IF_MATCH, "", RequestedPart::PreconditionFailed),
            (
                IF_UNMODIFIED_SINCE,
                before,
                RequestedPart::PreconditionFailed,
            ),
            (IF_UNMODIFIED_SINCE, then, part),
            (IF_UNMODIFIED_SINCE, after, part),
            (IF_UNMODIFIED_SINCE, "yesterday", part),
            (IF_NONE_MATCH, "\"v1\"", RequestedPart::NotModified),
            (
                IF_NONE_MATCH,
                "\"v0\", W/\"v1\"",
                RequestedPart::NotModified,
            ),
            (IF_NONE_MATCH, "*", RequestedPart::NotModified),
            (IF_NONE_MATCH, "\"v0\"", part),
            (IF_NONE_MATCH, "\"V1\"", part),
            (IF_NONE_MATCH, "W/W/\"v1\"", part),
            (
                IF_NONE_MATCH,
                "\"\u{e9}\", \"v1\"",
                RequestedPart::NotModified,
            ),
            (IF_RANGE, "\"v1\"", part),
            (IF_RANGE, " \"v1\" ", part),
            (IF_RANGE, "W/\"v1\"", RequestedPart::Whole),
            (IF_RANGE, "\"v0\"", RequestedPart::Whole),
            (IF_RANGE, "\"v1\", \"v0\"", RequestedPart::Whole),
            (IF_RANGE, "*", RequestedPart::Whole),
            (IF_RANGE, "", RequestedPart::Whole),
            (IF_RANGE, "\"\u{e9}\"", RequestedPart::Whole),
            (IF_RANGE, then, part),
            (IF_RANGE, "Sunday, 22-Nov-26 12:00:00 GMT", part),
            (IF_RANGE, "Sun Nov 22 12:00:00 2026", part),
            (IF_RANGE, before, RequestedPart::Whole),
            (IF_RANGE, after, RequestedPart::Whole),
            (IF_RANGE, "yesterday", RequestedPart::Whole),
            (IF_MODIFIED_SINCE, then, RequestedPart::NotModified),
            (IF_MODIFIED_SINCE, after, RequestedPart::NotModified),
            (IF_MODIFIED_SINCE, before, part),
            (IF_MODIFIED_SINCE, "yesterday", part),
        ] {
            let headers = [
                (RANGE, b"bytes=0-0".as_slice()),
                (name.clone(), value.as_bytes()),
            ];
            assert_eq!(of_ten(&headers), wanted, "{name}: {value}");
        }
    }

    #[test]
    fn of_two_conditions_the_entity_tag_takes_precedence() {
        let part = RequestedPart::Part { start: 0, end: 1 };
        let (before, then) = (
            b"Sun, 22 Nov 2026 11:59:59 GMT".as_slice(),
            b"Sun, 22 Nov 2026 12:00:00 GMT".as_slice(),
        );
        let (this, other, not_ascii) = (
            b"\"v1\"".as_slice(),
            b"\"v0\"".as_slice(),
            b"\xff".as_slice(),
        );
        for (conditions, wanted) in [
            ([(IF_MATCH, this), (IF_UNMODIFIED_SINCE, before)], part),
            ([(IF_MATCH, other), (IF_MATCH, this)], part),
            (
                [(IF_MATCH, other), (IF_NONE_MATCH, this)],
                RequestedPart::PreconditionFailed,
            ),
            (
                [(IF_MATCH, this), (IF_NONE_MATCH, this)],
                RequestedPart::NotModified,
            ),
            ([(IF_NONE_MATCH, other), (IF_MODIFIED_SINCE, then)], part),
            (
                [(IF_NONE_MATCH, not_ascii), (IF_MODIFIED_SINCE, then)],
                part,
            ),
            (
                [(IF_NONE_MATCH, other), (IF_NONE_MATCH, this)],
                RequestedPart::NotModified,
            ),
            (
                [(IF_NONE_MATCH, this), (IF_RANGE, other)],
                RequestedPart::NotModified,
            ),
            ([(IF_MODIFIED_SINCE, then), (IF_MODIFIED_SINCE, then)], part),
            ([(IF_RANGE, this), (IF_RANGE, other)], RequestedPart::Whole),
            ([(IF_RANGE, this), (IF_RANGE, this)], RequestedPart::Whole),
        ] {
            let mut headers = vec![(RANGE, b"bytes=0-0".as_slice())];
            headers.extend(conditions.clone());
            assert_eq!(of_ten(&headers), wanted, "{conditions:?}");
        }
    }

    #[test]
    fn a_file_without_validators_matches_no_condition() {
        let of_none = |name: HeaderName, value: &str| {
            let mut headers = HeaderMap::new();
            headers.append(RANGE, "bytes=0-0".parse().unwrap());
            headers.append(name, value.parse().unwrap());
            requested_part(&Method::GET, &headers, FileVersion::default(), 10)
        };
        let part = RequestedPart::Part { start: 0, end: 1 };
        let then = "Sun, 22 Nov 2026 12:00:00 GMT";
        for (name, value, wanted) in [
            (IF_RANGE, "\"v1\"", RequestedPart::Whole),
            (IF_RANGE, then, RequestedPart::Whole),
            (IF_RANGE, "yesterday", RequestedPart::Whole),
            (IF_MATCH, "\"v1\"", RequestedPart::PreconditionFailed),
            (IF_MATCH, "*", part),
            (IF_NONE_MATCH, "\"v1\"", part),
            (IF_MODIFIED_SINCE, then, part),
            (IF_UNMODIFIED_SINCE, then, part),
        ] {
            assert_eq!(of_none(name.clone(), value), wanted, "{name}: {value}");
        }
    }

    #[test]
    fn head_requests_and_empty_files_have_no_ranges() {
        let request = |method: Method, range: &str, length| {
            let headers: HeaderMap = [(RANGE, range.parse().unwrap())].into_iter().collect();
            requested_part(&method, &headers, FileVersion::default(), length)
        };
        for (method, range, length, wanted) in [
            (Method::HEAD, "bytes=0-0", 10, RequestedPart::Whole),
            (Method::HEAD, "bytes=10-", 10, RequestedPart::Whole),
            (Method::POST, "bytes=0-0", 10, RequestedPart::Whole),
            (Method::GET, "bytes=0-0", 0, RequestedPart::NotSatisfiable),
            (Method::GET, "bytes=0-", 0, RequestedPart::NotSatisfiable),
            (Method::GET, "bytes=-0", 0, RequestedPart::NotSatisfiable),
            (Method::GET, "bytes=-1", 0, RequestedPart::Whole),
            (
                Method::GET,
                "bytes=0-18446744073709551615",
                u64::MAX,
                RequestedPart::Part {
                    start: 0,
                    end: u64::MAX,
                },
            ),
            (
                Method::GET,
                "bytes=18446744073709551615-",
                u64::MAX,
                RequestedPart::NotSatisfiable,
            ),
        ] {
            assert_eq!(
                request(method, range, length),
                wanted,
                "{range} of {length}"
            );
        }
    }
}
