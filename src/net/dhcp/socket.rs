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

/// The receive buffer in bytes. With a larger one, replies would come too late.
const RECEIVE_BUFFER: usize = 1 << 20;

#[derive(Debug)]
pub struct DhcpSocket(UdpSocket);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedDatagram {
    /// In bytes.
    pub length: usize,
    pub from: SocketAddrV4,
    /// The index of the interface on which it received.
    pub interface: u32,
    /// Its destination address.
    pub to: Ipv4Addr,
    /// This host's address on that interface.
    pub local: Ipv4Addr,
}

impl DhcpSocket {
    /// Opens the port on all interfaces, with SO_REUSEADDR: a second DHCP server on this host receives broadcasts too.
    pub fn open(port: u16) -> io::Result<DhcpSocket> {
        let socket = socket2::Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_broadcast(true)?;
        socket.set_nonblocking(true)?;
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            // Without CAP_NET_ADMIN the kernel limits the buffer (`net.core.rmem_max`), by default to a fifth of this.
            socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        }
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
        UdpSocket::from_std(socket.into()).map(DhcpSocket)
    }

    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<ReceivedDatagram> {
        self.0
            .async_io(Interest::READABLE, || receive(&self.0, buffer))
            .await
    }

    /// Waits until a datagram may be available.
    pub async fn readable(&self) -> io::Result<()> {
        self.0.readable().await
    }

    /// Receives a datagram if one is available.
    pub fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Option<ReceivedDatagram>> {
        match self
            .0
            .try_io(Interest::READABLE, || receive(&self.0, buffer))
        {
            Ok(received) => Ok(Some(received)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a datagram from one of this host's addresses; `interface` is needed when the route does not determine it.
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
        // When the NIC's queue is full, the datagram is lost and the client repeats its message.
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
    let mut received = ReceivedDatagram {
        length: message.bytes,
        from: from.unwrap_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)),
        interface: 0,
        to: Ipv4Addr::UNSPECIFIED,
        local: Ipv4Addr::UNSPECIFIED,
    };
    for control in message.cmsgs()? {
        if let ControlMessageOwned::Ipv4PacketInfo(info) = control {
            let ip = |address: libc::in_addr| Ipv4Addr::from_bits(u32::from_be(address.s_addr));
            received.interface = info.ipi_ifindex as u32;
            received.to = ip(info.ipi_addr);
            received.local = ip(info.ipi_spec_dst);
        }
    }
    Ok(received)
}
