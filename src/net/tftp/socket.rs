//! A UDP socket that answers from the address that was asked, and sends several blocks at once.

use std::{
    cell::Cell,
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrLike, SockaddrStorage, recvmsg,
        sendmsg, setsockopt, sockopt,
    },
};
use socket2::{Domain, Protocol, SockAddr, Type};

/// What the kernel keeps for us, and for the clients, in bytes.
const QUEUE: usize = 4 << 20;
/// The most blocks that the kernel takes at once (its UDP_MAX_SEGMENTS), and the most bytes.
const MOST_SEGMENTS: usize = 64;
const MOST_BYTES: usize = 65_000;

/// A socket.
#[derive(Debug)]
pub(super) struct TftpSocket {
    socket: socket2::Socket,
    /// Whether the kernel and the card take several blocks at once.
    gathers: Cell<bool>,
}

/// By which of our addresses a datagram came, as the kernel wants to hear it back.
#[derive(Debug, Clone, Copy)]
pub(super) enum Local {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

/// A datagram that has arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReceivedPacket {
    pub(super) length: usize,
    pub(super) from: SocketAddr,
    pub(super) local: Option<Local>,
}

impl TftpSocket {
    /// Binds the port. A datagram is waited for as long as `wait` and no longer.
    pub(super) fn bind(address: SocketAddr, wait: Duration) -> io::Result<TftpSocket> {
        let domain = Domain::for_address(address);
        let socket = socket2::Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        }
        socket.set_read_timeout(Some(wait))?;
        socket.set_recv_buffer_size(QUEUE)?;
        socket.set_send_buffer_size(QUEUE)?;
        socket.bind(&SockAddr::from(address))?;
        Ok(TftpSocket {
            socket,
            gathers: Cell::new(true),
        })
    }

    pub(super) fn local(&self) -> io::Result<SocketAddr> {
        let address = self.socket.local_addr()?;
        address
            .as_socket()
            .ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Takes a datagram, as soon as there is one; none when none came in time. A wait of its own would be one more
    /// call into the kernel for each block.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<ReceivedPacket>> {
        let mut control = nix::cmsg_space!(libc::in_pktinfo, libc::in6_pktinfo);
        let mut slices = [IoSliceMut::new(buffer)];
        let message = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut slices,
            Some(&mut control),
            MsgFlags::empty(),
        );
        let message = match message {
            Ok(message) => message,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            // An earlier datagram of ours was refused somewhere: nobody's concern here.
            Err(Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ENETUNREACH) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let Some(from) = message.address.as_ref().and_then(address) else {
            return Ok(None);
        };
        let mut local = None;
        for control in message.cmsgs()? {
            match control {
                ControlMessageOwned::Ipv4PacketInfo(info) => local = Some(Local::V4(info)),
                ControlMessageOwned::Ipv6PacketInfo(info) => local = Some(Local::V6(info)),
                _ => {}
            }
        }
        Ok(Some(ReceivedPacket {
            length: message.bytes,
            from,
            local,
        }))
    }

    /// Sends datagrams of `size` bytes each that stand one after the other; the last may be shorter.
    pub(super) fn send(&self, bytes: &[u8], size: usize, to: SocketAddr, local: Option<&Local>) {
        let at_once = if self.gathers.get() {
            (MOST_BYTES / size.max(1)).clamp(1, MOST_SEGMENTS)
        } else {
            1
        };
        for part in bytes.chunks(size.max(1) * at_once) {
            match self.send_part(part, size, to, local) {
                Ok(()) => {}
                Err(Errno::EINVAL | Errno::EIO | Errno::EMSGSIZE | Errno::ENOTSUP)
                    if part.len() > size =>
                {
                    self.gathers.set(false);
                    let again = part.chunks(size);
                    again.for_each(|one| self.lose(self.send_part(one, size, to, local)));
                }
                failed => self.lose(failed),
            }
        }
    }

    /// A datagram that could not be sent is a lost one: it is sent again when nobody acknowledges it.
    fn lose(&self, sent: Result<(), Errno>) {
        if let Err(error) = sent {
            tracing::debug!("TFTP: a datagram was not sent: {error}");
        }
    }

    fn send_part(
        &self,
        bytes: &[u8],
        size: usize,
        to: SocketAddr,
        local: Option<&Local>,
    ) -> Result<(), Errno> {
        let segment = size as u16;
        let segments = ControlMessage::UdpGsoSegments(&segment);
        let mut control = [segments; 2];
        let mut count = 0;
        if let Some(local) = local {
            control[0] = match local {
                Local::V4(info) => ControlMessage::Ipv4PacketInfo(info),
                Local::V6(info) => ControlMessage::Ipv6PacketInfo(info),
            };
            count = 1;
        }
        if bytes.len() > size {
            control[count] = segments;
            count += 1;
        }
        let to = SockaddrStorage::from(to);
        sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(bytes)],
            &control[..count],
            MsgFlags::MSG_DONTWAIT,
            Some(&to),
        )
        .map(drop)
    }
}

impl Local {
    /// Our address.
    pub(super) fn ip(&self) -> IpAddr {
        match self {
            Local::V4(info) => {
                let bits = u32::from_be(info.ipi_spec_dst.s_addr);
                IpAddr::V4(std::net::Ipv4Addr::from_bits(bits))
            }
            Local::V6(info) => {
                let ip = std::net::Ipv6Addr::from(info.ipi6_addr.s6_addr);
                IpAddr::V6(ip).to_canonical()
            }
        }
    }
}

fn address(from: &SockaddrStorage) -> Option<SocketAddr> {
    debug_assert!(from.len() > 0);
    let v4 = from
        .as_sockaddr_in()
        .map(|v4| SocketAddrV4::from(*v4).into());
    v4.or_else(|| {
        from.as_sockaddr_in6()
            .map(|v6| SocketAddrV6::from(*v6).into())
    })
}
