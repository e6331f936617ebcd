//! Sockets and messages of the kernel's netlink (rtnetlink(7)).
//!
//! The requests are written here: the packages for netlink were the most expensive part of a build.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::{
    errno::Errno,
    libc,
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket},
};

/// The size of `struct nlmsghdr`.
pub const HEADER: usize = 16;

/// A socket for requests about links, addresses, routes and neighbours.
pub struct NetlinkSocket(OwnedFd);

impl NetlinkSocket {
    pub fn open() -> io::Result<NetlinkSocket> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        Ok(NetlinkSocket(socket))
    }

    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        send(self.0.as_raw_fd(), message, MsgFlags::empty())?;
        Ok(())
    }

    /// Waits for a datagram and returns its length.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match recv(self.0.as_raw_fd(), buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                result => return Ok(result?),
            }
        }
    }
}

/// A request with its header, `struct nlmsghdr`. Numbers are in the byte order of the machine.
pub fn message(kind: u16, flags: i32, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = (HEADER + body.len()) as u32;
    let flags = (libc::NLM_F_REQUEST | flags) as u16;
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend(0u32.to_ne_bytes());
    message.extend(body);
    message
}
