//! The contents of a journal when it is opened.

use std::{collections::BTreeSet, io, sync::Arc, vec};

use super::{segment::SegmentReader, storage::Storage};

#[derive(Debug)]
pub struct Replay {
    /// The state before the lines; none when they start at the beginning.
    pub checkpoint: Option<Vec<u8>>,
    /// Every line after the checkpoint.
    pub lines: JournalLines,
    pub damage: Vec<Damage>,
    /// Descriptions of what was repaired.
    pub warnings: Vec<String>,
}

/// Lines that are or may be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file's name.
    pub segment: String,
    /// A description of the problem.
    pub why: String,
    /// The machines that the lost lines may concern; none when unknown.
    pub machines: Option<BTreeSet<u64>>,
    /// Whether the checkpoint's state includes the lost lines.
    pub covered: bool,
}

/// The lines of a journal, read on demand.
pub struct JournalLines {
    storage: Arc<dyn Storage>,
    ranges: vec::IntoIter<SegmentRange>,
    current: Option<(SegmentReader, u64)>,
}

/// Part of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentRange {
    pub(super) segment: u64,
    pub(super) from: u64,
    pub(super) to: u64,
}

impl JournalLines {
    pub(super) fn new(storage: &Arc<dyn Storage>, ranges: Vec<SegmentRange>) -> Self {
        JournalLines {
            storage: storage.clone(),
            ranges: ranges.into_iter(),
            current: None,
        }
    }

    fn advance(&mut self) -> io::Result<Option<String>> {
        loop {
            let Some((reader, to)) = &mut self.current else {
                let Some(range) = self.ranges.next() else {
                    return Ok(None);
                };
                let reader = SegmentReader::new(&self.storage, range.segment, range.from);
                self.current = Some((reader, range.to));
                continue;
            };
            match reader.next()? {
                Some(line) if line.end() <= *to => {
                    // Invalid lines were reported as damage when the journal was opened.
                    if let Some(text) = line.text() {
                        return Ok(Some(text.into()));
                    }
                }
                Some(_) | None => self.current = None,
            }
        }
    }
}

impl Iterator for JournalLines {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<io::Result<String>> {
        let line = self.advance();
        if line.is_err() {
            self.current = None;
        }
        line.transpose()
    }
}

impl std::fmt::Debug for JournalLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Lines")
            .field(&self.ranges.as_slice())
            .finish()
    }
}
