//! Reading the journal while another process writes it.

use std::{io, path::Path, sync::Arc};

use super::{
    layout::{self, MANIFEST, Manifest, Position},
    replay::{JournalLines, SegmentRange},
    segment::{self, SegmentReader},
    storage::{JournalDirectory, Storage},
};

/// Lines of the journal, and the position of the next ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalTail {
    pub lines: Vec<String>,
    pub next: Position,
}

/// Reads at most `max` lines from a position on; none when nothing was written since. An incomplete last line is left for
/// the next call.
pub fn tail(dir: &Path, from: Position, max: usize) -> io::Result<JournalTail> {
    let storage: Arc<dyn Storage> = Arc::new(JournalDirectory::new(dir));
    let mut part = JournalTail {
        lines: Vec::new(),
        next: from,
    };
    // A segment with a successor was complete when the names were listed.
    for segment in layout::segments(&*storage)?.range(from.segment..) {
        if part.next.segment != *segment {
            part.next = Position {
                segment: *segment,
                offset: 0,
            };
        }
        let mut reader = SegmentReader::new(&storage, *segment, part.next.offset);
        while let Some(line) = reader.next()?.filter(|line| line.is_ended) {
            if part.lines.len() == max {
                return Ok(part);
            }
            part.next.offset = line.end();
            part.lines.extend(line.text().map(String::from));
        }
    }
    Ok(part)
}

/// The position after the last complete line.
pub fn end(dir: &Path) -> io::Result<Position> {
    let storage: Arc<dyn Storage> = Arc::new(JournalDirectory::new(dir));
    let Some(segment) = layout::segments(&*storage)?.last().copied() else {
        return Ok(Position::default());
    };
    let mut offset = 0;
    let mut reader = SegmentReader::new(&storage, segment, 0);
    while let Some(line) = reader.next()?.filter(|line| line.is_ended) {
        offset = line.end();
    }
    Ok(Position { segment, offset })
}

/// Reads the last complete line; none when nothing was written yet.
pub fn last(dir: &Path) -> io::Result<Option<String>> {
    let storage: Arc<dyn Storage> = Arc::new(JournalDirectory::new(dir));
    // A new segment may still be empty.
    for segment in layout::segments(&*storage)?.iter().rev() {
        let mut reader = SegmentReader::new(&storage, *segment, 0);
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

/// Every line about one machine, read on demand. Segments that do not mention it according to the manifest are skipped.
pub fn lines_of(
    dir: &Path,
    machine: u64,
) -> io::Result<impl Iterator<Item = io::Result<String>> + use<>> {
    let storage: Arc<dyn Storage> = Arc::new(JournalDirectory::new(dir));
    let manifest = segment::whole(&*storage, MANIFEST)?.unwrap_or_default();
    let manifest = Manifest::parse(&manifest);
    let may_mention = |segment: &u64| {
        let sealed = manifest.sealed(*segment);
        sealed.is_none_or(|sealed| sealed.machines.contains(&machine))
    };
    let mut ranges = Vec::new();
    for segment in layout::segments(&*storage)?.into_iter().filter(may_mention) {
        let to = storage.length(&layout::name(segment))?.unwrap_or(0);
        ranges.push(SegmentRange {
            segment,
            from: 0,
            to,
        });
    }
    let mark = format!("\"machine\":\"{machine:016x}\"");
    let is_about =
        move |line: &io::Result<String>| line.as_ref().map_or(true, |line| line.contains(&mark));
    Ok(JournalLines::new(&storage, ranges).filter(is_about))
}
