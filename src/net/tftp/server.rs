//! The TFTP server's thread.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    FileRequest, TftpFiles, TftpRefusal, TransferOutcome,
    credit::Credits,
    origin::{Origin, Origins},
    ports::{ReceivedAt, bind_random, wait},
    socket::{ReceivedPacket, TftpSocket},
    transfers::{AcceptedRequest, Transfers},
};
use crate::boot::tftp::{
    ClientPacket, ErrorCode, FileName, MAX_BLOCK, ReadRequest, RequestedOptions, TftpDecodeError,
    encode_error,
};

/// The size of the receive buffer in bytes. The largest packet of a client is a request.
const MAX_REQUEST: usize = 2_048;
/// The length of the shortest valid request in bytes. A shorter one gets no error, which would be many times as large.
const MIN_REQUEST: usize = 10;
/// How often timeouts are checked while there are transfers.
const TICK: Duration = Duration::from_millis(20);
/// The port of the discard service (RFC 863). A host without it ignores the datagram or rejects it.
const DISCARD: u16 = 9;
/// How often the stop flag is checked while there is none, and the pause after an error.
const IDLE: Duration = Duration::from_millis(200);
/// The largest block that fits an Ethernet frame with IPv4 and UDP headers (RFC 2348).
const ETHERNET_BLOCK: u16 = 1_468;

/// A server that is bound and not started.
#[derive(Debug)]
pub struct TftpServer {
    socket: TftpSocket,
    ports: Option<RangeInclusive<u16>>,
    origins: Origins,
}

/// A running server. Dropping it stops the server.
#[derive(Debug)]
pub struct TftpHandle {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TftpServer {
    /// Binds the port of requests. A transfer to an address that cannot be checked gets a random one of `ports` (RFC 1350 section 4),
    /// so that a host that does not see its packets cannot acknowledge them.
    pub fn bind(address: SocketAddr, ports: Option<RangeInclusive<u16>>) -> io::Result<TftpServer> {
        let socket = TftpSocket::bind(address, TICK)?;
        let origins = Origins::open(socket.local_address()?.port());
        Ok(TftpServer {
            socket,
            ports,
            origins,
        })
    }

    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_address()
    }

    /// Starts the server's thread.
    pub fn serve(self, files: Arc<dyn TftpFiles>) -> io::Result<TftpHandle> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::Builder::new().name("tftp".into()).spawn(move || {
            let mut handler = TftpHandler {
                socket: self.socket,
                ports: self.ports,
                origins: self.origins,
                credits: Credits::default(),
                files,
                transfers: Transfers::default(),
                started: Instant::now(),
            };
            handler.run(&stopped);
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
            tracing::error!("the TFTP thread panicked");
        }
    }
}

struct TftpHandler {
    /// The one of requests, and of most transfers.
    socket: TftpSocket,
    ports: Option<RangeInclusive<u16>>,
    origins: Origins,
    credits: Credits,
    files: Arc<dyn TftpFiles>,
    transfers: Transfers,
    started: Instant,
}

impl TftpHandler {
    fn run(&mut self, stop: &AtomicBool) {
        let mut buffer = [0; MAX_REQUEST];
        let mut last_tick = self.now();
        while !stop.load(Ordering::Relaxed) {
            if let Err(error) = self.receive_next(&mut buffer) {
                tracing::error!("TFTP: cannot receive packets: {error}");
                thread::sleep(IDLE);
            }
            let now = self.now();
            if now - last_tick >= TICK {
                last_tick = now;
                self.transfers.tick(&self.socket, now);
            }
        }
    }

    /// Waits for packets, or until the stop flag or timeouts are to be checked, and handles them.
    fn receive_next(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let requests = (ReceivedAt::Requests, self.socket.fd());
        if self.transfers.is_empty() {
            wait(std::iter::once(requests), IDLE)?;
        }
        if !self.transfers.have_sockets() {
            return self.receive(ReceivedAt::Requests, buffer);
        }
        let transfers = self.transfers.sockets();
        for at in wait(std::iter::once(requests).chain(transfers), TICK)? {
            self.receive(at, buffer)?;
        }
        Ok(())
    }

    /// Handles a packet that this socket receives.
    fn receive(&mut self, at: ReceivedAt, buffer: &mut [u8]) -> io::Result<()> {
        let socket = match at {
            ReceivedAt::Requests => Some(&self.socket),
            // The transfer may have ended by another packet.
            ReceivedAt::Transfer(client) => self.transfers.socket(client),
        };
        let received = socket.map_or(Ok(None), |socket| socket.receive(buffer))?;
        if let Some(received) = received {
            self.on_packet(&buffer[..received.length], &received, at);
        }
        Ok(())
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn on_packet(&mut self, bytes: &[u8], received: &ReceivedPacket, at: ReceivedAt) {
        let (from, now) = (received.from, self.now());
        let packet = ClientPacket::decode(bytes);
        let is_expected = match packet {
            // Else it is late, or of another host that does not have the port.
            Ok(ClientPacket::Ack(_) | ClientPacket::Error { .. }) => self.transfers.is_at(from, at),
            _ => at == ReceivedAt::Requests,
        };
        if !is_expected {
            return;
        }
        let is_short = bytes.len() < MIN_REQUEST;
        match packet {
            Ok(ClientPacket::Read(request)) => self.on_request(&request, received, now),
            Ok(ClientPacket::Write) | Err(TftpDecodeError::Mode | TftpDecodeError::Request)
                if is_short => {}
            Ok(ClientPacket::Write) => {
                self.refuse(
                    received,
                    ErrorCode::AccessViolation,
                    "the server is read-only",
                );
            }
            Ok(ClientPacket::Ack(block)) => {
                self.transfers.check_origin(from);
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
                    received,
                    ErrorCode::IllegalOperation,
                    "only octet mode is supported",
                );
            }
            Err(TftpDecodeError::Request) => {
                self.refuse(
                    received,
                    ErrorCode::IllegalOperation,
                    "the request is malformed",
                );
            }
            Ok(ClientPacket::Unexpected) | Err(TftpDecodeError::Packet) => {}
        }
    }

