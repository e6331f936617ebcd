//! Reading the journal beside the one who writes it.

use std::{io, path::Path, sync::Arc};

use super::{
    layout::{self, MANIFEST, Manifest, Position},
    medium::{JournalDirectory, Storage},
    replay::{JournalLines, SegmentRange},
    segment::{self, SegmentReader},
};

/// Some lines of the journal, and where the next ones are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalTail {
    /// The lines.
    pub lines: Vec<String>,
    /// One past the last of them.
    pub next: Position,
}

/// Reads at most `most` lines from a position on: none when nothing has been written since. What is being
/// written just now is left for the next time.
pub fn tail(dir: &Path, from: Position, most: usize) -> io::Result<JournalTail> {
    let medium: Arc<dyn Storage> = Arc::new(JournalDirectory::new(dir));
    let mut part = JournalTail {
        lines: Vec::new(),
        next: from,
    };
    // A segment before another one was complete when the names were listed.
    for segment in layout::segments(&*medium)?.range(from.segment..) {
        if part.next.segment != *segment {
            part.next = Position {
                segment: *segment,
                offset: 0,
            };
        }
        let mut reader = SegmentReader::new(&medium, *segment, part.next.offset);
        while let Some(line) = reader.next()?.filter(|line| line.is_ended) {
            if part.lines.len() == most {
                return Ok(part);
            }
            part.next.offset = line.end();
            part.lines.extend(line.text().map(String::from));
        }
    }
    Ok(part)
}

/// The position after the last whole line.
pub fn end(dir: &Path) -> io::Result<Position> {
    let medium: Arc<dyn Storage> = Arc::new(JournalDirectory::new(dir));
    let Some(segment) = layout::segments(&*medium)?.last().copied() else {
        return Ok(Position::default());
    };
    let mut offset = 0;
    let mut reader = SegmentReader::new(&medium, segment, 0);
    while let Some(line) = reader.next()?.filter(|line| line.is_ended) {
        offset = line.end();
    }
    Ok(Position { segment, offset })
}

/// Reads the last whole line; none when nothing was written yet.
pub fn last(dir: &Path) -> io::Result<Option<String>> {
    let medium: Arc<dyn Storage> = Arc::new(JournalDirectory::new(dir));
    // A segment that was begun just now may hold nothing yet.
    for segment in layout::segments(&*medium)?.iter().rev() {
        let mut reader = SegmentReader::new(&medium, *segment, 0);
        let mut last = None;
        while let Some(line) = reader.next()?.filter(|line| line.is_ended) {
            last = line.text().map(String::from).or(last);
        }
        if last.is_some() {
            return Ok(last);
        }
    }
    Ok(None)
}

/// Every line about one machine, read as they are asked for. Segments that are known not to speak of it are
/// not read.
pub fn lines_of(
    dir: &Path,
    machine: u64,
) -> io::Result<impl Iterator<Item = io::Result<String>> + use<>> {
    let medium: Arc<dyn Storage> = Arc::new(JournalDirectory::new(dir));
    let manifest = segment::whole(&*medium, MANIFEST)?.unwrap_or_default();
    let manifest = Manifest::parse(&manifest);
    let speaks = |segment: &u64| {
        let sealed = manifest.sealed(*segment);
        sealed.is_none_or(|sealed| sealed.machines.contains(&machine))
    };
    let mut stretches = Vec::new();
    for segment in layout::segments(&*medium)?.into_iter().filter(speaks) {
        let to = medium.length(&layout::name(segment))?.unwrap_or(0);
        stretches.push(SegmentRange {
            segment,
            from: 0,
            to,
        });
    }
    let mark = format!("\"machine\":\"{machine:016x}\"");
    let is_about =
        move |line: &io::Result<String>| line.as_ref().map_or(true, |line| line.contains(&mark));
    Ok(JournalLines::new(&medium, stretches).filter(is_about))
}
