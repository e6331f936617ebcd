//! Transfers to addresses that cannot be checked have a socket each, with a random port: a host that does not see the packets of a
//! transfer has to guess where to acknowledge them.

use std::{io, net::SocketAddr, ops::RangeInclusive, os::fd::BorrowedFd, time::Duration};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::socket::TftpSocket;

/// How many random ports are tried for a transfer. Others may be in use.
const MAX_TRIES: u32 = 32;

/// The socket that has received a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReceivedAt {
    Requests,
    /// That of this client's transfer.
    Transfer(SocketAddr),
}

/// Binds a random one of these ports. Receiving waits at most `timeout`.
pub(super) fn bind_random(
    ports: &RangeInclusive<u16>,
    mut address: SocketAddr,
    timeout: Duration,
) -> io::Result<TftpSocket> {
    let mut tries = 1;
    loop {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let offset = u64::from_ne_bytes(random) % ports.len() as u64;
        address.set_port(ports.start() + offset as u16);
        match TftpSocket::bind(address, timeout) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < MAX_TRIES => {
                tries += 1;
            }
            bound => return bound,
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
