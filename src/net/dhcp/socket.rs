//! One UDP socket for all interfaces.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    os::fd::AsRawFd,
};

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use socket2::{Domain, Protocol, Type};
use tokio::{io::Interest, net::UdpSocket};

/// What the kernel keeps for us while we are busy, in bytes: more would only be answered too late.
const QUEUE: usize = 1 << 20;

/// A socket.
#[derive(Debug)]
pub struct DhcpSocket(UdpSocket);

/// A datagram that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedDatagram {
    /// Its length in bytes.
    pub length: usize,
    /// Who sent it.
    pub from: SocketAddrV4,
    /// The interface's number.
    pub interface: u32,
    /// The address that it was sent to.
    pub to: Ipv4Addr,
    /// Our address on that interface, as the kernel has it.
    pub local: Ipv4Addr,
}

impl DhcpSocket {
    /// Opens the port on all interfaces. Others may have it too, if they say so: a second server on this host
    /// hears broadcasts as well.
    pub fn open(port: u16) -> io::Result<DhcpSocket> {
        let socket = socket2::Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_broadcast(true)?;
        socket.set_nonblocking(true)?;
        if setsockopt(&socket, sockopt::RcvBufForce, &QUEUE).is_err() {
            // The kernel's own limit holds for whoever has no CAP_NET_ADMIN: that is a quarter.
            socket.set_recv_buffer_size(QUEUE)?;
        }
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
        UdpSocket::from_std(socket.into()).map(DhcpSocket)
    }

    /// Waits for a datagram.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<ReceivedDatagram> {
        self.0
            .async_io(Interest::READABLE, || receive(&self.0, buffer))
            .await
    }

    /// Waits until there may be a datagram.
    pub async fn readable(&self) -> io::Result<()> {
        self.0.readable().await
    }

    /// Takes a datagram that has arrived already, if there is one.
    pub fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Option<ReceivedDatagram>> {
        match self
            .0
            .try_io(Interest::READABLE, || receive(&self.0, buffer))
        {
            Ok(arrived) => Ok(Some(arrived)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a datagram from an address of ours; `interface` is needed where the route does not say it.
    pub fn send(
        &self,
        bytes: &[u8],
        to: SocketAddrV4,
        from: Ipv4Addr,
        interface: Option<u32>,
    ) -> io::Result<()> {
        let info = libc::in_pktinfo {
            ipi_ifindex: interface.unwrap_or(0) as i32,
            ipi_spec_dst: libc::in_addr {
                s_addr: from.to_bits().to_be(),
            },
            ipi_addr: libc::in_addr { s_addr: 0 },
        };
        let socket = self.0.as_raw_fd();
        let to = SockaddrIn::from(to);
        // A full queue of the card is a lost datagram, as any other: the client asks again.
        sendmsg(
            socket,
            &[IoSlice::new(bytes)],
            &[ControlMessage::Ipv4PacketInfo(&info)],
            MsgFlags::MSG_DONTWAIT,
            Some(&to),
        )?;
        Ok(())
    }
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<ReceivedDatagram> {
    let mut control = nix::cmsg_space!(libc::in_pktinfo);
    let mut slices = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrIn>(
        socket.as_raw_fd(),
        &mut slices,
        Some(&mut control),
        MsgFlags::MSG_DONTWAIT,
    )?;
    let from = message.address.map(SocketAddrV4::from);
    let mut arrived = ReceivedDatagram {
        length: message.bytes,
        from: from.unwrap_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)),
        interface: 0,
        to: Ipv4Addr::UNSPECIFIED,
        local: Ipv4Addr::UNSPECIFIED,
    };
    for control in message.cmsgs()? {
        if let ControlMessageOwned::Ipv4PacketInfo(info) = control {
            let ip = |address: libc::in_addr| Ipv4Addr::from_bits(u32::from_be(address.s_addr));
            arrived.interface = info.ipi_ifindex as u32;
            arrived.to = ip(info.ipi_addr);
            arrived.local = ip(info.ipi_spec_dst);
        }
    }
    Ok(arrived)
}
