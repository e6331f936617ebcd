//! Parts of files that the kernel sends by itself: their bytes do not pass through here.
//!
//! hyper counts the bytes of an answer and hands them to the connection's [`wire`](super::wire) as slices. For such a part
//! it is given slices of a place that nobody reads or writes; the wire knows that place, and has the kernel send
//! what they stand for.

use std::{
    io::{self, IoSlice},
    os::fd::AsFd,
    sync::LazyLock,
};

use hyper::body::{Buf, Bytes};

use crate::disk::repo::Blob;

/// The longest part that is sent at once.
pub(super) const LONGEST: usize = 2 << 20;

/// What slices of parts point to. It is never touched, so the kernel gives no memory for it.
static PLACE: LazyLock<Box<[u8]>> = LazyLock::new(|| vec![0; LONGEST].into());

/// Whether a slice stands for a part of a file.
pub(super) fn is_stand_in(slice: &[u8]) -> bool {
    !slice.is_empty() && PLACE.as_ptr_range().contains(&slice.as_ptr())
}

/// What of an answer is handed over at once.
pub(super) enum BodyChunk {
    /// Bytes at hand.
    Bytes(Bytes),
    /// So many bytes of a file.
    File(usize),
}

impl Buf for BodyChunk {
    fn remaining(&self) -> usize {
        match self {
            BodyChunk::Bytes(bytes) => bytes.len(),
            BodyChunk::File(length) => *length,
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            BodyChunk::Bytes(bytes) => bytes,
            // Zeros in a file's place would be worse than no answer.
            BodyChunk::File(_) => unreachable!("the wire writes vectored, so hyper copies nothing"),
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let chunk = match self {
            BodyChunk::Bytes(bytes) => bytes,
            BodyChunk::File(length) => &PLACE[..*length],
        };
        match slices.first_mut() {
            Some(slice) if !chunk.is_empty() => {
                *slice = IoSlice::new(chunk);
                1
            }
            _ => 0,
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            BodyChunk::Bytes(bytes) => bytes.advance(count),
            BodyChunk::File(length) => *length -= count,
        }
    }
}

/// A part of a file on its way.
#[derive(Debug)]
pub(super) struct FileRange {
    blob: Blob,
    at: u64,
    end: u64,
}

impl FileRange {
    /// `blob` from `at` up to `end`.
    pub(super) fn new(blob: Blob, at: u64, end: u64) -> FileRange {
        FileRange { blob, at, end }
    }

    /// Sends as much as `socket` takes now; returns how much that was.
    pub(super) fn send(&mut self, socket: impl AsFd) -> io::Result<usize> {
        let sent = self.blob.send(socket, self.at, self.end - self.at)?;
        self.at += sent as u64;
        Ok(sent)
    }

    /// Whether all of it is sent.
    pub(super) fn is_sent(&self) -> bool {
        self.at == self.end
    }
}
