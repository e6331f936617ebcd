//! Which part of a file a request wants (RFC 9110 §13 and §14), if it wants it at all.

use hyper::{
    HeaderMap, Method,
    header::{HeaderName, IF_NONE_MATCH, IF_RANGE, RANGE},
};

/// The part that is wanted of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// The bytes from `start` up to, but without, `end`.
    Part {
        /// The first byte.
        start: u64,
        /// The byte after the last.
        end: u64,
    },
    /// A part that the file does not have.
    Beyond,
    /// Nothing: the client has this version already.
    Unchanged,
}

/// Tells what a request wants of a file that is `length` long and has `etag`, if any.
pub(super) fn wanted(
    method: &Method,
    headers: &HeaderMap,
    etag: Option<&str>,
    length: u64,
) -> Wanted {
    if etag.is_some_and(|etag| has_this(headers, etag)) {
        return Wanted::Unchanged;
    }
    // A range is defined for GET alone, and If-Range turns it off when the file has changed since.
    let stale = text(headers, &IF_RANGE).is_some_and(|had| Some(had) != etag);
    match text(headers, &RANGE) {
        Some(range) if method == Method::GET && !stale => part(range, length),
        _ => Wanted::Whole,
    }
}

fn has_this(headers: &HeaderMap, etag: &str) -> bool {
    let listed = text(headers, &IF_NONE_MATCH).unwrap_or_default().split(',');
    let mut listed = listed.map(|had| had.trim().trim_start_matches("W/"));
    listed.any(|had| had == "*" || had == etag)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    // A header that is no text is as good as none.
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Reads one range. Several of them, another unit or a slip in writing mean the whole file, which a server
/// may always send.
fn part(range: &str, length: u64) -> Wanted {
    let bounds = range
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'));
    let Some((first, last)) = bounds else {
        return Wanted::Whole;
    };
    let (start, end) = match (number(first), number(last)) {
        (Ok(Some(first)), Ok(Some(last))) if first <= last => (first, last.saturating_add(1)),
        (Ok(Some(first)), Ok(None)) => (first, length),
        (Ok(None), Ok(Some(0))) => return Wanted::Beyond,
        (Ok(None), Ok(Some(count))) => (length.saturating_sub(count), length),
        _ => return Wanted::Whole,
    };
    if start >= length {
        return Wanted::Beyond;
    }
    Wanted::Part {
        start,
        end: end.min(length),
    }
}

/// Reads a number, none from an empty text. One that is too large is beyond every file.
fn number(text: &str) -> Result<Option<u64>, ()> {
    match text.trim() {
        "" => Ok(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(Some(digits.parse().unwrap_or(u64::MAX)))
        }
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_ten(headers: &[(HeaderName, &str)]) -> Wanted {
        let headers = headers.iter().cloned();
        let headers = headers.map(|(name, value)| (name, value.parse().unwrap()));
        wanted(&Method::GET, &headers.collect(), Some("\"v1\""), 10)
    }

    #[test]
    fn a_single_range_is_a_part_and_anything_odd_is_the_whole() {
        let part = |start, end| Wanted::Part { start, end };
        for (range, wanted) in [
            ("bytes=0-3", part(0, 4)),
            ("bytes=5-", part(5, 10)),
            ("bytes=-3", part(7, 10)),
            ("bytes=-99", part(0, 10)),
            ("bytes=9-99999999999999999999999", part(9, 10)),
            ("bytes=10-", Wanted::Beyond),
            ("bytes=-0", Wanted::Beyond),
            ("bytes=99999999999999999999999-", Wanted::Beyond),
            ("bytes=3-1", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("lines=0-3", Wanted::Whole),
        ] {
            assert_eq!(of_ten(&[(RANGE, range)]), wanted, "{range}");
        }
    }

    #[test]
    fn a_version_that_is_known_is_not_sent_and_no_part_of_another_version() {
        let part = Wanted::Part { start: 0, end: 1 };
        for (name, value, wanted) in [
            (IF_NONE_MATCH, "\"v1\"", Wanted::Unchanged),
            (IF_NONE_MATCH, "\"v0\", W/\"v1\"", Wanted::Unchanged),
            (IF_NONE_MATCH, "*", Wanted::Unchanged),
            (IF_NONE_MATCH, "\"v0\"", part),
            (IF_RANGE, "\"v1\"", part),
            (IF_RANGE, "\"v0\"", Wanted::Whole),
            (IF_RANGE, "Sun, 22 Nov 2026 12:00:00 GMT", Wanted::Whole),
        ] {
            let headers = [(RANGE, "bytes=0-0"), (name, value)];
            assert_eq!(of_ten(&headers), wanted, "{value}");
        }
    }

    #[test]
    fn a_head_has_no_parts_and_an_empty_file_neither() {
        let headers: HeaderMap = [(RANGE, "bytes=0-0".parse().unwrap())]
            .into_iter()
            .collect();
        assert_eq!(wanted(&Method::HEAD, &headers, None, 10), Wanted::Whole);
        assert_eq!(wanted(&Method::GET, &headers, None, 0), Wanted::Beyond);
    }
}
