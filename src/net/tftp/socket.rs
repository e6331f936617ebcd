//! A UDP socket that replies from the address that received the request, and sends several blocks per system call.

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

/// The receive and the send buffer, in bytes.
const SOCKET_BUFFER: usize = 4 << 20;
/// The most blocks that the kernel accepts per call (UDP_MAX_SEGMENTS).
const MAX_SEGMENTS: usize = 64;
/// The most bytes that the kernel accepts per call.
const MAX_SEGMENTS_SIZE: usize = 65_000;

#[derive(Debug)]
pub(super) struct TftpSocket {
    socket: socket2::Socket,
    /// Whether the kernel and the NIC support UDP segmentation offload.
    has_segmentation: Cell<bool>,
}

/// The address of this host that received a packet, in the form that the kernel requires for a reply.
#[derive(Debug, Clone, Copy)]
pub(super) enum LocalAddress {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ReceivedPacket {
    pub(super) length: usize,
    pub(super) from: SocketAddr,
    pub(super) local: Option<LocalAddress>,
}

impl TftpSocket {
    /// Binds the port. [`TftpSocket::receive`] waits at most `timeout`.
    pub(super) fn bind(address: SocketAddr, timeout: Duration) -> io::Result<TftpSocket> {
        let domain = Domain::for_address(address);
        let socket = socket2::Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        }
        socket.set_read_timeout(Some(timeout))?;
        socket.set_recv_buffer_size(SOCKET_BUFFER)?;
        socket.set_send_buffer_size(SOCKET_BUFFER)?;
        socket.bind(&SockAddr::from(address))?;
        Ok(TftpSocket {
            socket,
            has_segmentation: Cell::new(true),
        })
    }

    pub(super) fn local_address(&self) -> io::Result<SocketAddr> {
        let address = self.socket.local_addr()?;
        address
            .as_socket()
            .ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Waits for a packet; none when none arrives in time. Polling separately would be one more system call for each
    /// block.
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
            // An earlier packet to some client was rejected; its transfer times out.
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
                ControlMessageOwned::Ipv4PacketInfo(info) => local = Some(LocalAddress::V4(info)),
                ControlMessageOwned::Ipv6PacketInfo(info) => local = Some(LocalAddress::V6(info)),
                _ => {}
            }
        }
        Ok(Some(ReceivedPacket {
            length: message.bytes,
            from,
            local,
        }))
    }

    /// Sends `bytes` as packets of `size` bytes each; the last may be shorter.
    pub(super) fn send(
        &self,
        bytes: &[u8],
        size: usize,
        to: SocketAddr,
        local: Option<&LocalAddress>,
    ) {
        let per_call = if self.has_segmentation.get() {
            (MAX_SEGMENTS_SIZE / size.max(1)).clamp(1, MAX_SEGMENTS)
        } else {
            1
        };
        for part in bytes.chunks(size.max(1) * per_call) {
            match self.send_part(part, size, to, local) {
                Ok(()) => {}
                Err(Errno::EINVAL | Errno::EIO | Errno::EMSGSIZE | Errno::ENOTSUP)
                    if part.len() > size =>
                {
                    self.has_segmentation.set(false);
                    let packets = part.chunks(size);
                    packets.for_each(|one| log_lost(self.send_part(one, size, to, local)));
                }
                failed => log_lost(failed),
            }
        }
    }

    fn send_part(
        &self,
        bytes: &[u8],
        size: usize,
        to: SocketAddr,
        local: Option<&LocalAddress>,
    ) -> Result<(), Errno> {
        let segment = size as u16;
        let segments = ControlMessage::UdpGsoSegments(&segment);
        let mut control = [segments; 2];
        let mut count = 0;
        if let Some(local) = local {
            control[0] = match local {
                LocalAddress::V4(info) => ControlMessage::Ipv4PacketInfo(info),
                LocalAddress::V6(info) => ControlMessage::Ipv6PacketInfo(info),
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

impl LocalAddress {
    pub(super) fn ip(&self) -> IpAddr {
        match self {
            LocalAddress::V4(info) => {
                let bits = u32::from_be(info.ipi_spec_dst.s_addr);
                IpAddr::V4(std::net::Ipv4Addr::from_bits(bits))
            }
            LocalAddress::V6(info) => {
                let ip = std::net::Ipv6Addr::from(info.ipi6_addr.s6_addr);
                IpAddr::V6(ip).to_canonical()
            }
        }
    }
}

/// A packet that could not be sent counts as lost: it is retransmitted when its acknowledgement times out.
fn log_lost(sent: Result<(), Errno>) {
    if let Err(error) = sent {
        tracing::debug!("TFTP: a packet was not sent: {error}");
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
