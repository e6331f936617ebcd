//! The socket of a connection under hyper: it detects stalled clients, reports completed downloads, gives hyper's own
//! error responses a body, and sends ranges of files with sendfile.

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
    time::{Sleep, sleep, timeout},
};

use super::{
    DownloadReceipt, Stop,
    file_range::{FileRange, is_placeholder},
};

/// A client that receives fewer bytes within the stall time is stalled.
const MIN_PROGRESS: usize = 64 << 10;

/// The state shared by the two sides of a connection: the one that responds and the one that writes.
#[derive(Debug)]
pub(super) struct WireHandle {
    stream: TcpStream,
    /// How long the client may stop reading.
    pub(super) stall_time: Duration,
    state: Mutex<ConnectionState>,
}

#[derive(Debug, Default)]
struct ConnectionState {
    write_state: WriteState,
    receipts: Vec<DownloadReceipt>,
    ranges: VecDeque<FileRange>,
}

/// What the next written bytes belong to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum WriteState {
    /// To no response: everything is written.
    #[default]
    Idle,
    /// To a response that is not complete.
    Responding,
    /// To a response whose end was passed to hyper.
    Ended,
}

impl WireHandle {
    pub(super) fn new(stream: TcpStream, stall_time: Duration) -> WireHandle {
        WireHandle {
            stream,
            stall_time,
            state: Mutex::default(),
        }
    }

    /// Waits until the client has sent something; false if it does not in time, or closes the connection, or the server stops.
    pub(super) async fn is_used(&self, time: Duration, mut stop: Stop) -> bool {
        let mut first = [0];
        tokio::select! {
            peeked = timeout(time, self.stream.peek(&mut first)) => matches!(peeked, Ok(Ok(1))),
            () = stop.requested() => false,
        }
    }

    /// Sends a response before the connection is closed without reading the request. A client that does not read loses it.
    pub(super) fn refuse(&self, response: &[u8]) {
        if let Err(error) = self.stream.try_write(response) {
            tracing::debug!("a refusal was not sent: {error}");
        }
    }

    /// Records that a response begins.
    pub(super) fn begin(&self) {
        self.state().write_state = WriteState::Responding;
    }

    /// Records that the response's end was passed to hyper.
    pub(super) fn end(&self) {
        self.state().write_state = WriteState::Ended;
    }

    /// Stores a receipt until everything passed to hyper is written.
    pub(super) fn expect(&self, receipt: DownloadReceipt) {
        self.state().receipts.push(receipt);
    }

    /// Queues a range of a file. It is sent when its placeholder is to be written.
    pub(super) fn send(&self, range: FileRange) {
        self.state().ranges.push_back(range);
    }

    /// How many bytes the client has not acknowledged yet; none when some are not even passed to the kernel.
    #[expect(
        unsafe_code,
        reason = "ioctl(2) has no safe wrapper for SIOCOUTQ; it writes one number"
    )]
    pub(super) fn unacknowledged(&self) -> io::Result<Option<u64>> {
        if !self.state().ranges.is_empty() {
            return Ok(None);
        }
        let mut count: libc::c_int = 0;
        // SIOCOUTQ (tcp(7)) is the same number as TIOCOUTQ, the only one of the two that libc has.
        // SAFETY: the socket is open as long as `self.stream`, and the call only writes to `count`.
        match unsafe { libc::ioctl(self.stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) } {
            0 => Ok(u64::try_from(count).ok()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Sends as much of the first range as the socket accepts.
    fn send_next(&self) -> io::Result<usize> {
        let mut state = self.state();
        let range = state.ranges.front_mut();
        let range = range.ok_or_else(|| io::Error::other("no range of a file is queued"))?;
        let sent = range.send(&self.stream)?;
        if range.is_sent() {
            state.ranges.pop_front();
        }
        Ok(sent)
    }

    fn is_idle(&self) -> bool {
        self.state().write_state == WriteState::Idle
    }

    fn on_flushed(&self) {
        let mut state = self.state();
        if state.write_state == WriteState::Ended {
            state.write_state = WriteState::Idle;
        }
        let receipts = std::mem::take(&mut state.receipts);
        drop(state);
        receipts.into_iter().for_each(DownloadReceipt::completed);
    }

    fn state(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's socket.
pub(super) struct Wire {
    handle: Arc<WireHandle>,
    /// Expires when the client is stalled.
    stall: Option<Pin<Box<Sleep>>>,
    /// Bytes written since the last progress.
    written: usize,
}

impl Wire {
    pub(super) fn new(handle: Arc<WireHandle>) -> Wire {
        Wire {
            handle,
            stall: None,
            written: 0,
        }
    }

    /// Starts the stall timer when the client does not accept more, and fails the write when the timer expires.
    fn check_stall(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(count)) => {
                self.written += count;
                if self.written >= MIN_PROGRESS {
                    self.reset();
                }
                written
            }
            Poll::Ready(Err(_)) => written,
            Poll::Pending => {
                let stall_time = self.handle.stall_time;
                let stall = self
                    .stall
                    .get_or_insert_with(|| Box::pin(sleep(stall_time)));
                ready!(stall.as_mut().poll(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    /// Calls `write` when the socket is writable.
    fn poll_write_with(
        &self,
        context: &mut Context<'_>,
        mut write: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.handle.stream.poll_write_ready(context))?;
            match self.handle.stream.try_io(Interest::WRITABLE, &mut write) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn reset(&mut self) {
        self.stall = None;
        self.written = 0;
    }

    /// Writes hyper's own response to a malformed request, with a body added.
    fn write_error_response(&mut self, head: &[u8]) -> Poll<io::Result<usize>> {
        let end = head.iter().position(|byte| *byte == b'\r');
        let status = String::from_utf8_lossy(&head[..end.unwrap_or(head.len())]);
        let reason = "malformed request\n";
        let response = format!(
            "{status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{reason}",
            reason.len(),
        );
        // A partial write only occurs when the client does not read; then it loses the response.
        Poll::Ready(
            self.handle
                .stream
                .try_write(response.as_bytes())
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
            ready!(self.handle.stream.poll_read_ready(context))?;
            match self.handle.stream.try_read(buffer.initialize_unfilled()) {
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
            [head] if head.starts_with(b"HTTP/1.1 4") && self.handle.is_idle() => {
                self.write_error_response(head)
            }
            [first, ..] if is_placeholder(first) => {
                let sent = self.poll_write_with(context, || self.handle.send_next());
                self.check_stall(context, sent)
            }
            _ => {
                let parts = slices.iter().take_while(|slice| !is_placeholder(slice));
                let slices = &slices[..parts.count()];
                let written =
                    self.poll_write_with(context, || self.handle.stream.try_write_vectored(slices));
                self.check_stall(context, written)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Hyper only flushes when it has nothing left to write.
        self.reset();
        self.handle.on_flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match SockRef::from(&self.handle.stream).shutdown(Shutdown::Write) {
            // The client has closed the connection.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            shut => Poll::Ready(shut),
        }
    }
}
