//! Ethernet frames to a client that has no address yet: it cannot answer ARP, and a broadcast would reach every host.

use std::{collections::HashMap, io, net::Ipv4Addr, os::fd::IntoRawFd};

use etherparse::PacketBuilder;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use pnet_datalink::{Channel, ChannelType, Config, DataLinkSender, MacAddr, NetworkInterface};

use crate::{model::Mac, net::interfaces::Interface};

/// The hops that a datagram may take.
const TIME_TO_LIVE: u8 = 64;

/// Sends frames. It does not receive any.
#[derive(Default)]
pub struct FrameSender {
    senders: HashMap<u32, Box<dyn DataLinkSender>>,
}

/// The addresses of a datagram and of its frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UdpRoute {
    pub(crate) from: Ipv4Addr,
    pub(crate) from_port: u16,
    pub(crate) to: Ipv4Addr,
    pub(crate) to_port: u16,
    pub(crate) mac: Mac,
}

impl std::fmt::Debug for FrameSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FrameSender")
    }
}

impl FrameSender {
    /// Sends a datagram in a frame to one MAC.
    pub(crate) fn send(
        &mut self,
        on: &Interface,
        route: &UdpRoute,
        bytes: &[u8],
    ) -> io::Result<()> {
        let own = on.mac.ok_or(io::ErrorKind::Unsupported)?;
        let frame = frame(own, route, bytes)?;
        let sender = match self.senders.entry(on.index) {
            std::collections::hash_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => entry.insert(sender(on)?),
        };
        let sent = sender.send_to(&frame, None).unwrap_or(Ok(()));
        if sent.is_err() {
            // The interface may have been removed and created again under another index.
            self.senders.remove(&on.index);
        }
        sent
    }
}

/// Opens a channel with a socket of protocol 0, which receives nothing.
fn sender(on: &Interface) -> io::Result<Box<dyn DataLinkSender>> {
    let fd = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let interface = NetworkInterface {
        name: on.name.clone(),
        description: String::new(),
        index: on.index,
        mac: on.mac.map(|mac| MacAddr::from(mac.0)),
        ips: Vec::new(),
        flags: 0,
    };
    let config = Config {
        channel_type: ChannelType::Layer3(0),
        promiscuous: false,
        socket_fd: Some(fd.into_raw_fd()),
        ..Config::default()
    };
    match pnet_datalink::channel(&interface, config)? {
        Channel::Ethernet(sender, _) => Ok(sender),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn frame(own: Mac, route: &UdpRoute, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let builder = PacketBuilder::ethernet2(own.0, route.mac.0)
        .ipv4(route.from.octets(), route.to.octets(), TIME_TO_LIVE)
        .udp(route.from_port, route.to_port);
    let mut frame = Vec::with_capacity(builder.size(bytes.len()));
    builder.write(&mut frame, bytes).map_err(io::Error::other)?;
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_has_the_headers_and_checksums_of_its_route() {
        let route = UdpRoute {
            from: Ipv4Addr::new(192, 0, 2, 1),
            from_port: 67,
            to: Ipv4Addr::new(192, 0, 2, 21),
            to_port: 68,
            mac: Mac([0x52, 0x54, 0, 0, 0, 2]),
        };
        let frame = frame(Mac([0x52, 0x54, 0, 0, 0, 1]), &route, b"abc").unwrap();
        let expected = [
            // Ethernet: to, from, IPv4.
            &[0x52, 0x54, 0, 0, 0, 2, 0x52, 0x54, 0, 0, 0, 1, 8, 0][..],
            // RFC 791: 31 bytes, not fragmented, 64 hops, UDP, checksum, addresses.
            &[0x45, 0, 0, 31, 0, 0, 0x40, 0, 64, 17, 0xb6, 0xb7],
            &[192, 0, 2, 1, 192, 0, 2, 21],
            // RFC 768: ports, 11 bytes, checksum.
            &[0, 67, 0, 68, 0, 11, 0xb6, 0xd7],
            b"abc",
        ];
        assert_eq!(frame, expected.concat());
    }
}
