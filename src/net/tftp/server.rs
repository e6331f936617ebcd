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
    Ask, Files, Refusal,
    socket::{Arrived, Socket},
    transfers::{Granted, Transfers},
};
use crate::boot::tftp::{
    Datagram, ErrorCode, FileName, MAX_BLOCK, ReadRequest, Undecodable, encode_error,
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
pub struct Server {
    socket: Socket,
}

/// A server that serves. Dropping it ends it.
#[derive(Debug)]
pub struct Handle {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Binds the port.
    pub fn bind(address: SocketAddr) -> io::Result<Server> {
        Socket::bind(address, LOOK).map(|socket| Server { socket })
    }

    /// Where it is bound.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local()
    }

    /// Serves from a thread of its own.
    pub fn serve(self, files: Arc<dyn Files>) -> io::Result<Handle> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::Builder::new().name("tftp".into()).spawn(move || {
            let mut desk = Desk {
                socket: self.socket,
                files,
                transfers: Transfers::default(),
                begun: Instant::now(),
            };
            desk.run(&stopped);
        })?;
        Ok(Handle {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread of TFTP has panicked");
        }
    }
}

struct Desk {
    socket: Socket,
    files: Arc<dyn Files>,
    transfers: Transfers,
    begun: Instant,
}

impl Desk {
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

    fn one(&mut self, datagram: &[u8], arrived: &Arrived) {
        let (from, now) = (arrived.from, self.now());
        match Datagram::decode(datagram) {
            Ok(Datagram::Read(request)) => self.request(&request, arrived, now),
            Ok(Datagram::Write) => {
                self.refuse(
                    arrived,
                    ErrorCode::AccessViolation,
                    "nothing is written here",
                );
            }
            Ok(Datagram::Ack(block)) => {
                // A stranger's acknowledgement is a late one: it is not answered.
                self.transfers.step(&self.socket, from, now, |transfer| {
                    transfer.on_ack(block, now)
                });
            }
            Ok(Datagram::Error { code, text }) => {
                self.transfers.step(&self.socket, from, now, |transfer| {
                    transfer.on_error(code, text)
                });
            }
            Err(Undecodable::Mode) => {
                self.refuse(
                    arrived,
                    ErrorCode::IllegalOperation,
                    "only octet mode is known",
                );
            }
            Err(Undecodable::Request) => {
                self.refuse(
                    arrived,
                    ErrorCode::IllegalOperation,
                    "the request cannot be read",
                );
            }
            Ok(Datagram::Stray) | Err(Undecodable::Packet) => {}
        }
    }

    fn request(&mut self, request: &ReadRequest, arrived: &Arrived, now: Duration) {
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
        let ask = Ask {
            name: name.to_string(),
            peer: peer(from),
            local: local.unwrap_or(IpAddr::from([0, 0, 0, 0])),
            block: request.asked.block,
            window: request.asked.window,
        };
        let found = match self.files.open(&ask) {
            Ok(found) => found,
            Err(Refusal::NotFound) => {
                return self.refuse(arrived, ErrorCode::FileNotFound, "no such file");
            }
            Err(Refusal::Forbidden) => {
                return self.refuse(arrived, ErrorCode::AccessViolation, "not for you");
            }
            Err(Refusal::Later) => return,
            Err(Refusal::Other(text)) => {
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

    fn refuse(&self, arrived: &Arrived, code: ErrorCode, text: &str) {
        let bytes = encode_error(code, text);
        let local = arrived.local.as_ref();
        self.socket.send(&bytes, bytes.len(), arrived.from, local);
    }
}

/// An IPv4 address that came through an IPv6 socket is shown as IPv4.
fn peer(from: SocketAddr) -> SocketAddr {
    SocketAddr::new(from.ip().to_canonical(), from.port())
}
