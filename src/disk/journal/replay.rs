//! What a journal holds when it is opened.

use std::{collections::BTreeSet, io, sync::Arc, vec};

use super::{medium::Storage, segment::SegmentReader};

/// What a journal holds.
#[derive(Debug)]
pub struct Replay {
    /// The state that the lines continue; none when they begin at the beginning.
    pub checkpoint: Option<Vec<u8>>,
    /// Every line since then.
    pub lines: JournalLines,
    /// What is lost.
    pub damage: Vec<Damage>,
    /// What was put right, as people read it.
    pub warnings: Vec<String>,
}

/// Lines that are lost, or may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file's name.
    pub segment: String,
    /// What is wrong with it, as people read it.
    pub why: String,
    /// The machines that the lost lines may concern; none when that is not known.
    pub machines: Option<BTreeSet<u64>>,
    /// Whether the state in the checkpoint was made when the lines were still there.
    pub covered: bool,
}

/// The lines of a journal, read as they are asked for.
pub struct JournalLines {
    medium: Arc<dyn Storage>,
    stretches: vec::IntoIter<SegmentRange>,
    now: Option<(SegmentReader, u64)>,
}

/// Part of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentRange {
    /// The segment's number.
    pub(super) segment: u64,
    /// Where it begins.
    pub(super) from: u64,
    /// Where it ends.
    pub(super) to: u64,
}

impl JournalLines {
    pub(super) fn new(medium: &Arc<dyn Storage>, stretches: Vec<SegmentRange>) -> Self {
        JournalLines {
            medium: medium.clone(),
            stretches: stretches.into_iter(),
            now: None,
        }
    }

    fn advance(&mut self) -> io::Result<Option<String>> {
        loop {
            let Some((reader, to)) = &mut self.now else {
                let Some(stretch) = self.stretches.next() else {
                    return Ok(None);
                };
                let reader = SegmentReader::new(&self.medium, stretch.segment, stretch.from);
                self.now = Some((reader, stretch.to));
                continue;
            };
            match reader.next()? {
                Some(line) if line.end() <= *to => {
                    // What is no line was reported as damage when the journal was opened.
                    if let Some(text) = line.text() {
                        return Ok(Some(text.into()));
                    }
                }
                Some(_) | None => self.now = None,
            }
        }
    }
}

impl Iterator for JournalLines {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<io::Result<String>> {
        let line = self.advance();
        if line.is_err() {
            self.now = None;
        }
        line.transpose()
    }
}

impl std::fmt::Debug for JournalLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Lines")
            .field(&self.stretches.as_slice())
            .finish()
    }
}
