//! The thread that serves.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{
    FileRequest, TftpFiles, TftpRefusal,
    socket::{ReceivedPacket, TftpSocket},
    transfers::{Granted, Transfers},
};
use crate::boot::tftp::{
    ClientPacket, ErrorCode, FileName, MAX_BLOCK, ReadRequest, TftpDecodeError, encode_error,
};

/// The largest datagram that a client sends here: a request.
const LARGEST: usize = 2_048;
/// How often it is looked whether something is to be sent again, or all is to end.
const LOOK: Duration = Duration::from_millis(20);
const IDLE: Duration = Duration::from_millis(200);
/// What fits an Ethernet frame with IPv4 and UDP before it (RFC 2348).
const ETHERNET_BLOCK: u16 = 1_468;

/// A server that is bound and does not serve yet.
#[derive(Debug)]
pub struct TftpServer {
    socket: TftpSocket,
}

/// A server that serves. Dropping it ends it.
#[derive(Debug)]
pub struct TftpHandle {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TftpServer {
    /// Binds the port.
    pub fn bind(address: SocketAddr) -> io::Result<TftpServer> {
        TftpSocket::bind(address, LOOK).map(|socket| TftpServer { socket })
    }

    /// Where it is bound.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local()
    }

    /// Serves from a thread of its own.
    pub fn serve(self, files: Arc<dyn TftpFiles>) -> io::Result<TftpHandle> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::Builder::new().name("tftp".into()).spawn(move || {
            let mut desk = TftpHandler {
                socket: self.socket,
                files,
                transfers: Transfers::default(),
                begun: Instant::now(),
            };
            desk.run(&stopped);
        })?;
        Ok(TftpHandle {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for TftpHandle {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread of TFTP has panicked");
        }
    }
}

struct TftpHandler {
    socket: TftpSocket,
    files: Arc<dyn TftpFiles>,
    transfers: Transfers,
    begun: Instant,
}

impl TftpHandler {
    fn run(&mut self, stop: &AtomicBool) {
        let mut buffer = [0; LARGEST];
        let mut looked = self.now();
        while !stop.load(Ordering::Relaxed) {
            if self.transfers.is_empty() {
                self.rest();
            }
            match self.socket.receive(&mut buffer) {
                Ok(Some(arrived)) => self.one(&buffer[..arrived.length], &arrived),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!("TFTP: nothing can be received: {error}");
                    thread::sleep(IDLE);
                }
            }
            let now = self.now();
            if now - looked >= LOOK {
                looked = now;
                self.transfers.tick(&self.socket, now);
            }
        }
    }

    /// Waits until somebody asks, or it is time to look whether all is to end.
    fn rest(&self) {
        let wait = PollTimeout::try_from(IDLE).unwrap_or(PollTimeout::ZERO);
        let mut fds = [PollFd::new(self.socket.fd(), PollFlags::POLLIN)];
        if let Err(error) = poll(&mut fds, wait)
            && error != nix::errno::Errno::EINTR
        {
            tracing::error!("TFTP: cannot wait for datagrams: {error}");
            thread::sleep(IDLE);
        }
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn one(&mut self, datagram: &[u8], arrived: &ReceivedPacket) {
        let (from, now) = (arrived.from, self.now());
        match ClientPacket::decode(datagram) {
            Ok(ClientPacket::Read(request)) => self.request(&request, arrived, now),
            Ok(ClientPacket::Write) => {
                self.refuse(
                    arrived,
                    ErrorCode::AccessViolation,
                    "nothing is written here",
                );
            }
            Ok(ClientPacket::Ack(block)) => {
                // A stranger's acknowledgement is a late one: it is not answered.
                self.transfers.step(&self.socket, from, now, |transfer| {
                    transfer.on_ack(block, now)
                });
            }
            Ok(ClientPacket::Error { code, text }) => {
                self.transfers.step(&self.socket, from, now, |transfer| {
                    transfer.on_error(code, text)
                });
            }
            Err(TftpDecodeError::Mode) => {
                self.refuse(
                    arrived,
                    ErrorCode::IllegalOperation,
                    "only octet mode is known",
                );
            }
            Err(TftpDecodeError::Request) => {
                self.refuse(
                    arrived,
                    ErrorCode::IllegalOperation,
                    "the request cannot be read",
                );
            }
            Ok(ClientPacket::Unexpected) | Err(TftpDecodeError::Packet) => {}
        }
    }

    fn request(&mut self, request: &ReadRequest, arrived: &ReceivedPacket, now: Duration) {
        let from = arrived.from;
        let name = match FileName::clean(&request.name) {
            Ok(name) => name,
            Err(error) => {
                tracing::info!(
                    "TFTP: {} asks for a name that is refused: {error}",
                    peer(from)
                );
                let text = error.to_string();
                return self.refuse(arrived, ErrorCode::AccessViolation, &text);
            }
        };
        if self.transfers.repeats(from, name.as_str()) {
            self.transfers.step(&self.socket, from, now, |transfer| {
                transfer.on_repeated_request(now)
            });
            return;
        }
        if !self.transfers.has_room(from) {
            return self.refuse(
                arrived,
                ErrorCode::NotDefined,
                "too many transfers, try later",
            );
        }
        let local = arrived.local.map(|local| local.ip());
        let ask = FileRequest {
            name: name.to_string(),
            peer: peer(from),
            local: local.unwrap_or(IpAddr::from([0, 0, 0, 0])),
            block: request.asked.block,
            window: request.asked.window,
        };
        let found = match self.files.open(&ask) {
            Ok(found) => found,
            Err(TftpRefusal::NotFound) => {
                return self.refuse(arrived, ErrorCode::FileNotFound, "no such file");
            }
            Err(TftpRefusal::Forbidden) => {
                return self.refuse(arrived, ErrorCode::AccessViolation, "not for you");
            }
            Err(TftpRefusal::Later) => return,
            Err(TftpRefusal::Other(text)) => {
                return self.refuse(arrived, ErrorCode::NotDefined, &text);
            }
        };
        let most = if ask.peer.ip().is_loopback() {
            MAX_BLOCK
        } else {
            ETHERNET_BLOCK
        };
        let granted = Granted {
            name: ask.name,
            agreed: request.asked.agree(found.content.length(), most),
            found,
            local: arrived.local,
        };
        self.transfers.begin(&self.socket, from, granted, now);
    }

    fn refuse(&self, arrived: &ReceivedPacket, code: ErrorCode, text: &str) {
        let bytes = encode_error(code, text);
        let local = arrived.local.as_ref();
        self.socket.send(&bytes, bytes.len(), arrived.from, local);
    }
}

/// An IPv4 address that came through an IPv6 socket is shown as IPv4.
fn peer(from: SocketAddr) -> SocketAddr {
    SocketAddr::new(from.ip().to_canonical(), from.port())
}
