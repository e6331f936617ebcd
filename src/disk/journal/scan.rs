//! Scanning a segment for invalid lines.

use std::{collections::BTreeSet, sync::Arc};

use super::{segment::SegmentReader, storage::Storage};

/// The result of scanning a segment.
#[derive(Debug, Default)]
pub(super) struct SegmentScan {
    /// The machines that its lines name.
    pub(super) machines: BTreeSet<u64>,
    /// The offset after the last valid line.
    pub(super) good: u64,
    /// The offset after the last byte.
    pub(super) end: u64,
    /// The offsets of invalid lines with valid ones after them.
    pub(super) bad: Vec<u64>,
    /// The offsets of invalid lines without valid ones after them.
    pub(super) bad_at_end: Vec<u64>,
    /// The error that ended the scan.
    pub(super) error: Option<String>,
}

impl SegmentScan {
    /// Reads a segment from `from` on.
    pub(super) fn of(storage: &Arc<dyn Storage>, number: u64, from: u64) -> SegmentScan {
        let mut scan = SegmentScan {
            good: from,
            end: from,
            ..SegmentScan::default()
        };
        let mut reader = SegmentReader::new(storage, number, from);
        loop {
            let line = match reader.next() {
                Ok(Some(line)) => line,
                Ok(None) => return scan,
                Err(error) => {
                    scan.error = Some(error.to_string());
                    return scan;
                }
            };
            scan.end = line.end();
            let Some(text) = line.text() else {
                scan.bad_at_end.push(line.offset);
                continue;
            };
            scan.good = scan.end;
            scan.bad.append(&mut scan.bad_at_end);
            scan.machines.extend(machines(text));
        }
    }

    /// The damage before its last valid line.
    pub(super) fn fault(&self) -> Option<String> {
        let unreadable =
            |error: &String| format!("it cannot be read after byte {}: {error}", self.end);
        let bad = self.bad.first();
        let bad = bad.map(|at| format!("the line at byte {at} is invalid"));
        bad.or_else(|| self.error.as_ref().map(unreadable))
    }

    /// The damage after its last valid line.
    pub(super) fn fault_at_end(&self) -> Option<String> {
        let bad = self.bad_at_end.first();
        bad.map(|at| format!("everything from byte {at} on is invalid"))
    }
}

/// The machines that a line names, in `machine` or `into`.
pub(super) fn machines<'a>(line: &'a str) -> impl Iterator<Item = u64> {
    // A quotation mark inside a string is escaped by a backslash, so a key in a string is not recognized.
    let after_key = |before: &mut [&'a str; 2], text: &'a str| {
        let named = matches!(before, ["machine" | "into", ":"]).then_some(text);
        *before = [before[1], text];
        Some(named)
    };
    let texts = line.split('"').scan([""; 2], after_key).flatten();
    let digits = texts.filter(|text| text.len() == 16);
    digits.filter_map(|text| u64::from_str_radix(text, 16).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_of_a_line_name_machines() {
        let cases: &[(&str, &[u64])] = &[
            (
                r#"{"at":"","machine":"00000000000000ff","event":"x","revision":"0123456789abcdef"}"#,
                &[0xff],
            ),
            (
                r#"{"machine":"0000000000000001","into":"0000000000000002"}"#,
                &[1, 2],
            ),
            (r#"{"text":"\"machine\":\"0000000000000001\""}"#, &[]),
            (r#"{"machine":"1"}"#, &[]),
            ("{}", &[]),
        ];
        for (line, expected) in cases {
            assert_eq!(machines(line).collect::<Vec<_>>(), *expected, "{line}");
        }
    }
}
