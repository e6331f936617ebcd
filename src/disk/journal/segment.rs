//! Reading a segment line by line.

use std::{
    io::{self, Read},
    sync::Arc,
};

use serde::de::IgnoredAny;

use super::{layout, storage::Storage};

/// Reads the lines of one segment.
pub(super) struct SegmentReader {
    storage: Arc<dyn Storage>,
    name: String,
    /// The open file, once something was read.
    file: Option<Box<dyn Read + Send>>,
    /// Bytes that were read and not returned begin at `start`; that is `offset` in the file.
    buffer: Vec<u8>,
    start: usize,
    offset: u64,
    is_at_end: bool,
    /// The buffer of the next read.
    piece: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentLine<'a> {
    /// In the file.
    pub(super) offset: u64,
    /// Without the line break.
    pub(super) bytes: &'a [u8],
    /// Whether it ends with a line break. Otherwise the file ends within the line.
    pub(super) is_ended: bool,
}

impl SegmentLine<'_> {
    /// Where the next line begins.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64 + u64::from(self.is_ended)
    }

    /// The text, if it is a complete JSON object.
    pub(super) fn text(&self) -> Option<&str> {
        // Serde does not validate strings that it skips, so UTF-8 is checked first.
        let text = std::str::from_utf8(self.bytes).ok()?;
        let is_valid = self.is_ended
            && text.starts_with('{')
            && serde_json::from_str::<IgnoredAny>(text).is_ok();
        is_valid.then_some(text)
    }
}

impl SegmentReader {
    /// Reads `segment` from `offset` on.
    pub(super) fn new(storage: &Arc<dyn Storage>, segment: u64, offset: u64) -> Self {
        const PIECE: usize = 256 << 10;
        SegmentReader {
            piece: vec![0; PIECE],
            storage: storage.clone(),
            name: layout::name(segment),
            file: None,
            buffer: Vec::new(),
            start: 0,
            offset,
            is_at_end: false,
        }
    }

    /// Returns the next line; none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<SegmentLine<'_>>> {
        let mut searched = 0;
        let length = loop {
            let rest = &self.buffer[self.start..];
            if let Some(at) = rest[searched..].iter().position(|byte| *byte == b'\n') {
                break Some(searched + at);
            }
            searched = rest.len();
            if self.is_at_end {
                break None;
            }
            self.fill()?;
        };
        let is_ended = length.is_some();
        let length = length.unwrap_or(searched);
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

    /// Returns the next line that ends with a line break. At the end, it continues when more was written.
    pub(super) fn next_ended(&mut self) -> io::Result<Option<SegmentLine<'_>>> {
        self.is_at_end = false;
        while !self.is_at_end && !self.buffer[self.start..].contains(&b'\n') {
            self.fill()?;
        }
        match self.buffer[self.start..].contains(&b'\n') {
            true => self.next(),
            false => Ok(None),
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let file = match &mut self.file {
            Some(file) => file,
            None => self
                .file
                .insert(self.storage.reader(&self.name, self.offset)?),
        };
        let read = file.read(&mut self.piece)?;
        self.buffer.extend_from_slice(&self.piece[..read]);
        self.is_at_end = read == 0;
        Ok(())
    }
}

/// Reads a whole file; none when it is missing.
pub(super) fn whole(storage: &dyn Storage, name: &str) -> io::Result<Option<Vec<u8>>> {
    let Some(length) = storage.length(name)? else {
        return Ok(None);
    };
    part(storage, name, 0, length).map(Some)
}

/// Reads the bytes from one position to another.
pub(super) fn part(storage: &dyn Storage, name: &str, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let length = to.saturating_sub(from);
    let reader = storage.reader(name, from)?;
    reader.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}
