//! The server's sockets: the one of requests, and those of transfers to addresses that cannot be checked. Each of these has a random
//! port, so that a host that does not see its packets has to guess where to acknowledge them.

use std::{io, net::SocketAddr, ops::RangeInclusive, os::fd::BorrowedFd, time::Duration};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::socket::TftpSocket;

/// How many random ports are tried for a transfer. Others may be in use.
const TRIES: u32 = 32;

/// The socket of requests, and the ports of hidden transfers.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) requests: TftpSocket,
    hidden: Option<RangeInclusive<u16>>,
    timeout: Duration,
}

/// The socket that has received a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReceivedAt {
    Requests,
    /// That of the hidden transfer of this client.
    Transfer(SocketAddr),
}

impl Ports {
    /// Binds the port of requests. Receiving waits at most `timeout`.
    pub(super) fn bind(address: SocketAddr, timeout: Duration) -> io::Result<Ports> {
        Ok(Ports {
            requests: TftpSocket::bind(address, timeout)?,
            hidden: None,
            timeout,
        })
    }

    pub(super) fn hide(&mut self, ports: RangeInclusive<u16>) {
        self.hidden = Some(ports);
    }

    /// Binds a random port for a transfer; none if there are no such ports.
    pub(super) fn hidden(&self) -> io::Result<Option<TftpSocket>> {
        let Some(ports) = &self.hidden else {
            return Ok(None);
        };
        let mut address = self.requests.local_address()?;
        let mut tries = 1;
        loop {
            let mut random = [0; 8];
            getrandom::fill(&mut random).map_err(io::Error::other)?;
            let offset = u64::from_ne_bytes(random) % ports.len() as u64;
            address.set_port(ports.start() + offset as u16);
            match TftpSocket::bind(address, self.timeout) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => {
                    tries += 1;
                }
                bound => return bound.map(Some),
            }
        }
    }
}

/// Waits for a packet at any of the sockets, at most this long. Returns those that have one.
pub(super) fn wait<'a>(
    sockets: impl Iterator<Item = (ReceivedAt, BorrowedFd<'a>)>,
    timeout: Duration,
) -> io::Result<Vec<ReceivedAt>> {
    let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::ZERO);
    let (all, mut fds): (Vec<ReceivedAt>, Vec<PollFd<'_>>) = sockets
        .map(|(at, fd)| (at, PollFd::new(fd, PollFlags::POLLIN)))
        .unzip();
    match poll(&mut fds, timeout) {
        Ok(0) | Err(Errno::EINTR) => return Ok(Vec::new()),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    // An error of a socket is reported when it receives.
    let has_event = |fd: &PollFd<'_>| fd.revents().is_none_or(|events| !events.is_empty());
    let ready = all.into_iter().zip(&fds).filter(|(_, fd)| has_event(fd));
    Ok(ready.map(|(at, _)| at).collect())
}
