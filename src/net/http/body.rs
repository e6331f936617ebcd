//! Response bodies: bytes, a file in chunks, lines as they arrive.

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
    file_range::{BodyChunk, FileRange, MAX_SENDFILE},
    pool::{Buffer, BufferPool, LARGE_BUFFER},
    wire::WireHandle,
};

/// Shorter parts of files are copied instead of sent by the kernel, in bytes: that is cheaper.
const MIN_SENDFILE: u64 = 64 << 10;

/// The length of the part at the end of an image's file that is copied, in bytes. Its last chunk is read after the client
/// has acknowledged all that the kernel sent, so that a change of the image during the download is detected before the
/// client has the whole file. The copied part is long enough that this rarely has to wait.
const COPIED_END: u64 = 4 * LARGE_BUFFER as u64;

pub(super) enum ResponseBody {
    Bytes(Bytes),
    /// With a receipt for the download.
    Tracked(Bytes, DownloadReceipt),
    /// A file, or a part of one.
    File(BlobBody),
    /// Lines as they arrive.
    Lines(mpsc::Receiver<Bytes>),
}

impl ResponseBody {
    /// The length, if it is known in advance.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            ResponseBody::Bytes(bytes) | ResponseBody::Tracked(bytes, _) => {
                Some(bytes.len() as u64)
            }
            ResponseBody::File(file) => Some(file.end - file.at),
            ResponseBody::Lines(_) => None,
        }
    }
}

/// A body that reports its start and end to the connection.
pub(super) struct TrackedBody {
    body: ResponseBody,
    wire: Arc<WireHandle>,
}

impl TrackedBody {
    pub(super) fn new(body: ResponseBody, wire: Arc<WireHandle>) -> TrackedBody {
        wire.begin();
        TrackedBody { body, wire }
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        self.wire.end();
    }
}

/// A file's bytes from `at` to `end`. Bytes in the page cache are sent by the kernel (sendfile) or read directly; others
/// are read on a blocking thread.
pub(super) struct BlobBody {
    blob: Blob,
    at: u64,
    end: u64,
    pool: Arc<BufferPool>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    /// The end of what the kernel sends.
    sent: Option<u64>,
    delivery: Option<DeliveryWait>,
}

/// Waiting until the client has acknowledged bytes.
struct DeliveryWait {
    /// How many are not acknowledged.
    left: Option<u64>,
    /// If `left` has not decreased by then, the client no longer receives.
    deadline: Instant,
    next_check: Pin<Box<Sleep>>,
}

/// The reading of a chunk.
enum ChunkRead {
    Done(io::Result<Bytes>),
    /// On a blocking thread.
    Pending(JoinHandle<io::Result<Bytes>>),
}

impl BlobBody {
    pub(super) fn new(blob: Blob, at: u64, end: u64, pool: Arc<BufferPool>) -> BlobBody {
        BlobBody {
            blob,
            at,
            end,
            pool,
            reading: None,
            sent: None,
            delivery: None,
        }
    }

    /// How many of the next bytes the kernel can send.
    fn sendfile_length(&self) -> Option<usize> {
        let copied = if self.blob.is_of_image() {
            COPIED_END
        } else {
            0
        };
        let length = (self.end - self.at).saturating_sub(copied);
        let length = length.min(MAX_SENDFILE as u64);
        (length >= MIN_SENDFILE && self.blob.is_cached(self.at, length)).then_some(length as usize)
    }

    /// Before the last chunk of an image's file is read, waits until the client has acknowledged what the kernel sent.
    fn poll_delivered(
        &mut self,
        wire: &WireHandle,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(sent) = self.sent else {
            return Poll::Ready(Ok(()));
        };
        if !self.blob.is_of_image() || self.end - self.at > LARGE_BUFFER as u64 {
            return Poll::Ready(Ok(()));
        }
        loop {
            let left = wire.unacknowledged()?;
            if left.is_some_and(|left| left <= self.at - sent) {
                self.delivery = None;
                return Poll::Ready(Ok(()));
            }
            let delivery = self.delivery.get_or_insert_with(|| DeliveryWait {
                left: None,
                deadline: Instant::now() + wire.stall_time,
                next_check: Box::pin(sleep(Duration::ZERO)),
            });
            ready!(delivery.wait(left, wire.stall_time, context))?;
        }
    }

