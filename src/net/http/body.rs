//! The bodies of answers: bytes at hand, a file piece by piece, lines as they come.

use std::{
    io, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
    time::{Instant, Sleep, sleep},
};

use crate::disk::repo::Blob;

use super::{
    DownloadReceipt,
    pool::{Buffer, BufferPool, LARGE},
    stretch::{BodyChunk, FileRange, LONGEST},
    wire::WireHandle,
};

/// Parts of files that are shorter than this are copied: that costs less than having them sent.
const SHORTEST: u64 = 64 << 10;

/// The end of an image's file is copied, and the last of it read when all that the kernel sent by itself has arrived. So
/// an image that is written to while it is sent shows before its client has the whole of it. So much is copied
/// that there is nothing to wait for, as a rule.
const COPIED: u64 = 4 * LARGE as u64;

/// The body of an answer.
pub(super) enum ResponseBody {
    /// Bytes at hand.
    Bytes(Bytes),
    /// Bytes at hand, and whom to tell how their delivery ended.
    Watched(Bytes, DownloadReceipt),
    /// A file, or a part of one.
    FileBody(FileBody),
    /// Lines as they come.
    Lines(mpsc::Receiver<Bytes>),
}

impl ResponseBody {
    /// Returns the length, where it is known beforehand.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            ResponseBody::Bytes(bytes) | ResponseBody::Watched(bytes, _) => {
                Some(bytes.len() as u64)
            }
            ResponseBody::FileBody(pieces) => Some(pieces.end - pieces.at),
            ResponseBody::Lines(_) => None,
        }
    }
}

/// A body on a connection, which hears of its end.
pub(super) struct TrackedBody {
    body: ResponseBody,
    exchange: Arc<WireHandle>,
}

impl TrackedBody {
    /// Begins to send `body`.
    pub(super) fn new(body: ResponseBody, exchange: Arc<WireHandle>) -> TrackedBody {
        exchange.begin();
        TrackedBody { body, exchange }
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        self.exchange.end();
    }
}

/// A file's bytes from `at` up to `end`. What the kernel has in memory it sends by itself, or it is read at once; what has to
/// be waited for is read off the async threads.
pub(super) struct FileBody {
    blob: Blob,
    at: u64,
    end: u64,
    pool: Arc<BufferPool>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    /// Up to where the kernel sends by itself.
    sent: Option<u64>,
    arriving: Option<Arriving>,
}

/// Bytes that are waited for until they have arrived.
struct Arriving {
    /// How many are under way.
    left: Option<u64>,
    /// When they have not become fewer until then, the client has gone.
    until: Instant,
    next: Pin<Box<Sleep>>,
}

/// A piece that is read.
enum Reading {
    /// It was at hand.
    Done(io::Result<Bytes>),
    /// Another thread waits for it.
    Going(JoinHandle<io::Result<Bytes>>),
}

impl FileBody {
    /// Reads `blob` from `at` up to `end` through the buffers of `pool`.
    pub(super) fn new(blob: Blob, at: u64, end: u64, pool: Arc<BufferPool>) -> FileBody {
        FileBody {
            blob,
            at,
            end,
            pool,
            reading: None,
            sent: None,
            arriving: None,
        }
    }

    /// How many bytes come next that the kernel is to send by itself.
    fn sendable(&self) -> Option<usize> {
        let copied = if self.blob.is_of_image() { COPIED } else { 0 };
        let length = (self.end - self.at).saturating_sub(copied);
        let length = length.min(LONGEST as u64);
        (length >= SHORTEST && self.blob.is_cached(self.at, length)).then_some(length as usize)
    }

