//! The bodies of answers: bytes at hand, a file piece by piece, lines as they come.

use std::{
    io, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};

use crate::disk::repo::Blob;

use super::{
    Receipt,
    pool::{Buffer, Pool},
    wire::Exchange,
};

/// The body of an answer.
pub(super) enum AnswerBody {
    /// Bytes at hand.
    Bytes(Bytes),
    /// Bytes at hand, and whom to tell how their delivery ended.
    Watched(Bytes, Receipt),
    /// A file, or a part of one.
    Pieces(Pieces),
    /// Lines as they come.
    Lines(mpsc::Receiver<Bytes>),
}

impl AnswerBody {
    /// Returns the length, where it is known beforehand.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            AnswerBody::Bytes(bytes) | AnswerBody::Watched(bytes, _) => Some(bytes.len() as u64),
            AnswerBody::Pieces(pieces) => Some(pieces.end - pieces.at),
            AnswerBody::Lines(_) => None,
        }
    }
}

/// A body on a connection, which hears of its end.
pub(super) struct Sending {
    body: AnswerBody,
    exchange: Arc<Exchange>,
}

impl Sending {
    /// Begins to send `body`.
    pub(super) fn new(body: AnswerBody, exchange: Arc<Exchange>) -> Sending {
        exchange.begin();
        Sending { body, exchange }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.exchange.end();
    }
}

/// A file's bytes from `at` up to `end`. What the kernel has in memory is read at once; what has to be waited for is
/// read off the async threads.
pub(super) struct Pieces {
    blob: Blob,
    at: u64,
    end: u64,
    pool: Arc<Pool>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

/// A piece that is read.
enum Reading {
    /// It was at hand.
    Done(io::Result<Bytes>),
    /// Another thread waits for it.
    Going(JoinHandle<io::Result<Bytes>>),
}

impl Pieces {
    /// Reads `blob` from `at` up to `end` through the buffers of `pool`.
    pub(super) fn new(blob: Blob, at: u64, end: u64, pool: Arc<Pool>) -> Pieces {
        Pieces {
            blob,
            at,
            end,
            pool,
            reading: None,
        }
    }

    /// Reads the next piece, or has it read.
    fn read(&self) -> Reading {
        let mut buffer = self.pool.lend(self.end - self.at);
        match self.blob.read_at_hand(buffer.bytes(), self.at) {
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

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.at == self.end {
            return Poll::Ready(None);
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
        Poll::Ready(Some(piece))
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = match &mut self.body {
            AnswerBody::Pieces(pieces) => ready!(pieces.poll_piece(context)),
            AnswerBody::Lines(lines) => ready!(lines.poll_recv(context)).map(Ok),
            body => match mem::replace(body, AnswerBody::Bytes(Bytes::new())) {
                AnswerBody::Watched(bytes, receipt) => {
                    self.exchange.expect(receipt);
                    Some(Ok(bytes))
                }
                AnswerBody::Bytes(bytes) if !bytes.is_empty() => Some(Ok(bytes)),
                _ => None, // The bytes are sent.
            },
        };
        Poll::Ready(next.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        // A watched body ends by being taken, even an empty one.
        self.body.length() == Some(0) && !matches!(self.body, AnswerBody::Watched(..))
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .length()
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
