//! Looking through a segment for what is no line.

use std::{collections::BTreeSet, sync::Arc};

use super::{medium::Storage, segment::SegmentReader};

/// What a segment holds.
#[derive(Debug, Default)]
pub(super) struct SegmentScan {
    /// The machines that its lines name.
    pub(super) machines: BTreeSet<u64>,
    /// One past the last whole line.
    pub(super) good: u64,
    /// One past the last byte.
    pub(super) end: u64,
    /// Where lines stand that are none, with others after them.
    pub(super) bad: Vec<u64>,
    /// Lines that are none, with no other after them.
    pub(super) bad_at_end: Vec<u64>,
    /// Why it could not be read further.
    pub(super) error: Option<String>,
}

impl SegmentScan {
    /// Reads a segment from `from` on.
    pub(super) fn of(medium: &Arc<dyn Storage>, number: u64, from: u64) -> SegmentScan {
        let mut scan = SegmentScan {
            good: from,
            end: from,
            ..SegmentScan::default()
        };
        let mut reader = SegmentReader::new(medium, number, from);
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

    /// What is wrong in its middle.
    pub(super) fn fault(&self) -> Option<String> {
        let unreadable =
            |error: &String| format!("it cannot be read beyond byte {}: {error}", self.end);
        let bad = self.bad.first();
        let bad = bad.map(|at| format!("what stands at byte {at} is no line of a journal"));
        bad.or_else(|| self.error.as_ref().map(unreadable))
    }

    /// What is wrong at its end.
    pub(super) fn fault_at_end(&self) -> Option<String> {
        let bad = self.bad_at_end.first();
        bad.map(|at| format!("what stands at byte {at}, to its end, is no line of a journal"))
    }
}

/// The machines that a line names, as the one it is about or as another.
pub(super) fn machines<'a>(line: &'a str) -> impl Iterator<Item = u64> {
    // A quotation mark inside a text has a backslash before it, so what looks like a key there is none.
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
    fn a_line_names_machines_and_nothing_else() {
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
