//! A connection's bytes, watched: who has not read for too long, what has left to its last byte, and what
//! hyper says on its own. Parts of files are sent by the kernel.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    net::Shutdown,
    os::fd::AsRawFd,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use super::{
    DownloadReceipt,
    stretch::{FileRange, is_stand_in},
};

/// Bytes that show that a client reads: fewer within the time allowed are a stall.
const PROGRESS: usize = 64 << 10;

/// What the two sides of a connection know of each other: the one that answers and the one that writes.
#[derive(Debug)]
pub(super) struct WireHandle {
    stream: TcpStream,
    /// How long its client may stop reading.
    pub(super) patience: Duration,
    talk: Mutex<ConnectionState>,
}

#[derive(Debug, Default)]
struct ConnectionState {
    turn: WriteState,
    receipts: Vec<DownloadReceipt>,
    stretches: VecDeque<FileRange>,
}

/// Whose bytes the next ones to be written are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum WriteState {
    /// Nobody's: all that was said is written.
    #[default]
    Idle,
    /// An answer's that is not complete.
    Responding,
    /// An answer's whose end was handed over for writing.
    Ended,
}

impl WireHandle {
    /// What is to be known of the connection `stream`, whose client may stop reading for as long as `patience`.
    pub(super) fn new(stream: TcpStream, patience: Duration) -> WireHandle {
        WireHandle {
            stream,
            patience,
            talk: Mutex::default(),
        }
    }

    /// Notes that an answer begins.
    pub(super) fn begin(&self) {
        self.talk().turn = WriteState::Responding;
    }

    /// Notes that the answer's end was handed over for writing.
    pub(super) fn end(&self) {
        self.talk().turn = WriteState::Ended;
    }

    /// Keeps a receipt until everything that was handed over for writing is written.
    pub(super) fn expect(&self, receipt: DownloadReceipt) {
        self.talk().receipts.push(receipt);
    }

    /// Keeps a part of a file until it is its turn: then the next bytes to be written stand for it.
    pub(super) fn send(&self, stretch: FileRange) {
        self.talk().stretches.push_back(stretch);
    }

    /// Tells how many of the bytes that were handed over last may not have arrived; none when some are not even
    /// with the kernel.
    #[expect(
        unsafe_code,
        reason = "ioctl(2) has no safe wrapper for SIOCOUTQ; it writes one number"
    )]
    pub(super) fn under_way(&self) -> io::Result<Option<u64>> {
        if !self.talk().stretches.is_empty() {
            return Ok(None);
        }
        let mut count: libc::c_int = 0;
        // SIOCOUTQ (tcp(7)) is the same number as TIOCOUTQ, the only one of the two that libc has.
        // SAFETY: the socket is open as long as `self.stream`, and the call writes to `count` alone.
        match unsafe { libc::ioctl(self.stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) } {
            0 => Ok(u64::try_from(count).ok()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Sends of the part whose turn it is as much as the socket takes.
    fn send_next(&self) -> io::Result<usize> {
        let mut talk = self.talk();
        let stretch = talk.stretches.front_mut();
        let stretch = stretch.ok_or_else(|| io::Error::other("no part of a file is under way"))?;
        let sent = stretch.send(&self.stream)?;
        if stretch.is_sent() {
            talk.stretches.pop_front();
        }
        Ok(sent)
    }

    fn is_idle(&self) -> bool {
        self.talk().turn == WriteState::Idle
    }

    fn flushed(&self) {
        let mut talk = self.talk();
        if talk.turn == WriteState::Ended {
            talk.turn = WriteState::Idle;
        }
        let receipts = std::mem::take(&mut talk.receipts);
        drop(talk);
        receipts.into_iter().for_each(DownloadReceipt::completed);
    }

    fn talk(&self) -> MutexGuard<'_, ConnectionState> {
        self.talk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's socket.
pub(super) struct Wire {
    exchange: Arc<WireHandle>,
    stalled: Option<Pin<Box<Sleep>>>,
    written: usize,
}

impl Wire {
    /// Watches the stream of `exchange`.
    pub(super) fn new(exchange: Arc<WireHandle>) -> Wire {
        Wire {
            exchange,
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
                let patience = self.exchange.patience;
                let stalled = self
                    .stalled
                    .get_or_insert_with(|| Box::pin(sleep(patience)));
                ready!(stalled.as_mut().poll(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    /// Writes by `write` once the socket takes more.
    fn poll_by(
        &self,
        context: &mut Context<'_>,
        mut write: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.exchange.stream.poll_write_ready(context))?;
            match self.exchange.stream.try_io(Interest::WRITABLE, &mut write) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
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
        Poll::Ready(
            self.exchange
                .stream
                .try_write(answer.as_bytes())
                .map(|_| head.len()),
        )
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.exchange.stream.poll_read_ready(context))?;
            match self.exchange.stream.try_read(buffer.initialize_unfilled()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => {
                    buffer.advance(read?);
                    return Poll::Ready(Ok(()));
                }
            }
        }
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
            [first, ..] if is_stand_in(first) => {
                let sent = self.poll_by(context, || self.exchange.send_next());
                self.watch(context, sent)
            }
            _ => {
                let parts = slices.iter().take_while(|slice| !is_stand_in(slice));
                let slices = &slices[..parts.count()];
                let written =
                    self.poll_by(context, || self.exchange.stream.try_write_vectored(slices));
                self.watch(context, written)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Hyper flushes only when it has nothing left to write.
        self.calm();
        self.exchange.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match SockRef::from(&self.exchange.stream).shutdown(Shutdown::Write) {
            // The other side was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            shut => Poll::Ready(shut),
        }
    }
}
