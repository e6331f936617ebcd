//! Whether a request comes from the host whose address it has.
//!
//! The source address of a datagram is a claim: a reply that is larger than the request could be aimed at another host. The blocks of
//! a file are sent only to a host that requested them. On a local link that is known at the first packet: the frame of a request has
//! the MAC that the kernel's neighbour table has for its source address. The frames are read from a packet socket, which needs
//! CAP_NET_RAW. A host that forges the source MAC of its frames too is not detected.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsRawFd,
};

use nix::{
    errno::Errno,
    libc,
    sys::socket::{LinkAddr, recvfrom},
};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::{control::SenderLink, model::Mac, net::neighbour};

/// What is known about the source of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// The host with this address sent it.
    Host,
    /// Unknown: the address is behind a router, or the frame was not read.
    Claimed,
    /// Unknown, on a local link: the kernel has no MAC of the address yet. These MACs sent the request.
    Unresolved(Vec<Mac>),
    /// Another host sent it.
    Forged,
}

/// The most requests whose frame was read before the request itself.
const MAX_FRAMES: usize = 4_096;
/// The most MACs that are stored for one source address.
const MAX_MACS: usize = 4;
/// Stands for this host, which sends to its own addresses over the loopback interface. No NIC has this MAC.
const OWN: Mac = Mac([0; 6]);
/// How much of a packet is read, in bytes: the headers.
const CAPTURED: usize = 128;
/// The size of the receive buffer, in bytes.
const SOCKET_BUFFER: usize = 4 << 20;

const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;
const UDP: u8 = 17;
/// The size of an IPv6 header without extensions, in bytes.
const IPV6_HEADER: usize = 40;
/// The size of a UDP header, in bytes.
const UDP_HEADER: usize = 8;
/// The opcode of a read request.
const READ: u16 = 1;

/// The frames of requests to one port.
#[derive(Debug)]
pub(super) struct Origins {
    port: u16,
    sockets: Vec<Socket>,
    macs: HashMap<SocketAddr, Vec<Mac>>,
}

impl Origins {
    /// Begins to read the frames of requests to a port. Without the privilege, no origin is known except loopback.
    pub(super) fn open(port: u16) -> Origins {
        let opened = [(ETH_P_IP, filter_v4(port)), (ETH_P_IPV6, filter_v6(port))]
            .into_iter()
            .map(|(protocol, filter)| packet_socket(protocol, &filter));
        let sockets = opened.collect::<io::Result<Vec<Socket>>>();
        let sockets = sockets.unwrap_or_else(|error| {
            tracing::info!(
                "TFTP does not check who sends a request, and serves unchecked hosts slowly: {error} (CAP_NET_RAW)"
            );
            Vec::new()
        });
        Origins {
            port,
            sockets,
            macs: HashMap::new(),
        }
    }

    /// Returns the origin of a request that was just received.
    pub(super) fn of(&mut self, from: SocketAddr) -> Origin {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        if from.ip().is_loopback() {
            return Origin::Host;
        }
        self.read_frames();
        let sent = self.macs.remove(&from).unwrap_or_default();
        origin(from.ip(), sent)
    }

    /// Reads all frames that have arrived. The kernel passes a packet to these sockets before the UDP socket.
    fn read_frames(&mut self) {
        let mut packet = [0; CAPTURED];
        for socket in &self.sockets {
            loop {
                match recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut packet) {
                    Ok((length, link)) => {
                        let mac = link.as_ref().and_then(mac_of);
                        let from = source(&packet[..length.min(CAPTURED)], self.port);
                        if let (Some(mac), Some(from)) = (mac, from) {
                            add(&mut self.macs, from, mac);
                        }
                    }
                    Err(Errno::EINTR) => {}
                    Err(Errno::EAGAIN) => break,
                    Err(error) => {
                        tracing::debug!("TFTP: a frame was not read: {error}");
                        break;
                    }
                }
            }
        }
    }
}

/// The MAC that sent a packet: [`OWN`] if it is from this host.
fn mac_of(link: &LinkAddr) -> Option<Mac> {
    if link.hatype() == libc::ARPHRD_LOOPBACK {
        return Some(OWN);
    }
    link.addr().map(Mac).filter(|mac| mac.is_unicast())
}

/// Returns the origin of a request in the name of an address, which came from these MACs.
pub(super) fn origin(ip: IpAddr, sent: Vec<Mac>) -> Origin {
    if sent.contains(&OWN) {
        return Origin::Host;
    }
    match neighbour::link_of(ip) {
        Ok(SenderLink::Local { .. }) if sent.is_empty() => Origin::Claimed,
        Ok(SenderLink::Local { macs, .. }) if macs.is_empty() => Origin::Unresolved(sent),
        Ok(SenderLink::Local { macs, .. }) => match sent.iter().any(|mac| macs.contains(mac)) {
            true => Origin::Host,
            false => Origin::Forged,
        },
        Ok(SenderLink::Routed | SenderLink::Unreadable) => Origin::Claimed,
        Err(error) => {
            tracing::debug!("TFTP: the neighbour table cannot be read: {error}");
            Origin::Claimed
        }
    }
}

fn add(macs: &mut HashMap<SocketAddr, Vec<Mac>>, from: SocketAddr, mac: Mac) {
    if macs.len() >= MAX_FRAMES {
        // Requests that were refused before their origin was looked up.
        macs.clear();
    }
    let of_source = macs.entry(from).or_default();
    if of_source.len() < MAX_MACS && !of_source.contains(&mac) {
        of_source.push(mac);
    }
}