    fn on_request(&mut self, request: &ReadRequest, received: &ReceivedPacket, now: Duration) {
        let from = received.from;
        let name = match FileName::parse(&request.name) {
            Ok(name) => name,
            Err(error) => {
                tracing::info!("TFTP: {} requested an invalid name: {error}", peer(from));
                let text = error.to_string();
                return self.refuse(received, ErrorCode::AccessViolation, &text);
            }
        };
        let mut options = request.options;
        let origin = self.origins.of(from);
        if origin == Origin::Forged {
            tracing::debug!("TFTP: another host sent a request of {}", peer(from));
            // Or the address has become another host's.
            return self.resolve_again(received);
        }
        if origin == Origin::Claimed {
            // Acknowledgements may be forged too: each of them gets one block.
            options.window = None;
        }
        let is_plain = origin != Origin::Host && options == RequestedOptions::default();
        if is_plain && !self.admits_block(&origin, received, now) {
            return;
        }
        if self.transfers.is_repeated(from, name.as_str()) {
            self.transfers.step(&self.socket, from, now, |transfer| {
                transfer.on_repeated_request(now)
            });
            return;
        }
        if !self.transfers.has_room(from) {
            return self.refuse(
                received,
                ErrorCode::NotDefined,
                "too many transfers, try again later",
            );
        }
        let local = received.local.map(|local| local.ip());
        let file_request = FileRequest {
            name: name.to_string(),
            peer: peer(from),
            local: local.unwrap_or(IpAddr::from([0, 0, 0, 0])),
            block: options.block,
            window: options.window,
        };
        let file = match self.files.open(&file_request) {
            Ok(file) => file,
            Err(TftpRefusal::NotFound) => {
                return self.refuse(received, ErrorCode::FileNotFound, "no such file");
            }
            Err(TftpRefusal::Forbidden) => {
                return self.refuse(received, ErrorCode::AccessViolation, "access denied");
            }
            Err(TftpRefusal::NotReady | TftpRefusal::NotServed) => return,
            Err(TftpRefusal::Other(text)) => {
                return self.refuse(received, ErrorCode::NotDefined, &text);
            }
        };
        let socket = match self.transfer_socket(&origin) {
            Ok(socket) => socket,
            Err(error) => {
                file.on_end.call(TransferOutcome::Failed {
                    reason: format!("no port of `ports` can be bound: {error}"),
                    delivered: 0,
                    no_response: false,
                });
                return self.refuse(
                    received,
                    ErrorCode::NotDefined,
                    "no port is free, try again later",
                );
            }
        };
        let max_block = if file_request.peer.ip().is_loopback() {
            MAX_BLOCK
        } else {
            ETHERNET_BLOCK
        };
        let accepted = AcceptedRequest {
            name: file_request.name,
            options: options.negotiate(file.content.length(), max_block),
            file,
            socket,
            local: received.local,
            is_first_sent_once: is_plain,
            unresolved: match origin {
                Origin::Unresolved(sent) => Some(sent),
                _ => None,
            },
        };
        self.transfers.start(&self.socket, from, accepted, now);
    }

    /// Returns the socket of a transfer; none: the one of requests.
    fn transfer_socket(&self, origin: &Origin) -> io::Result<Option<TftpSocket>> {
        match (&self.ports, origin) {
            (Some(ports), Origin::Claimed) => {
                bind_random(ports, self.socket.local_address()?, TICK).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Whether the first block may be sent to an address that may be forged.
    fn admits_block(&mut self, origin: &Origin, received: &ReceivedPacket, now: Duration) -> bool {
        if let Origin::Unresolved(_) = origin {
            self.resolve_again(received);
            return false;
        }
        self.credits.admits(received.from, received.length, now)
    }

    /// Makes the kernel check which MAC an address has, by a datagram of one byte. The repeated request is compared with it.
    fn resolve_again(&self, received: &ReceivedPacket) {
        let discard = SocketAddr::new(received.from.ip(), DISCARD);
        let local = received.local.as_ref();
        self.socket.send(&[0], 1, discard, local);
    }

    fn refuse(&self, received: &ReceivedPacket, code: ErrorCode, text: &str) {
        let bytes = encode_error(code, text);
        let local = received.local.as_ref();
        self.socket.send(&bytes, bytes.len(), received.from, local);
    }
}

/// An IPv4 address received on an IPv6 socket is shown as IPv4.
fn peer(from: SocketAddr) -> SocketAddr {
    SocketAddr::new(from.ip().to_canonical(), from.port())
}
