//! A connection's bytes, watched: who has not read for too long, what has left to its last byte, and what
//! hyper says on its own.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use super::Receipt;

/// Bytes that show that a client reads: fewer within the time allowed are a stall.
const PROGRESS: usize = 64 << 10;

/// What the two sides of a connection know of each other: the one that answers and the one that writes.
#[derive(Debug, Default)]
pub(super) struct Exchange(Mutex<Talk>);

#[derive(Debug, Default)]
struct Talk {
    turn: Turn,
    receipts: Vec<Receipt>,
}

/// Whose bytes the next ones to be written are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nobody's: all that was said is written.
    #[default]
    Idle,
    /// An answer's that is not complete.
    Answering,
    /// An answer's whose end was handed over for writing.
    Ended,
}

impl Exchange {
    /// Notes that an answer begins.
    pub(super) fn begin(&self) {
        self.talk().turn = Turn::Answering;
    }

    /// Notes that the answer's end was handed over for writing.
    pub(super) fn end(&self) {
        self.talk().turn = Turn::Ended;
    }

    /// Keeps a receipt until everything that was handed over for writing is written.
    pub(super) fn expect(&self, receipt: Receipt) {
        self.talk().receipts.push(receipt);
    }

    fn is_idle(&self) -> bool {
        self.talk().turn == Turn::Idle
    }

    fn flushed(&self) {
        let mut talk = self.talk();
        if talk.turn == Turn::Ended {
            talk.turn = Turn::Idle;
        }
        let receipts = std::mem::take(&mut talk.receipts);
        drop(talk);
        receipts.into_iter().for_each(Receipt::completed);
    }

    fn talk(&self) -> MutexGuard<'_, Talk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's socket.
pub(super) struct Wire {
    stream: TcpStream,
    exchange: Arc<Exchange>,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    written: usize,
}

impl Wire {
    /// Watches `stream`, whose client may stop reading for as long as `patience`.
    pub(super) fn new(stream: TcpStream, exchange: Arc<Exchange>, patience: Duration) -> Wire {
        Wire {
            stream,
            exchange,
            patience,
            stalled: None,
            written: 0,
        }
    }

    /// Starts the clock when the client does not take more, and ends the connection when it has run out.
    fn watch(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(count)) => {
                self.written += count;
                if self.written >= PROGRESS {
                    self.calm();
                }
                written
            }
            Poll::Ready(Err(_)) => written,
            Poll::Pending => {
                let patience = self.patience;
                let stalled = self
                    .stalled
                    .get_or_insert_with(|| Box::pin(sleep(patience)));
                ready!(stalled.as_mut().poll(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    fn calm(&mut self) {
        self.stalled = None;
        self.written = 0;
    }

    /// Gives the refusal that hyper writes by itself, before any of our code has seen a request, a body.
    fn refuse(&mut self, head: &[u8]) -> Poll<io::Result<usize>> {
        let end = head.iter().position(|byte| *byte == b'\r');
        let status = String::from_utf8_lossy(&head[..end.unwrap_or(head.len())]);
        let reason = "this request cannot be understood\n";
        let answer = format!(
            "{status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{reason}",
            reason.len(),
        );
        // The socket's buffer is empty or the client does not read: then it need not be told.
        Poll::Ready(self.stream.try_write(answer.as_bytes()).map(|_| head.len()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices {
            [head] if head.starts_with(b"HTTP/1.1 4") && self.exchange.is_idle() => {
                self.refuse(head)
            }
            _ => {
                let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
                self.watch(context, written)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Hyper flushes only when it has nothing left to write.
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.calm();
        self.exchange.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