fn packet_socket(protocol: u16, filter: &[SockFilter]) -> io::Result<Socket> {
    let protocol = Protocol::from(i32::from(protocol.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))?;
    socket.attach_filter(filter)?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    Ok(socket)
}

// Classic BPF (bpf(4)): the codes of the instructions that are used.
const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF: u16 = 0x28;
const LOAD_HALF_INDEXED: u16 = 0x48;
const LOAD_HEADER_LENGTH: u16 = 0xb1;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

/// Accepts read requests to a port in IPv4 packets that are no later fragments.
fn filter_v4(port: u16) -> Vec<SockFilter> {
    [
        (LOAD_BYTE, 0, 0, 9),
        (JUMP_IF_EQUAL, 0, 8, UDP.into()),
        (LOAD_HALF, 0, 0, 6),
        (JUMP_IF_SET, 6, 0, 0x1fff),
        (LOAD_HEADER_LENGTH, 0, 0, 0),
        (LOAD_HALF_INDEXED, 0, 0, 2),
        (JUMP_IF_EQUAL, 0, 3, port.into()),
        (LOAD_HALF_INDEXED, 0, 0, UDP_HEADER as u32),
        (JUMP_IF_EQUAL, 0, 1, READ.into()),
        (RETURN, 0, 0, CAPTURED as u32),
        (RETURN, 0, 0, 0),
    ]
    .map(|(code, if_true, if_false, value)| SockFilter::new(code, if_true, if_false, value))
    .into()
}

/// The same in IPv6 packets without extension headers.
fn filter_v6(port: u16) -> Vec<SockFilter> {
    [
        (LOAD_BYTE, 0, 0, 6),
        (JUMP_IF_EQUAL, 0, 5, UDP.into()),
        (LOAD_HALF, 0, 0, IPV6_HEADER as u32 + 2),
        (JUMP_IF_EQUAL, 0, 3, port.into()),
        (LOAD_HALF, 0, 0, (IPV6_HEADER + UDP_HEADER) as u32),
        (JUMP_IF_EQUAL, 0, 1, READ.into()),
        (RETURN, 0, 0, CAPTURED as u32),
        (RETURN, 0, 0, 0),
    ]
    .map(|(code, if_true, if_false, value)| SockFilter::new(code, if_true, if_false, value))
    .into()
}

/// Returns the source of a read request to a port. Packets from before the filter was attached may be any others.
fn source(packet: &[u8], port: u16) -> Option<SocketAddr> {
    let (ip, header): (IpAddr, usize) = match packet.first()? >> 4 {
        4 if *packet.get(9)? == UDP => {
            let ip: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
            (Ipv4Addr::from(ip).into(), usize::from(packet[0] & 0xf) * 4)
        }
        6 if *packet.get(6)? == UDP => {
            let ip: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
            (Ipv6Addr::from(ip).into(), IPV6_HEADER)
        }
        _ => return None,
    };
    let half = |at: usize| Some(u16::from_be_bytes(*packet.get(at..)?.first_chunk()?));
    let is_request = half(header + 2)? == port && half(header + UDP_HEADER)? == READ;
    is_request.then_some(SocketAddr::new(ip, half(header)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet_v4(options: usize, protocol: u8, to: u16, opcode: u16) -> Vec<u8> {
        let mut packet = vec![0; 20 + options];
        packet[0] = 0x40 | ((20 + options) / 4) as u8;
        packet[9] = protocol;
        packet[12..16].copy_from_slice(&[192, 0, 2, 7]);
        packet.extend(2_000_u16.to_be_bytes());
        packet.extend(to.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(opcode.to_be_bytes());
        packet.extend(b"file\0octet\0");
        packet
    }

    #[test]
    fn the_source_of_a_request_is_read_and_other_packets_are_ignored() {
        let found = Some("192.0.2.7:2000".parse().unwrap());
        assert_eq!(source(&packet_v4(0, UDP, 69, READ), 69), found);
        assert_eq!(source(&packet_v4(24, UDP, 69, READ), 69), found);
        for other in [
            packet_v4(0, UDP, 70, READ),
            packet_v4(0, UDP, 69, 4),
            packet_v4(0, 6, 69, READ),
            Vec::new(),
        ] {
            assert_eq!(source(&other, 69), None);
        }
        let mut v6 = vec![0; IPV6_HEADER];
        (v6[0], v6[6], v6[8], v6[23]) = (0x60, UDP, 0xfe, 1);
        v6.extend(&packet_v4(0, UDP, 69, READ)[20..]);
        let found = source(&v6, 69).unwrap();
        assert_eq!(found, "[fe00::1]:2000".parse().unwrap());
        let whole = packet_v4(0, UDP, 69, READ);
        assert!((0..30).all(|length| source(&whole[..length], 69).is_none()));
    }

    #[test]
    fn a_flood_of_forged_requests_takes_a_limited_memory() {
        let mut macs = HashMap::new();
        for number in 0..100_000_u32 {
            let from = SocketAddr::new(Ipv4Addr::from(number).into(), 69);
            add(&mut macs, from, Mac([2, 0, 0, 0, 0, 1]));
            assert!(macs.len() <= MAX_FRAMES);
        }
    }
}