    /// Reads the next chunk, or starts a blocking thread that reads it.
    fn read(&self) -> ChunkRead {
        let mut buffer = self.pool.lend(self.end - self.at);
        match self.blob.read_cached(buffer.bytes(), self.at) {
            Ok(true) => ChunkRead::Done(Ok(buffer.filled())),
            Ok(false) => ChunkRead::Pending(self.read_into(buffer)),
            Err(error) => ChunkRead::Done(Err(error)),
        }
    }

    fn read_into(&self, mut buffer: Buffer) -> JoinHandle<io::Result<Bytes>> {
        let (blob, at) = (self.blob.clone(), self.at);
        spawn_blocking(move || {
            // A file that has become shorter is an error, which closes the connection: the client must not treat the
            // received part as the whole file.
            blob.read_exact_at(buffer.bytes(), at)?;
            Ok(buffer.filled())
        })
    }

    fn poll_chunk(
        &mut self,
        wire: &WireHandle,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<BodyChunk>>> {
        if self.at == self.end {
            return Poll::Ready(None);
        }
        if self.reading.is_none() {
            if let Some(length) = self.sendfile_length() {
                let end = self.at + length as u64;
                wire.send(FileRange::new(self.blob.clone(), self.at, end));
                (self.at, self.sent) = (end, Some(end));
                return Poll::Ready(Some(Ok(BodyChunk::File(length))));
            }
            if let Err(error) = ready!(self.poll_delivered(wire, context)) {
                return Poll::Ready(Some(Err(error)));
            }
        }
        let reading = self.reading.take().map(ChunkRead::Pending);
        let chunk = match reading.unwrap_or_else(|| self.read()) {
            ChunkRead::Done(chunk) => chunk,
            ChunkRead::Pending(mut reading) => {
                let Poll::Ready(read) = Pin::new(&mut reading).poll(context) else {
                    self.reading = Some(reading);
                    return Poll::Pending;
                };
                read.map_err(io::Error::other).flatten()
            }
        };
        if let Ok(chunk) = &chunk {
            self.at += chunk.len() as u64;
        }
        Poll::Ready(Some(chunk.map(BodyChunk::Bytes)))
    }
}

impl DeliveryWait {
    /// Waits 1 ms; an error when no byte was acknowledged within `stall_time`.
    fn wait(
        &mut self,
        left: Option<u64>,
        stall_time: Duration,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let now = Instant::now();
        if left != self.left {
            (self.left, self.deadline) = (left, now + stall_time);
        }
        if now > self.deadline {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        ready!(self.next_check.as_mut().poll(context));
        self.next_check
            .as_mut()
            .reset(now + Duration::from_millis(1));
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
        let TrackedBody { body, wire } = &mut *self;
        let bytes = match body {
            ResponseBody::File(file) => {
                let chunk = ready!(file.poll_chunk(wire, context));
                return Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data)));
            }
            ResponseBody::Lines(lines) => ready!(lines.poll_recv(context)),
            body => match mem::replace(body, ResponseBody::Bytes(Bytes::new())) {
                ResponseBody::Tracked(bytes, receipt) => {
                    wire.expect(receipt);
                    Some(bytes)
                }
                ResponseBody::Bytes(bytes) if !bytes.is_empty() => Some(bytes),
                _ => None, // Everything is sent.
            },
        };
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(BodyChunk::Bytes(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        // A tracked body ends when it is taken, even an empty one, so that its receipt is registered.
        self.body.length() == Some(0) && !matches!(self.body, ResponseBody::Tracked(..))
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .length()
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
