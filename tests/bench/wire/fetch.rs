//! A TFTP client that downloads many files in parallel, and drops packets at random.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

/// The client's retransmission timeout.
const RETRANSMIT: Duration = Duration::from_millis(500);
/// The timeout of a transfer.
const TIMEOUT: Duration = Duration::from_secs(120);
/// The maximum number of datagrams of one transfer that are read before those of another one.
const MAX_DATAGRAMS: usize = 64;

/// A file to download.
#[derive(Clone)]
pub(crate) struct Fetch<'a> {
    pub(crate) from: Ipv4Addr,
    pub(crate) server: SocketAddr,
    pub(crate) name: &'a str,
    /// The size of a block, in bytes.
    pub(crate) block: usize,
    /// The window size in blocks.
    pub(crate) window: usize,
    /// The expected content.
    pub(crate) content: &'a [u8],
    /// The part of the datagrams that are dropped, in each direction.
    pub(crate) loss: f64,
}

/// A transfer in progress.
struct IncomingTransfer<'a> {
    fetch: &'a Fetch<'a>,
    socket: UdpSocket,
    /// The server's address and port, after its first answer.
    peer: Option<SocketAddr>,
    /// The last block received in order, and the number of bytes so far.
    block: u64,
    have: usize,
    /// Blocks since the last acknowledgement.
    since: usize,
    /// Whether the current gap was reported, so that it is reported once.
    gap_reported: bool,
    heard: Instant,
    asked: Instant,
    dice: u64,
    outcome: Option<Result<Duration, String>>,
}

/// Downloads all files in parallel. Returns the duration of each, or why it failed.
pub(crate) fn fetch(all: &[Fetch<'_>]) -> anyhow::Result<Vec<Result<Duration, String>>> {
    let epoll = Epoll::new(EpollCreateFlags::empty())?;
    let began = Instant::now();
    let mut coming = Vec::new();
    for (at, one) in all.iter().enumerate() {
        let one = IncomingTransfer::begin(one, at as u64, began)?;
        epoll.add(&one.socket, EpollEvent::new(EpollFlags::EPOLLIN, at as u64))?;
        coming.push(one);
    }
    for one in &mut coming {
        one.ask()?;
    }
    let mut events = vec![EpollEvent::empty(); 256];
    let mut on_arp_reply = Instant::now();
    let mut remaining = coming.len();
    while remaining > 0 {
        let count = epoll.wait(&mut events, 50_u16)?;
        for event in &events[..count] {
            let one = &mut coming[event.data() as usize];
            one.receive()?;
            if one.outcome.is_some() {
                epoll.delete(&one.socket)?;
                remaining -= 1;
            }
        }
        if on_arp_reply.elapsed() < RETRANSMIT / 10 {
            continue;
        }
        on_arp_reply = Instant::now();
        for one in coming.iter_mut().filter(|one| one.outcome.is_none()) {
            one.tick(on_arp_reply)?;
            if one.outcome.is_some() {
                epoll.delete(&one.socket)?;
                remaining -= 1;
            }
        }
    }
    let outcomes = coming.into_iter().filter_map(|one| one.outcome);
    Ok(outcomes.collect())
}

impl<'a> IncomingTransfer<'a> {
    fn begin(fetch: &'a Fetch<'a>, seed: u64, now: Instant) -> io::Result<Self> {
        let socket = UdpSocket::bind((fetch.from, 0))?;
        socket.set_nonblocking(true)?;
        Ok(IncomingTransfer {
            fetch,
            socket,
            peer: None,
            block: 0,
            have: 0,
            since: 0,
            gap_reported: false,
            heard: now,
            asked: now,
            dice: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            outcome: None,
        })
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut buffer = [0; 2_048];
        for _ in 0..MAX_DATAGRAMS {
            let (length, from) = match self.socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            if self.is_lost() || self.peer.is_some_and(|peer| peer != from) {
                continue;
            }
            self.peer = Some(from);
            self.heard = Instant::now();
            match &buffer[..length] {
                // The options are negotiated. The OACK is repeated if our acknowledgement was lost.
                [0, 6, ..] if self.block == 0 => self.acknowledge()?,
                [0, 6, ..] => {}
                [0, 3, high, low, data @ ..] => {
                    self.take(u16::from_be_bytes([*high, *low]), data)?;
                }
                [0, 5, _, _, text @ ..] => {
                    self.outcome = Some(Err(String::from_utf8_lossy(text).into_owned()));
                }
                other => self.outcome = Some(Err(format!("what is {other:?}?"))),
            }
            if self.outcome.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn take(&mut self, number: u16, data: &[u8]) -> io::Result<()> {
        if number != (self.block + 1) as u16 {
            // RFC 7440 section 4: a lost block is reported by acknowledging the last one before it.
            if !self.gap_reported {
                self.gap_reported = true;
                self.acknowledge()?;
            }
            return Ok(());
        }
        self.gap_reported = false;
        let end = self.have + data.len();
        if self.fetch.content.get(self.have..end) != Some(data) {
            self.outcome = Some(Err(format!("block {number} is wrong")));
            return Ok(());
        }
        self.have = end;
        self.block += 1;
        self.since += 1;
        let is_last = data.len() < self.fetch.block;
        if is_last || self.since == self.fetch.window {
            self.acknowledge()?;
        }
        if is_last {
            let is_whole = self.have == self.fetch.content.len();
            let took = self.asked.elapsed();
            self.outcome = Some(is_whole.then_some(took).ok_or("it is cut short".into()));
        }
        Ok(())
    }

    /// Retransmits after a timeout.
    fn tick(&mut self, now: Instant) -> io::Result<()> {
        let silent = now.duration_since(self.heard);
        if now.duration_since(self.asked) > TIMEOUT {
            self.outcome = Some(Err(format!("{} bytes after {TIMEOUT:?}", self.have)));
        } else if silent > RETRANSMIT {
            self.heard = now;
            self.gap_reported = false;
            return match self.peer {
                None => self.ask(),
                Some(_) => self.acknowledge(),
            };
        }
        Ok(())
    }

    fn ask(&mut self) -> io::Result<()> {
        let (block, window) = (self.fetch.block.to_string(), self.fetch.window.to_string());
        let mut request = b"\0\x01".to_vec();
        let mut words = vec![self.fetch.name, "octet", "blksize", &block];
        // Firmware without windows does not request the option.
        if self.fetch.window > 1 {
            words.extend(["windowsize", &window]);
        }
        for word in words {
            request.extend(word.as_bytes());
            request.push(0);
        }
        self.send(&request, self.fetch.server)
    }

    fn acknowledge(&mut self) -> io::Result<()> {
        self.since = 0;
        let [high, low] = (self.block as u16).to_be_bytes();
        let peer = self.peer.unwrap_or(self.fetch.server);
        self.send(&[0, 4, high, low], peer)
    }

    fn send(&mut self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        if !self.is_lost() {
            self.socket.send_to(bytes, to)?;
        }
        Ok(())
    }

    /// Whether a datagram is dropped: the same ones in every run (xorshift64).
    fn is_lost(&mut self) -> bool {
        if self.fetch.loss == 0.0 {
            return false;
        }
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        ((self.dice >> 11) as f64 / (1_u64 << 53) as f64) < self.fetch.loss
    }
}
