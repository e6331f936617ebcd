//! Compaction: a sealed segment is replaced with those of its lines that must stay.
//!
//! Each segment is compacted at most once, the oldest first. The compacted lines are written beside the segment and synced. Then
//! the writer records their length in the manifest and renames the file. After a crash the segment is the old or the new one,
//! and the manifest names the lengths of both. Only segments before the one of the checkpoint are compacted, so no position
//! in a segment changes that a start depends on.

use std::{io, sync::Arc};

use super::{
    layout::{self, MANIFEST, Manifest, SealedSegment},
    scan,
    segment::{self, SegmentReader},
    storage::Storage,
};

/// How much of the end of a segment is read to find its last line, in bytes.
const TAIL: u64 = 64 << 10;

/// When a segment is compacted, and which lines stay.
pub struct Retention<'a> {
    /// If the journal is larger than this, in bytes, its oldest segments are compacted before they expire.
    pub max: u64,
    /// Whether a segment with this last line has expired.
    pub is_expired: &'a dyn Fn(&str) -> bool,
    /// Whether each of the lines of a segment stays.
    pub retained: &'a dyn Fn(&[&str]) -> Vec<bool>,
}

/// The result of one step of the compaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compaction {
    /// A segment was compacted.
    Compacted {
        /// The file's name.
        segment: String,
        /// Its length before, in bytes.
        before: u64,
        after: u64,
    },
    /// No segment has to be compacted now. The size of the journal in bytes.
    NotDue { bytes: u64 },
}

/// Writes the compacted lines of the oldest segment that is due, beside it. `covered` is the segment of the checkpoint. Returns
/// the record for the manifest, or the size of the journal if nothing is due.
pub(super) fn prepare(
    storage: &Arc<dyn Storage>,
    covered: u64,
    retention: &Retention<'_>,
) -> io::Result<Result<SealedSegment, u64>> {
    let manifest = segment::whole(&**storage, MANIFEST)?.unwrap_or_default();
    let manifest = Manifest::parse(&manifest);
    let mut candidates = Vec::new();
    let mut size = 0;
    for number in layout::segments(&**storage)? {
        let length = storage.length(&layout::name(number))?.unwrap_or(0);
        size += length;
        let sealed = manifest.sealed(number).filter(|_| number < covered);
        // A damaged segment stays as it is.
        let is_candidate =
            |sealed: &&SealedSegment| sealed.has_length(length) && !sealed.is_compacted(length);
        candidates.extend(sealed.filter(is_candidate).map(|_| (number, length)));
    }
    for (number, length) in candidates {
        // Most checks end here, every minute: only the end of the segment is read for them.
        if size <= retention.max
            && let Some(last) = last_line(&**storage, number, length)?
            && !(retention.is_expired)(&last)
        {
            break;
        }
        let Some(lines) = lines(storage, number)? else {
            continue;
        };
        let last = lines.last().map_or("", String::as_str);
        if size <= retention.max && !(retention.is_expired)(last) {
            break;
        }
        return write(storage, number, length, &lines, retention).map(Ok);
    }
    Ok(Err(size))
}

/// The last line of a segment; none if it is longer than what is read.
fn last_line(storage: &dyn Storage, number: u64, length: u64) -> io::Result<Option<String>> {
    let from = length.saturating_sub(TAIL);
    let tail = segment::part(storage, &layout::name(number), from, length)?;
    let tail = String::from_utf8_lossy(&tail);
    let last = tail
        .strip_suffix('\n')
        .and_then(|tail| tail.rsplit_once('\n'));
    Ok(last.map(|(_, line)| line.into()))
}

/// The lines of a segment; none if one of them is invalid.
fn lines(storage: &Arc<dyn Storage>, number: u64) -> io::Result<Option<Vec<String>>> {
    let mut reader = SegmentReader::new(storage, number, 0);
    let mut lines = Vec::new();
    while let Some(line) = reader.next()? {
        let Some(text) = line.text() else {
            return Ok(None);
        };
        lines.push(text.into());
    }
    Ok(Some(lines))
}

fn write(
    storage: &Arc<dyn Storage>,
    segment: u64,
    before: u64,
    lines: &[String],
    retention: &Retention<'_>,
) -> io::Result<SealedSegment> {
    let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
    let stays = (retention.retained)(&texts);
    let kept: Vec<&str> = texts
        .into_iter()
        .zip(stays)
        .filter_map(|(line, stays)| stays.then_some(line))
        .collect();
    let mut bytes = Vec::new();
    for line in &kept {
        bytes.extend(line.as_bytes());
        bytes.push(b'\n');
    }
    storage.replace(&layout::compacted(segment), &bytes)?;
    Ok(SealedSegment {
        segment,
        bytes: bytes.len() as u64,
        compacted_from: Some(before),
        machines: kept.iter().flat_map(|line| scan::machines(line)).collect(),
    })
}
