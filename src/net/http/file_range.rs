//! Ranges of files that the kernel sends (sendfile), without copying their bytes to this process.
//!
//! hyper counts the bytes of a response and passes them to the connection's [`wire`](super::wire) as slices. For such a
//! range it gets placeholder slices: parts of an array that is never read or written. The wire recognizes them and has
//! the kernel send the range instead.

use std::{
    io::{self, IoSlice},
    os::fd::AsFd,
    sync::LazyLock,
};

use hyper::body::{Buf, Bytes};

use crate::disk::repo::Blob;

/// The longest range that is sent at a time, in bytes.
pub(super) const MAX_SENDFILE: usize = 2 << 20;

/// The array of the placeholder slices. It is never accessed, so the kernel allocates no memory for it.
static PLACEHOLDER: LazyLock<Box<[u8]>> = LazyLock::new(|| vec![0; MAX_SENDFILE].into());

/// Whether a slice represents a range of a file.
pub(super) fn is_placeholder(slice: &[u8]) -> bool {
    !slice.is_empty() && PLACEHOLDER.as_ptr_range().contains(&slice.as_ptr())
}

/// A part of a response body.
pub(super) enum BodyChunk {
    Bytes(Bytes),
    /// This many bytes of the next [`FileRange`].
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
            // Sending zeros instead of the file would be worse than ending the connection.
            BodyChunk::File(_) => unreachable!("the wire writes vectored, so hyper copies nothing"),
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let chunk = match self {
            BodyChunk::Bytes(bytes) => bytes,
            BodyChunk::File(length) => &PLACEHOLDER[..*length],
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

/// The part of a file that is not sent yet.
#[derive(Debug)]
pub(super) struct FileRange {
    blob: Blob,
    at: u64,
    end: u64,
}

impl FileRange {
    pub(super) fn new(blob: Blob, at: u64, end: u64) -> FileRange {
        FileRange { blob, at, end }
    }

    /// Sends as much as `socket` accepts now; returns how many bytes.
    pub(super) fn send(&mut self, socket: impl AsFd) -> io::Result<usize> {
        let sent = self.blob.send(socket, self.at, self.end - self.at)?;
        self.at += sent as u64;
        Ok(sent)
    }

    pub(super) fn is_sent(&self) -> bool {
        self.at == self.end
    }
}
