//! Reading the journal while another process writes it.

use std::{io, path::Path, sync::Arc};

use super::{
    layout::{self, MANIFEST, Manifest, Position},
    replay::{JournalLines, SegmentRange},
    segment::{self, SegmentReader},
    storage::{JournalDirectory, Storage},
};

/// Reads the lines that are written from now on. It keeps the segment that it reads open, so a compaction does not disturb it.
pub struct JournalFollower {
    storage: Arc<dyn Storage>,
    segment: u64,
    reader: Option<SegmentReader>,
}

impl JournalFollower {
    /// Follows the journal in `dir` from its end. Returns the position of that end as well.
    pub fn from_end(dir: &Path) -> io::Result<(JournalFollower, Position)> {
        let storage: Arc<dyn Storage> = Arc::new(JournalDirectory::new(dir));
        let segment = layout::segments(&*storage)?.last().copied().unwrap_or(0);
        let mut follower = JournalFollower {
            storage,
            segment,
            reader: None,
        };
        let mut position = Position { segment, offset: 0 };
        if segment > 0 {
            let mut reader = SegmentReader::new(&follower.storage, segment, 0);
            while let Some(line) = reader.next_ended()? {
                position.offset = line.end();
            }
            follower.reader = Some(reader);
        }
        Ok((follower, position))
    }

    /// Reads at most `max` lines; none when nothing was written since. An incomplete last line is left for the next call.
    pub fn lines(&mut self, max: usize) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        // A segment with a successor was complete when the names were listed.
        for segment in layout::segments(&*self.storage)?.range(self.segment..) {
            if *segment != self.segment {
                (self.segment, self.reader) = (*segment, None);
            }
            let reader = self
                .reader
                .get_or_insert_with(|| SegmentReader::new(&self.storage, *segment, 0));
            while lines.len() < max
                && let Some(line) = reader.next_ended()?
            {
                lines.extend(line.text().map(String::from));
            }
            if lines.len() == max {
                break;
            }
        }
        Ok(lines)
    }
}

impl std::fmt::Debug for JournalFollower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("JournalFollower")
            .field(&self.segment)
            .finish()
    }
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

/// Every line about one machine, up to a position if there is one, read on demand. Segments that do not mention it according to
/// the manifest are skipped.
pub fn lines_of(
    dir: &Path,
    machine: u64,
    until: Option<Position>,
) -> io::Result<impl Iterator<Item = io::Result<String>> + use<>> {
    let storage: Arc<dyn Storage> = Arc::new(JournalDirectory::new(dir));
    let manifest = segment::whole(&*storage, MANIFEST)?.unwrap_or_default();
    let manifest = Manifest::parse(&manifest);
    let may_mention = |segment: &u64| {
        let sealed = manifest.sealed(*segment);
        let is_after = until.is_some_and(|until| *segment > until.segment);
        !is_after && sealed.is_none_or(|sealed| sealed.machines.contains(&machine))
    };
    let mut ranges = Vec::new();
    for segment in layout::segments(&*storage)?.into_iter().filter(may_mention) {
        let length = storage.length(&layout::name(segment))?.unwrap_or(0);
        let until = until.filter(|until| until.segment == segment);
        let to = until.map_or(length, |until| until.offset.min(length));
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
