//! Reading a segment line by line.

use std::{io, sync::Arc};

use serde::de::IgnoredAny;

use super::{layout, medium::Storage};

/// Reads the lines of one segment.
pub(super) struct SegmentReader {
    medium: Arc<dyn Storage>,
    name: String,
    /// What was read and not yet returned begins at `start` in `buffer`; it lies at `offset` in the file.
    buffer: Vec<u8>,
    start: usize,
    offset: u64,
    is_at_end: bool,
    /// Where the next piece is read to.
    piece: Vec<u8>,
}

/// One line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentLine<'a> {
    /// Where it begins.
    pub(super) offset: u64,
    /// What it holds, without the line break.
    pub(super) bytes: &'a [u8],
    /// Whether a line break ends it: without one, the file ends in the middle of it.
    pub(super) is_ended: bool,
}

impl SegmentLine<'_> {
    /// Where the next line begins.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64 + u64::from(self.is_ended)
    }

    /// The text, when it is a whole JSON object.
    pub(super) fn text(&self) -> Option<&str> {
        // Serde does not look into strings that it skips, so UTF-8 is checked before.
        let text = std::str::from_utf8(self.bytes).ok()?;
        let sound = self.is_ended
            && text.starts_with('{')
            && serde_json::from_str::<IgnoredAny>(text).is_ok();
        sound.then_some(text)
    }
}

impl SegmentReader {
    /// Reads `segment` from `offset` on.
    pub(super) fn new(medium: &Arc<dyn Storage>, segment: u64, offset: u64) -> Self {
        const PIECE: usize = 256 << 10;
        SegmentReader {
            piece: vec![0; PIECE],
            medium: medium.clone(),
            name: layout::name(segment),
            buffer: Vec::new(),
            start: 0,
            offset,
            is_at_end: false,
        }
    }

    /// Returns the next line; none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<SegmentLine<'_>>> {
        let mut seen = 0;
        let length = loop {
            let rest = &self.buffer[self.start..];
            if let Some(at) = rest[seen..].iter().position(|byte| *byte == b'\n') {
                break Some(seen + at);
            }
            seen = rest.len();
            if self.is_at_end {
                break None;
            }
            self.fill()?;
        };
        let is_ended = length.is_some();
        let length = length.unwrap_or(seen);
        if length == 0 && !is_ended {
            return Ok(None);
        }
        let (start, offset) = (self.start, self.offset);
        let taken = length + usize::from(is_ended);
        self.start += taken;
        self.offset += taken as u64;
        Ok(Some(SegmentLine {
            offset,
            bytes: &self.buffer[start..start + length],
            is_ended,
        }))
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let at = self.offset + self.buffer.len() as u64;
        let read = self.medium.read(&self.name, at, &mut self.piece)?;
        self.buffer.extend_from_slice(&self.piece[..read]);
        self.is_at_end = read == 0;
        Ok(())
    }
}

/// Reads a whole file; none when there is none.
pub(super) fn whole(medium: &dyn Storage, name: &str) -> io::Result<Option<Vec<u8>>> {
    let Some(length) = medium.length(name)? else {
        return Ok(None);
    };
    part(medium, name, 0, length).map(Some)
}

/// Reads the bytes from one position to another.
pub(super) fn part(medium: &dyn Storage, name: &str, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; to.saturating_sub(from) as usize];
    let mut have = 0;
    while have < bytes.len() {
        let read = medium.read(name, from + have as u64, &mut bytes[have..])?;
        if read == 0 {
            break;
        }
        have += read;
    }
    bytes.truncate(have);
    Ok(bytes)
}