    /// Waits, before the last piece of an image's file is read, for what the kernel sends by itself to arrive.
    fn poll_arrived(
        &mut self,
        exchange: &WireHandle,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(sent) = self.sent else {
            return Poll::Ready(Ok(()));
        };
        if !self.blob.is_of_image() || self.end - self.at > LARGE as u64 {
            return Poll::Ready(Ok(()));
        }
        loop {
            let left = exchange.under_way()?;
            if left.is_some_and(|left| left <= self.at - sent) {
                self.arriving = None;
                return Poll::Ready(Ok(()));
            }
            let arriving = self.arriving.get_or_insert_with(|| Arriving {
                left: None,
                until: Instant::now() + exchange.patience,
                next: Box::pin(sleep(Duration::ZERO)),
            });
            ready!(arriving.wait(left, exchange.patience, context))?;
        }
    }

    /// Reads the next piece, or has it read.
    fn read(&self) -> Reading {
        let mut buffer = self.pool.lend(self.end - self.at);
        match self.blob.read_cached(buffer.bytes(), self.at) {
            Ok(true) => Reading::Done(Ok(buffer.filled())),
            Ok(false) => Reading::Going(self.read_into(buffer)),
            Err(error) => Reading::Done(Err(error)),
        }
    }

    fn read_into(&self, mut buffer: Buffer) -> JoinHandle<io::Result<Bytes>> {
        let (blob, at) = (self.blob.clone(), self.at);
        spawn_blocking(move || {
            // A file that has become shorter is an error here, which ends the connection: the client
            // must not take what it got for the whole.
            blob.read_exact_at(buffer.bytes(), at)?;
            Ok(buffer.filled())
        })
    }

    fn poll_piece(
        &mut self,
        exchange: &WireHandle,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<BodyChunk>>> {
        if self.at == self.end {
            return Poll::Ready(None);
        }
        if self.reading.is_none() {
            if let Some(length) = self.sendable() {
                let end = self.at + length as u64;
                exchange.send(FileRange::new(self.blob.clone(), self.at, end));
                (self.at, self.sent) = (end, Some(end));
                return Poll::Ready(Some(Ok(BodyChunk::File(length))));
            }
            if let Err(error) = ready!(self.poll_arrived(exchange, context)) {
                return Poll::Ready(Some(Err(error)));
            }
        }
        let reading = self.reading.take().map(Reading::Going);
        let piece = match reading.unwrap_or_else(|| self.read()) {
            Reading::Done(piece) => piece,
            Reading::Going(mut reading) => {
                let Poll::Ready(read) = Pin::new(&mut reading).poll(context) else {
                    self.reading = Some(reading);
                    return Poll::Pending;
                };
                read.map_err(io::Error::other).flatten()
            }
        };
        if let Ok(piece) = &piece {
            self.at += piece.len() as u64;
        }
        Poll::Ready(Some(piece.map(BodyChunk::Bytes)))
    }
}

impl Arriving {
    /// Waits a moment, as long as bytes arrive at all within `patience`.
    fn wait(
        &mut self,
        left: Option<u64>,
        patience: Duration,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let now = Instant::now();
        if left != self.left {
            (self.left, self.until) = (left, now + patience);
        }
        if now > self.until {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        ready!(self.next.as_mut().poll(context));
        self.next.as_mut().reset(now + Duration::from_millis(1));
        Poll::Ready(Ok(()))
    }
}

impl Body for TrackedBody {
    type Data = BodyChunk;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<BodyChunk>>>> {
        let TrackedBody { body, exchange } = &mut *self;
        let bytes = match body {
            ResponseBody::FileBody(pieces) => {
                let piece = ready!(pieces.poll_piece(exchange, context));
                return Poll::Ready(piece.map(|piece| piece.map(Frame::data)));
            }
            ResponseBody::Lines(lines) => ready!(lines.poll_recv(context)),
            body => match mem::replace(body, ResponseBody::Bytes(Bytes::new())) {
                ResponseBody::Watched(bytes, receipt) => {
                    exchange.expect(receipt);
                    Some(bytes)
                }
                ResponseBody::Bytes(bytes) if !bytes.is_empty() => Some(bytes),
                _ => None, // The bytes are sent.
            },
        };
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(BodyChunk::Bytes(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        // A watched body ends by being taken, even an empty one.
        self.body.length() == Some(0) && !matches!(self.body, ResponseBody::Watched(..))
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .length()
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
